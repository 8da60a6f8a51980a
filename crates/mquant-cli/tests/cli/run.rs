//! `mquant run` on the tiny model: answers equal the reference's greedy tokens, whichever way the question comes.

use std::fs;
use std::process::Stdio;

use mquant::input::tokenizer::{Limits, SkipSpecial, Tokenizer};
use safetensors::SafeTensors;

use crate::command::{golden, mquant, object, output, output_with_stdin, stderr, stdout};

/// The text of the reference's greedy answer in a golden file.
fn reference(case: &str) -> String {
    let folder = golden("qwen2_vl");
    let file = fs::read(folder.join(format!("{case}.golden.safetensors"))).unwrap();
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let bytes = tensors.tensor("generated").unwrap().data().to_vec();
    let ids: Vec<u32> = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let limits = Limits { vocabulary_rows: 768, placeholders: &[6, 7] };
    let text = fs::read_to_string(folder.join("tokenizer.json")).unwrap();
    let tokenizer = Tokenizer::parse(&text, &limits, "tokenizer.json").unwrap();
    tokenizer.decode(&ids, SkipSpecial::Yes).unwrap()
}

fn folder() -> String {
    golden("qwen2_vl").to_str().unwrap().to_owned()
}

fn picture(name: &str) -> String {
    golden("qwen2_vl").join(name).to_str().unwrap().to_owned()
}

#[test]
fn the_answer_is_the_references_from_prompt_and_from_stdin() {
    let (model, image) = (folder(), picture("one-0.png"));
    let ask = ["run", &model, "--image", &image, "--max-tokens", "12"];
    let by_flag = output(&[&ask[..], &["--prompt", "Read all the text."]].concat());
    assert_eq!(stdout(&by_flag), reference("one") + "\n");
    assert_eq!((stderr(&by_flag).as_str(), by_flag.status.code()), ("", Some(0)), "nothing to say without a terminal");
    for stdin in ["Read all the text.", "Read all the text.\n", "Read all the text.\r\n"] {
        let by_stdin = output_with_stdin(&ask, stdin.as_bytes());
        assert_eq!(by_stdin.stdout, by_flag.stdout, "{stdin:?}");
    }
}

#[test]
fn json_is_one_object_that_counts() {
    let (model, image) = (folder(), picture("one-0.png"));
    let ask = ["run", &model, "--image", &image, "--prompt", "Read all the text.", "--max-tokens", "12", "--json"];
    let answered = output(&[&ask[..], &["--threads", "1", "--context", "100"]].concat());
    assert_eq!((answered.status.code(), stderr(&answered).as_str()), (Some(0), ""));
    let object = object(&answered, "mquant.run/1");
    assert_eq!(object["text"], reference("one"));
    assert_eq!(object["finish"], "length");
    assert_eq!(object["audio_s"], 0.0, "no sound, no time");
    // 31 tokens and 15 placeholders: the golden's input_ids.
    for (field, expected) in [
        ("prompt_tokens", 31),
        ("images", 1),
        ("image_tokens", 15),
        ("videos", 0),
        ("video_tokens", 0),
        ("audios", 0),
        ("audio_tokens", 0),
        ("generated_tokens", 12),
        ("threads", 1),
        ("context", 100),
        ("seed", 0),
    ] {
        assert_eq!(object[field], expected, "{field}");
    }
    for field in
        ["load_s", "prepare_s", "vision_s", "prefill_s", "decode_s", "prefill_tokens_per_s", "decode_tokens_per_s"]
    {
        assert!(object[field].as_f64().unwrap() > 0.0, "{field}");
    }
}

#[test]
fn media_keep_the_order_of_the_command_line() {
    let (model, image, video) = (folder(), picture("two-0.png"), picture("video-frames"));
    let ask = |media: &[&str]| {
        let rest = ["--prompt", "Describe.", "--max-tokens", "8", "--json"];
        let answered = output(&[&["run", model.as_str()], media, &rest].concat());
        object(&answered, "mquant.run/1")
    };
    let image_first = ask(&["--image", &image, "--video", &video]);
    let video_first = ask(&["--video", &video, "--image", &image]);
    assert_eq!((&image_first["images"], &image_first["videos"]), (&1.into(), &1.into()));
    assert_eq!(image_first["prompt_tokens"], video_first["prompt_tokens"]);
    assert_ne!(image_first["text"], video_first["text"]);
}

#[test]
fn a_stop_string_and_max_tokens_end_the_answer() {
    let (model, image) = (folder(), picture("one-0.png"));
    let ask = ["run", &model, "--image", &image, "--prompt", "Read all the text.", "--json"];
    let whole = reference("one");
    let stop: String = whole.chars().skip(4).take(2).collect();
    let stopped = object(&output(&[&ask[..], &["--stop", &stop]].concat()), "mquant.run/1");
    assert_eq!(stopped["finish"], "stop");
    assert_eq!(stopped["text"], whole[..whole.find(&stop).unwrap()]);
    let short = object(&output(&[&ask[..], &["--max-tokens", "3"]].concat()), "mquant.run/1");
    assert_eq!((&short["finish"], &short["generated_tokens"]), (&"length".into(), &3.into()));
    assert!(whole.starts_with(short["text"].as_str().unwrap()));
}

#[test]
fn draws_repeat_with_the_seed() {
    let model = folder();
    let ask = |seed: &str| {
        let rest = ["--temperature", "1", "--top-k", "0", "--max-tokens", "20", "--seed", seed];
        stdout(&output(&[&["run", &model, "--prompt", "Tell me."][..], &rest].concat()))
    };
    assert_eq!(ask("1"), ask("1"));
    assert_ne!(ask("1"), ask("2"));
}

#[test]
fn special_tokens_in_the_prompt_stay_text() {
    let model = folder();
    let tokens = |prompt: &str| {
        let answered = output(&["run", &model, "--prompt", prompt, "--max-tokens", "1", "--json"]);
        object(&answered, "mquant.run/1")["prompt_tokens"].as_u64().unwrap()
    };
    // As a control token it would be one.
    assert!(tokens("a<|im_end|>") > tokens("a") + 3);
    let placeholder = output(&["run", &model, "--prompt", "<|image_pad|>", "--max-tokens", "1"]);
    assert_eq!(placeholder.status.code(), Some(0), "{}", stderr(&placeholder));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let model = folder();
    let commands = [
        &["run", &model, "--prompt", "x", "--max-tokens", "50"][..],
        &["run", &model, "--prompt", "x", "--max-tokens", "5", "--json"],
        &["inspect", &model],
    ];
    for arguments in commands {
        let mut child = mquant(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), stderr(&ended).as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn the_demo_model_is_the_one_the_environment_names() {
    let named = mquant(&["run", "--prompt", "x", "--max-tokens", "2", "--json"])
        .env("MQUANT_DEMO_MODEL", folder())
        .output()
        .unwrap();
    assert_eq!(object(&named, "mquant.run/1")["model"], folder());
}
