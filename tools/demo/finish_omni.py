"""A trained thinker as a model folder: bf16 weights, tokenizer, processor and chat files. usage: finish_omni.py TRAINED_DIR OUT_DIR"""
import json, os, sys
import torch
from transformers import PreTrainedTokenizerFast, Qwen2_5OmniProcessor, Qwen2_5OmniThinkerForConditionalGeneration, Qwen2VLImageProcessor, Qwen2VLVideoProcessor, WhisperFeatureExtractor

NAMED = dict(image_token="<|IMAGE|>", audio_token="<|AUDIO|>", video_token="<|VIDEO|>", vision_bos_token="<|vision_bos|>", vision_eos_token="<|vision_eos|>", audio_bos_token="<|audio_bos|>", audio_eos_token="<|audio_eos|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or part['type'] == 'image_url' %}<|vision_bos|><|IMAGE|><|vision_eos|>"
    "{% elif part['type'] == 'video' or part['type'] == 'video_url' %}<|vision_bos|><|VIDEO|><|vision_eos|>"
    "{% elif part['type'] == 'audio' or part['type'] == 'audio_url' or part['type'] == 'input_audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

def processor_files(tokenizer, out):
    t = PreTrainedTokenizerFast(tokenizer_file=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", model_max_length=2048, clean_up_tokenization_spaces=False, extra_special_tokens=NAMED)
    limits = dict(min_pixels=3136, max_pixels=1003520)
    Qwen2_5OmniProcessor(image_processor=Qwen2VLImageProcessor(**limits), video_processor=Qwen2VLVideoProcessor(**limits),
        feature_extractor=WhisperFeatureExtractor(feature_size=128, chunk_length=30, return_attention_mask=True, sampling_rate=16000), tokenizer=t, chat_template=TEMPLATE).save_pretrained(out)

def save(model, tokenizer, out):
    os.makedirs(out, exist_ok=True); model.config.dtype = torch.bfloat16; model.to(torch.bfloat16).save_pretrained(out); processor_files(tokenizer, out)
    path = f"{out}/generation_config.json"; g = json.load(open(path)) if os.path.exists(path) else {}
    g.update(bos_token_id=0, do_sample=False, eos_token_id=[2], pad_token_id=0, max_new_tokens=64); json.dump(g, open(path, "w"), indent=1)

if __name__ == "__main__":
    src, out = sys.argv[1:3]; save(Qwen2_5OmniThinkerForConditionalGeneration.from_pretrained(src, dtype=torch.float32), f"{src}/tokenizer.json", out)
