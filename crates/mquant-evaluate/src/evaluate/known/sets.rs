//! The published benchmarks.

use super::{Known, PromptStyle};
use crate::evaluate::metric::{
    Anls, CHOICE, CHOICE_CIRCULAR, CHOICE_OPEN, ExactMatch, Mme, OcrBench, Relaxed, Vqa, Wer,
};

/// Every benchmark that is known by name; no two share one.
pub static KNOWN: &[Known] = &[
    Known {
        names: &["TextVQA_VAL", "textvqa", "textvqa_test"],
        metric: &Vqa,
        prompt: PromptStyle::ShortAnswer,
        max_new_tokens: 32,
    },
    Known {
        names: &["VizWiz", "VizWiz-VQA", "vizwiz_vqa_val", "vizwiz_vqa_test"],
        metric: &Vqa,
        prompt: PromptStyle::Alone,
        max_new_tokens: 32,
    },
    Known {
        names: &["DocVQA_VAL", "DocVQA_TEST", "DocVQA", "InfoVQA_VAL", "InfoVQA_TEST", "InfographicVQA", "infovqa"],
        metric: &Anls,
        prompt: PromptStyle::ShortAnswer,
        max_new_tokens: 32,
    },
    Known {
        names: &["ChartQA_TEST", "ChartQA"],
        metric: &Relaxed,
        prompt: PromptStyle::ShortAnswer,
        max_new_tokens: 16,
    },
    Known { names: &["OCRBench", "OCRBench_MINI"], metric: &OcrBench, prompt: PromptStyle::Alone, max_new_tokens: 128 },
    Known { names: &["MME"], metric: &Mme, prompt: PromptStyle::Alone, max_new_tokens: 16 },
    Known {
        names: &["MMMU_DEV_VAL", "MMMU_TEST", "MMMU", "mmmu_val"],
        metric: &CHOICE_OPEN,
        prompt: PromptStyle::PlacedChoice,
        max_new_tokens: 128,
    },
    Known {
        names: &[
            "MMBench_DEV_EN",
            "MMBench_TEST_EN",
            "MMBench_DEV_CN",
            "MMBench_TEST_CN",
            "MMBench_DEV_KO",
            "MMBench",
            "MMBench_CN",
            "MMBench_DEV_EN_V11",
            "MMBench_TEST_EN_V11",
            "MMBench_DEV_CN_V11",
            "MMBench_TEST_CN_V11",
            "MMBench_V11",
            "MMBench_CN_V11",
            "MMBench_V11_MINI",
            "MMBench_dev_ar",
            "MMBench_dev_pt",
            "MMBench_dev_ru",
            "MMBench_dev_tr",
            "mmbench_en_dev",
            "mmbench_en_test",
            "mmbench_cn_dev",
            "mmbench_cn_test",
            "CCBench",
        ],
        metric: &CHOICE_CIRCULAR,
        prompt: PromptStyle::Choice,
        max_new_tokens: 1024,
    },
    Known {
        names: &["ScienceQA_VAL", "ScienceQA_TEST", "ScienceQA", "ScienceQA-FULL", "ScienceQA-IMG", "scienceqa_img"],
        metric: &CHOICE,
        prompt: PromptStyle::Choice,
        max_new_tokens: 16,
    },
    Known {
        names: &["AI2D_TEST", "AI2D_TEST_NO_MASK", "AI2D_MINI", "MMStar", "MMStar_MINI", "RealWorldQA"],
        metric: &CHOICE,
        prompt: PromptStyle::Choice,
        max_new_tokens: 16,
    },
    Known {
        names: &["librispeech_test_clean", "librispeech_test_other", "librispeech_dev_clean", "librispeech_dev_other"],
        metric: &Wer,
        prompt: PromptStyle::Transcript,
        max_new_tokens: 256,
    },
    Known { names: &["DemoSpeech"], metric: &Wer, prompt: PromptStyle::Alone, max_new_tokens: 24 },
    Known {
        names: &[
            "DemoTextVQA",
            "DemoDocVQA",
            "DemoOCRBench",
            "DemoMME",
            "DemoCount",
            "DemoColor",
            "DemoSound",
            "DemoBoth",
        ],
        metric: &ExactMatch,
        prompt: PromptStyle::Alone,
        max_new_tokens: 24,
    },
];
