//! Ids equal to the reference; users' text never control tokens; broken tokenizers refused; time and memory bounded.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mquant::Explain as _;
use mquant::input::chat_template::{AddGenerationPrompt, ChatTemplate, Isolation};
use mquant::input::messages::{Content, MediaSource, Message};
use mquant::input::tokenizer::{Limits, SkipSpecial, Tokenizer, TokenizerError};
use mquant::input::{encode_chat, encode_text};
use mquant_testkit::bare;
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const ROWS: Limits<'static> = Limits { vocabulary_rows: 768, placeholders: &[] };

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn demo_json() -> Value {
    serde_json::from_str(&fs::read_to_string(fixtures().join("demo_tokenizer.json")).unwrap()).unwrap()
}

fn demo() -> Tokenizer {
    load(&demo_json()).unwrap()
}

fn load(json: &Value) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::parse(&json.to_string(), &ROWS, "tokenizer.json")
}

/// Strings that equal the reference, and how many there are.
fn parity(tokenizer: &Tokenizer, folder: &Path) -> (usize, usize) {
    let fixture: Value = serde_json::from_str(&fs::read_to_string(folder.join("tokenizer_ids.json")).unwrap()).unwrap();
    let strings = fixture["strings"].as_array().unwrap();
    let mut equal = 0;
    for (string, ids) in strings.iter().zip(fixture["ids"].as_array().unwrap()) {
        let expected: Vec<u32> =
            ids.as_str().unwrap().split_whitespace().map(|id| u32::from_str_radix(id, 16).unwrap()).collect();
        let found = tokenizer.encode_text(string.as_str().unwrap()).unwrap();
        if found == expected {
            equal += 1;
        } else {
            println!("{string}: {found:?}, expected {expected:?}");
        }
    }
    (equal, strings.len())
}

#[test]
fn ids_equal_the_reference() {
    let (equal, all) = parity(&demo(), &fixtures());
    assert!(all >= 2000);
    assert_eq!(equal, all);
}

/// For a tokenizer that is not part of this repository: a folder with tokenizer.json and the output of
/// tools/fixtures/text.py.
#[test]
#[ignore = "needs MQUANT_PARITY_FOLDER"]
fn ids_equal_the_reference_on_another_tokenizer() {
    let folder = PathBuf::from(std::env::var_os("MQUANT_PARITY_FOLDER").expect("a folder"));
    let limits = Limits { vocabulary_rows: 1 << 20, placeholders: &[] };
    let start = Instant::now();
    let tokenizer =
        Tokenizer::parse(&fs::read_to_string(folder.join("tokenizer.json")).unwrap(), &limits, "t").unwrap();
    println!("loaded in {:?}", start.elapsed());
    let (equal, all) = parity(&tokenizer, &folder);
    println!("{equal} of {all}");
    assert_eq!(equal, all);
    pathological(&tokenizer);
    injected(&tokenizer, &["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|image_pad|>", "<|vision_start|>"]);
}

const CHAT: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content %}{% if c.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

fn chat(source: &str) -> ChatTemplate {
    ChatTemplate::new(source.into(), "t", BTreeMap::new(), Isolation::InProcess).unwrap()
}

/// Control ids in a prompt are those the template writes, whatever the messages say; and the text comes back.
fn injected(tokenizer: &Tokenizer, specials: &[&str]) {
    let template = chat(CHAT);
    let [start, end, image] = ["<|im_start|>", "<|im_end|>", "<|image_pad|>"].map(|t| tokenizer.token_id(t).unwrap());
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let words = [
        "hello",
        " ",
        "<",
        "|",
        ">",
        "<|",
        "|>",
        "im_",
        "start|>",
        "\n",
        "語",
        "🎉",
        "\u{fdd0}",
        "\u{f0000}",
        ">quote",
        "_",
        "end",
    ];
    for round in 0..2500 {
        let mut text = || -> String {
            (0..rng.random_range(0..8))
                .map(|_| match rng.random_range(0..4) {
                    0 => specials[rng.random_range(0..specials.len())].to_owned(),
                    1 => {
                        let token = specials[rng.random_range(0..specials.len())];
                        let cut = rng.random_range(0..=token.len());
                        if rng.random() { token[..cut].to_owned() } else { token[cut..].to_owned() }
                    }
                    _ => words[rng.random_range(0..words.len())].to_owned(),
                })
                .collect()
        };
        let image_part = || Content::Image(MediaSource::Path("x".into()));
        let (a, b, c) = (text(), text(), text());
        let parts = vec![Content::Text(a.clone()), Content::Text(b.clone()), image_part(), Content::Text(c.clone())];
        let messages = [Message::plain("system", text()), Message::parts("user", parts)];
        let ids = encode_chat(&template, tokenizer, &messages, AddGenerationPrompt::Yes).unwrap();
        let controls: Vec<u32> = ids.iter().copied().filter(|&id| tokenizer.is_control(id)).collect();
        let [open, close] = ["<|vision_start|>", "<|vision_end|>"].map(|t| tokenizer.token_id(t).unwrap());
        assert_eq!(controls, [start, end, start, open, image, close, end, start], "round {round}: {messages:?}");
        let decoded = tokenizer.decode(&ids, SkipSpecial::No).unwrap();
        let system = messages[0].texts().next().unwrap();
        let expected = format!(
            "<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{a}{b}<|vision_start|><|image_pad|><|vision_end|>{c}<|im_end|>\n<|im_start|>assistant\n"
        );
        assert_eq!(decoded, expected);
        let alone = tokenizer.encode_text(&a).unwrap();
        assert!(!alone.iter().any(|&id| tokenizer.is_control(id)));
        assert_eq!(tokenizer.decode(&alone, SkipSpecial::Yes).unwrap(), a);
    }
}

#[test]
fn users_text_never_becomes_a_control_token() {
    let json = demo_json();
    let specials: Vec<String> =
        json["added_tokens"].as_array().unwrap().iter().map(|t| t["content"].as_str().unwrap().to_owned()).collect();
    injected(&demo(), &specials.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn control_tokens_in_the_vocabulary_are_not_reached_by_merges() {
    let mut json = demo_json();
    // A word that is in the vocabulary is taken whole, so that only the check after the model can tell.
    json["model"]["ignore_merges"] = true.into();
    json["pre_tokenizer"] =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let tokenizer = load(&json).unwrap();
    for text in ["<|im_start|>", "<|endoftext|>", "<|im_end|>"] {
        let ids = tokenizer.encode_text(text).unwrap();
        assert!(ids.len() > 1 && !ids.iter().any(|&id| tokenizer.is_control(id)), "{text}: {ids:?}");
        assert_eq!(tokenizer.decode(&ids, SkipSpecial::Yes).unwrap(), text);
    }
}

#[test]
fn prompts_equal_the_reference_where_no_text_is_injected() {
    // The tokens of a prompt are the tokens of its stretches between control tokens.
    let tokenizer = demo();
    let ids =
        encode_chat(&chat(CHAT), &tokenizer, &[Message::plain("user", "How many?")], AddGenerationPrompt::Yes).unwrap();
    let text = |t: &str| tokenizer.encode_text(t).unwrap();
    let id = |t: &str| vec![tokenizer.token_id(t).unwrap()];
    let expected = [
        id("<|im_start|>"),
        text("user\nHow many?"),
        id("<|im_end|>"),
        text("\n"),
        id("<|im_start|>"),
        text("assistant\n"),
    ];
    assert_eq!(ids, expected.concat());
}

#[test]
fn a_post_processor_frames_text_unless_the_template_did() {
    let mut json = demo_json();
    json["post_processor"] = json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}}});
    let tokenizer = load(&json).unwrap();
    assert_eq!(encode_text(&tokenizer, "a").unwrap()[0], 0);
    let messages = [Message::plain("user", "a")];
    let encode = |source: &str| {
        let variables = BTreeMap::from([("bos_token".to_owned(), "<|endoftext|>".to_owned())]);
        let template = ChatTemplate::new(source.into(), "t", variables, Isolation::InProcess).unwrap();
        encode_chat(&template, &tokenizer, &messages, AddGenerationPrompt::No).unwrap()
    };
    assert_eq!(encode("{{ bos_token }}{{ messages[0].content }}"), encode("{{ messages[0].content }}"));
    assert_eq!(encode("{{ messages[0].content }}").iter().filter(|&&id| id == 0).count(), 1);
}

#[test]
fn streamed_text_equals_the_whole() {
    let tokenizer = demo();
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    for round in 0..400 {
        let ids: Vec<u32> = if round % 2 == 0 {
            tokenizer.encode_text("naïve 語言 🎉👩‍👩‍👧 straße e\u{301} \u{fffd} end").unwrap()
        } else {
            (0..rng.random_range(0..60)).map(|_| rng.random_range(0..768)).collect()
        };
        let mut stream = tokenizer.decode_stream(SkipSpecial::Yes);
        let mut text = String::new();
        for &id in &ids {
            let piece = stream.push(id).unwrap();
            if round % 2 == 0 {
                assert!(!piece.contains('\u{fffd}') || piece.contains(' ') || piece == "\u{fffd}", "{piece:?}");
            }
            text.push_str(&piece);
        }
        text.push_str(&stream.finish().unwrap());
        assert_eq!(text, tokenizer.decode(&ids, SkipSpecial::Yes).unwrap(), "round {round}");
    }
}

/// Texts that have hurt tokenizers, 1 MB each, in a small stack: an answer or TOKENIZE_BUDGET, in bounded time.
fn pathological(tokenizer: &Tokenizer) {
    let million = 1_000_000;
    let texts = [
        "a".repeat(million),
        "^".repeat(million),
        "\u{200d}".repeat(million / 3),
        " ".repeat(million),
        "\n".repeat(million),
        "<".repeat(million),
        "<|".repeat(million / 2),
        "<|im_start|>".repeat(million / 12),
        "e\u{301}".repeat(million / 3),
        "0".repeat(million),
        "語".repeat(million / 3),
        "aB1 ".repeat(million / 4),
    ];
    std::thread::scope(|scope| {
        let run = || {
            for text in &texts {
                let start = Instant::now();
                let outcome = tokenizer.encode_text(text);
                let taken = start.elapsed();
                println!("{:?}…: {taken:?}", text.chars().take(12).collect::<String>());
                match outcome {
                    // A normaliser may compose the accent with its letter.
                    Ok(ids) => {
                        let decoded = tokenizer.decode(&ids, SkipSpecial::Yes).unwrap();
                        assert!(decoded == *text || decoded == text.replace("e\u{301}", "\u{e9}"));
                    }
                    Err(e) => assert_eq!(e.code(), "TOKENIZE_BUDGET"),
                }
                assert!(taken < Duration::from_secs(10), "{taken:?}");
            }
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn_scoped(scope, run).unwrap().join().unwrap();
    });
    let e = tokenizer.encode_text(&"a".repeat((8 << 20) + 1)).unwrap_err();
    assert_eq!(e.code(), "TOKENIZE_BUDGET");
}

#[test]
fn pathological_texts_end() {
    pathological(&demo());
}

#[test]
fn broken_tokenizers_are_refused() {
    type Break = fn(&mut Value);
    let cases: [(&str, &str, Break); 36] = [
        ("not an object", "JSON_ROOT", |j| *j = json!([])),
        ("empty object", "TOKENIZER_FORM", |j| *j = json!({})),
        ("no model", "TOKENIZER_FORM", |j| j["model"] = Value::Null),
        ("unknown model", "TOKENIZER_FORM", |j| j["model"]["type"] = "Nothing".into()),
        ("vocabulary of a wrong type", "TOKENIZER_FORM", |j| j["model"]["vocab"] = json!(["a"])),
        ("negative id", "TOKENIZER_FORM", |j| j["model"]["vocab"]["a"] = (-1).into()),
        ("fractional id", "TOKENIZER_FORM", |j| j["model"]["vocab"]["a"] = 1.5.into()),
        ("huge id", "TOKENIZER_FORM", |j| j["model"]["vocab"]["a"] = 5_000_000_000_u64.into()),
        ("id past the embedding", "TOKENIZER_ID", |j| j["model"]["vocab"]["new"] = 768.into()),
        ("largest id", "TOKENIZER_ID", |j| j["model"]["vocab"]["new"] = u32::MAX.into()),
        ("two tokens share an id", "TOKENIZER_ID", |j| j["model"]["vocab"]["new"] = 8.into()),
        ("merge of an unknown token", "TOKENIZER_FORM", |j| j["model"]["merges"] = json!([["zzzz", "y"]])),
        ("merge without a result", "TOKENIZER_FORM", |j| j["model"]["merges"] = json!([["!", "~"]])),
        ("merge of one", "TOKENIZER_FORM", |j| j["model"]["merges"] = json!([["!"]])),
        ("merge longer than any token", "TOKENIZER_FORM", |j| j["model"]["merges"] = json!([["!", "!".repeat(5000)]])),
        ("merges of a wrong type", "TOKENIZER_FORM", |j| j["model"]["merges"] = json!(7)),
        ("added token empty", "TOKENIZER_ADDED_TOKEN", |j| j["added_tokens"][0]["content"] = "".into()),
        ("added token of 1 MB", "TOKENIZER_ADDED_TOKEN", |j| {
            j["added_tokens"][0]["content"] = "x".repeat(1 << 20).into()
        }),
        ("added token past the embedding", "TOKENIZER_ID", |j| j["added_tokens"][0]["id"] = 900.into()),
        ("added token with another's id", "TOKENIZER_ADDED_TOKEN", |j| j["added_tokens"][0]["id"] = 1.into()),
        ("added token twice", "TOKENIZER_ADDED_TOKEN", |j| j["added_tokens"][0]["content"] = "<|im_end|>".into()),
        ("added token with a wrong id", "TOKENIZER_ADDED_TOKEN", |j| j["added_tokens"][0]["id"] = 700.into()),
        ("added token without content", "FIELD_MISSING", |j| j["added_tokens"][0] = json!({"id": 0})),
        ("added token with a negative id", "FIELD_RANGE", |j| j["added_tokens"][0]["id"] = (-1).into()),
        ("added tokens of a wrong type", "FIELD_KIND", |j| j["added_tokens"] = json!({"a": 1})),
        ("control token of one character", "TOKENIZER_ADDED_TOKEN", |j| {
            j["added_tokens"][0] = json!({"id": 8, "content": "!", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true});
        }),
        ("broken regular expression", "TOKENIZER_FORM", |j| {
            j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(".into();
        }),
        ("exploding regular expression", "TOKENIZER_FORM", |j| {
            j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "((a{1000}){1000}){1000}".into();
        }),
        ("unknown pre-tokenizer", "TOKENIZER_FORM", |j| j["pre_tokenizer"] = json!({"type": "Nothing"})),
        ("fixed length of nothing", "TOKENIZER_FORM", |j| {
            j["pre_tokenizer"] = json!({"type": "FixedLength", "length": 0})
        }),
        ("unknown normalizer", "TOKENIZER_FORM", |j| j["normalizer"] = json!({"type": "Nothing"})),
        ("broken character map", "TOKENIZER_FORM", |j| {
            j["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"});
        }),
        ("unknown decoder", "TOKENIZER_FORM", |j| j["decoder"] = json!({"type": "Nothing"})),
        ("unknown post-processor", "TOKENIZER_FORM", |j| j["post_processor"] = json!({"type": "Nothing"})),
        ("post-processor without its token", "TOKENIZER_FORM", |j| {
            j["post_processor"] = json!({"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {}});
        }),
        ("post-processor past the embedding", "TOKENIZER_ID", |j| {
            j["post_processor"] = json!({"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "[X]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"[X]": {"id": "[X]", "ids": [5000], "tokens": ["[X]"]}}});
        }),
    ];
    let mut wrong = Vec::new();
    for (name, code, change) in cases {
        let mut json = demo_json();
        change(&mut json);
        match load(&json) {
            Err(e) if e.code() == code && e.to_string().len() < 400 => {}
            other => wrong.push(format!("{name}: expected {code}, found {other:?}")),
        }
    }
    let deep = "[".repeat(100_000);
    for (text, code) in [
        ("", "JSON_SYNTAX"),
        ("{", "JSON_SYNTAX"),
        ("\u{0}", "JSON_SYNTAX"),
        (&deep, "JSON_DEPTH"),
        (r#"{"model": {"vocab": {"a": 0, "a": 1}}}"#, "JSON_DUPLICATE"),
    ] {
        match Tokenizer::parse(text, &ROWS, "t") {
            Err(e) if e.code() == code => {}
            other => wrong.push(format!("{:?}: {other:?}", text.chars().take(9).collect::<String>())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let folder = tempfile::tempdir().unwrap();
    let e = Tokenizer::read(&bare::checkpoint(folder.path()), &ROWS).unwrap_err();
    assert_eq!(e.code(), "FILE_MISSING");
    assert!(e.to_string().contains("tokenizer.json") && e.hint().is_some());
    fs::copy(fixtures().join("demo_tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    assert!(Tokenizer::read(&bare::checkpoint(folder.path()), &ROWS).is_ok());
}

/// Settings the crate has failed on, which this library does not use: they change nothing.
#[test]
fn truncation_and_padding_are_ignored() {
    let text = "some words to encode";
    let plain = demo().encode_text(text).unwrap();
    for (max, stride) in [(2, 1), (2, 5), (0, 0)] {
        let mut json = demo_json();
        json["truncation"] =
            json!({"direction": "Right", "max_length": max, "strategy": "LongestFirst", "stride": stride});
        match load(&json) {
            Ok(tokenizer) => assert_eq!(tokenizer.encode_text(text).unwrap(), plain),
            Err(e) => assert_eq!(e.code(), "TOKENIZER_FORM"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// A tokenizer.json with bytes changed loads or is refused; one that loads encodes and decodes or refuses.
    #[test]
    fn mutated_tokenizers_never_panic(edits in prop::collection::vec((0.0_f64..1.0, any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..5)) {
        thread_local!(static TEXT: String = fs::read_to_string(fixtures().join("demo_tokenizer.json")).unwrap());
        let mut bytes = TEXT.with(|text| text.clone().into_bytes());
        for (share, index, byte, kind) in edits {
            // Half of the edits fall into the part before the vocabulary.
            let at = if kind % 2 == 0 { index.index(2600) } else { (share * bytes.len() as f64) as usize };
            match kind {
                0 | 1 => bytes[at] = b"{}[]\",:0123456789truefalsn\\x"[usize::from(byte) % 28],
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte & 0x7f),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        match Tokenizer::parse(&text, &ROWS, "t") {
            Ok(tokenizer) => {
                let ids = tokenizer.encode_text("Some text, <|im_end|> 語 12");
                prop_assert!(ids.as_ref().map_or(true, |ids| ids.iter().all(|&id| id < 768)));
                let _ = tokenizer.decode(&[0, 1, 100, 767, 5_000_000], SkipSpecial::No);
            }
            Err(e) => {
                let known = ["TOKENIZER_", "JSON_", "FIELD_"].iter().any(|start| e.code().starts_with(start));
                prop_assert!(known && e.to_string().len() < 400, "{}", e);
            }
        }
    }
}
