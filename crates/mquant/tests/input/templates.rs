//! Chat templates: equal to Jinja2 in `transformers`, found where models keep them, refused in words.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mquant::Explain as _;
use mquant::input::chat_template::{AddGenerationPrompt, ChatTemplate, Isolation, TemplateError};
use mquant::input::messages::{Content, MediaSource, Message};
use mquant_testkit::bare;
use proptest::prelude::*;
use serde_json::Value;

fn fixture() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat_templates.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn variables(value: &Value) -> BTreeMap<String, String> {
    value.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect()
}

fn conversation(value: &Value) -> Vec<Message> {
    let media = || MediaSource::Path("x".into());
    let part = |part: &Value| match part["type"].as_str().unwrap() {
        "image" => Content::Image(media()),
        "video" => Content::Video(media().into()),
        _ => Content::Text(part["text"].as_str().unwrap().to_owned()),
    };
    let message = |message: &Value| {
        let role = message["role"].as_str().unwrap();
        match &message["content"] {
            Value::String(text) => Message::plain(role, text),
            parts => Message::parts(role, parts.as_array().unwrap().iter().map(part).collect()),
        }
    };
    value.as_array().unwrap().iter().map(message).collect()
}

fn template(source: &str) -> Result<ChatTemplate, TemplateError> {
    ChatTemplate::new(source.into(), "test.jinja", BTreeMap::new(), Isolation::InProcess)
}

fn render(source: &str, messages: &[Message]) -> Result<String, TemplateError> {
    template(source)?.render(messages, AddGenerationPrompt::Yes)
}

#[test]
fn prompts_equal_the_reference() {
    let fixture = fixture();
    let variables = variables(&fixture["variables"]);
    let conversations: Vec<_> = fixture["conversations"].as_array().unwrap().iter().map(conversation).collect();
    let (mut equal, mut refused) = (0, 0);
    for case in fixture["templates"].as_array().unwrap() {
        let source = case["source"].as_str().unwrap().to_owned();
        let template = ChatTemplate::new(source, "t", variables.clone(), Isolation::InProcess).unwrap();
        for (index, messages) in conversations.iter().enumerate() {
            for (at, add) in [AddGenerationPrompt::Yes, AddGenerationPrompt::No].into_iter().enumerate() {
                let expected = &case["prompts"][index][at];
                match (template.render(messages, add), expected.as_str()) {
                    (Ok(prompt), Some(expected)) => {
                        assert_eq!(prompt, expected, "{} on conversation {index}", case["name"]);
                        equal += 1;
                    }
                    (Err(TemplateError::Refused { .. }), None) => refused += 1,
                    (found, expected) => panic!("{} on {index}: {found:?} for {expected:?}", case["name"]),
                }
            }
        }
    }
    assert!(equal >= 200 && refused >= 2, "{equal} {refused}");
}

#[test]
fn sounds_are_known_by_type_and_by_key() {
    let sound = Content::Audio(MediaSource::Path("secret.wav".into()));
    let image = Content::Image(MediaSource::Path("x".into()));
    let messages = [Message::parts("user", vec![image, sound, Content::Text("Why?".into())])];
    // The branches of Qwen2.5-Omni's published template, and Qwen2-Audio's test, which looks at keys alone.
    let by_either = "{% for content in messages[0]['content'] %}{% if content['type'] == 'image' or 'image' in content %}I\
        {% elif content['type'] == 'audio' or 'audio' in content or 'audio_url' in content %}A\
        {% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}";
    let by_key =
        "{% for c in messages[0]['content'] %}{% if 'audio' in c or 'audio_url' in c %}A{% endif %}{% endfor %}";
    let by_value = "{% for c in messages[0]['content'] %}{% if c.audio %}A{% endif %}{% endfor %}";
    let all = "{{ messages[0]['content'][1] | tojson }}";
    for (source, expected) in
        [(by_either, "IAWhy?"), (by_key, "A"), (by_value, "A"), (all, r#"{"type": "audio", "audio": true}"#)]
    {
        assert_eq!(render(source, &messages).unwrap(), expected);
    }
}

#[test]
fn the_fuel_suffices_for_long_conversations() {
    let fixture = fixture();
    let variables = variables(&fixture["variables"]);
    let part = |i: usize| match i % 3 {
        0 => Content::Image(MediaSource::Path("x".into())),
        _ => Content::Text(format!("text {i}")),
    };
    let turn = |i: usize| Message::parts(["user", "assistant"][i % 2], (0..1 + i % 7).map(part).collect());
    let messages: Vec<_> = (0..2000).map(turn).collect();
    for case in fixture["templates"].as_array().unwrap() {
        let source = case["source"].as_str().unwrap().to_owned();
        let template = ChatTemplate::new(source, "t", variables.clone(), Isolation::InProcess).unwrap();
        let prompt = template.render(&messages, AddGenerationPrompt::Yes).unwrap();
        assert!(prompt.len() > 20_000);
    }
}

#[test]
fn templates_are_found_by_precedence() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let read = || ChatTemplate::read(&bare::checkpoint(folder.path()), Isolation::InProcess);
    assert_eq!(read().unwrap_err().code(), "TEMPLATE_MISSING");
    put("tokenizer_config.json", r#"{"eos_token": {"content": "</s>"}, "bos_token": "<s>", "pad_token": null}"#);
    assert_eq!(read().unwrap_err().code(), "TEMPLATE_MISSING");
    put(
        "tokenizer_config.json",
        r#"{"eos_token": {"content": "</s>"}, "bos_token": "<s>", "chat_template": [
            {"name": "tool_use", "template": "no"}, {"name": "default", "template": "list{{ eos_token }}"}]}"#,
    );
    assert_eq!(read().unwrap().render(&[], AddGenerationPrompt::No).unwrap(), "list</s>");
    put("tokenizer_config.json", r#"{"bos_token": "<s>", "chat_template": "config{{ bos_token }}"}"#);
    assert_eq!(read().unwrap().render(&[], AddGenerationPrompt::No).unwrap(), "config<s>");
    put("chat_template.json", r#"{"chat_template": "json{{ bos_token }}"}"#);
    assert_eq!(read().unwrap().render(&[], AddGenerationPrompt::No).unwrap(), "json<s>");
    put("chat_template.jinja", "jinja{{ bos_token }}\n");
    assert_eq!(read().unwrap().render(&[], AddGenerationPrompt::No).unwrap(), "jinja<s>");
    assert_eq!(read().unwrap().variable("bos_token"), Some("<s>"));
}

#[test]
fn broken_template_files_are_refused() {
    let cases: [(&str, &[u8], &str); 16] = [
        ("chat_template.jinja", b"\xff\xfe", "FILE_UTF8"),
        ("chat_template.jinja", b"{% if %}", "TEMPLATE_SYNTAX"),
        ("chat_template.jinja", b"{% for x in y %}", "TEMPLATE_SYNTAX"),
        ("chat_template.jinja", b"{{ 'open }}", "TEMPLATE_SYNTAX"),
        ("chat_template.json", b"{", "JSON_SYNTAX"),
        ("chat_template.json", b"[]", "JSON_ROOT"),
        ("chat_template.json", br#"{"chat_template": "a", "chat_template": "b"}"#, "JSON_DUPLICATE"),
        ("chat_template.json", br#"{"chat_template": 3}"#, "FIELD_KIND"),
        ("chat_template.json", br#"{"chat_template": []}"#, "FIELD_KIND"),
        ("chat_template.json", br#"{"chat_template": ["a"]}"#, "FIELD_KIND"),
        ("chat_template.json", br#"{"chat_template": [{"name": "default"}]}"#, "FIELD_MISSING"),
        ("chat_template.json", br#"{"chat_template": [{"name": "tool_use", "template": "a"}]}"#, "FIELD_KIND"),
        ("chat_template.json", br#"{"chat_template": {"default": 3}}"#, "FIELD_KIND"),
        ("tokenizer_config.json", br#"{"chat_template": {"x": "y"}}"#, "FIELD_KIND"),
        ("tokenizer_config.json", b"[[", "JSON_SYNTAX"),
        ("tokenizer_config.json", br#"{"chat_template": null}"#, "TEMPLATE_MISSING"),
    ];
    for (file, bytes, code) in cases {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(file), bytes).unwrap();
        let e = ChatTemplate::read(&bare::checkpoint(folder.path()), Isolation::InProcess).unwrap_err();
        assert_eq!(e.code(), code, "{file} {:?}: {e}", String::from_utf8_lossy(bytes));
        assert!(code == "TEMPLATE_MISSING" || e.to_string().starts_with(file), "{e}");
    }
}

#[test]
fn failures_of_a_template_have_codes() {
    let huge = "x".repeat((256 << 10) + 1);
    let deep = format!("{}1{}", "{% if 1 %}".repeat(10_000), "{% endif %}".repeat(10_000));
    let cases = [
        (huge.as_str(), "TEMPLATE_BUDGET"),
        (deep.as_str(), "TEMPLATE_SYNTAX"),
        ("{{ raise_exception('no ' ~ messages[0].role) }}", "TEMPLATE_REFUSED"),
        ("{% macro m() %}{{ raise_exception('no') }}{% endmacro %}{{ m() }}", "TEMPLATE_REFUSED"),
        ("{{ unknown.field }}", "TEMPLATE_RENDER"),
        ("{{ 'x'.nothing() }}", "TEMPLATE_RENDER"),
        ("{{ 1 + 'x' }}", "TEMPLATE_RENDER"),
        ("{{ 1 // 0 }}", "TEMPLATE_RENDER"),
        ("{{ unknown() }}", "TEMPLATE_RENDER"),
        ("{{ unknown | tojson }}", "TEMPLATE_RENDER"),
        ("{{ debug() }}", "TEMPLATE_RENDER"),
        ("{% include 'x' %}", "TEMPLATE_RENDER"),
        ("{% include 'chat template' %}", "TEMPLATE_RENDER"),
        ("{% extends 'chat template' %}", "TEMPLATE_RENDER"),
        ("{% import 'chat template' as x %}", "TEMPLATE_RENDER"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "TEMPLATE_RENDER"),
        ("{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}", "TEMPLATE_BUDGET"),
        ("{{ 'x' * 9000000 }}", "TEMPLATE_BUDGET"),
    ];
    for (source, code) in cases {
        let e = render(source, &[Message::plain("user", "hi")]).unwrap_err();
        let start: String = source.chars().take(60).collect();
        assert_eq!(e.code(), code, "{start}: {e}");
        assert!(e.to_string().len() < 400, "{e}");
    }
    let text = "y".repeat((4 << 20) + 1);
    assert_eq!(render("x", &[Message::plain("user", text)]).unwrap_err().code(), "TEMPLATE_BUDGET");
}

#[test]
fn json_is_written_as_python_does() {
    // Expected: json.dumps(.., ensure_ascii=False) and its options in Python 3.
    let cases = [
        ("{{ {'a': [1, 2.0, 1e30, none, true], 'b': {}} | tojson }}", r#"{"a": [1, 2.0, 1e+30, null, true], "b": {}}"#),
        ("{{ 'é\\n\"\\\\/<&>' | tojson }}", r#""é\n\"\\/<&>""#),
        ("{{ 'é🎉' | tojson(ensure_ascii=true) }}", r#""\u00e9\ud83c\udf89""#),
        ("{{ {'b': 1, 'a': []} | tojson(sort_keys=true, separators=[',', ':']) }}", r#"{"a":[],"b":1}"#),
        (
            "{{ {'b': [1, {'c': 2}], 'a': {}} | tojson(indent=2) }}",
            "{\n  \"b\": [\n    1,\n    {\n      \"c\": 2\n    }\n  ],\n  \"a\": {}\n}",
        ),
    ];
    for (source, expected) in cases {
        assert_eq!(render(source, &[]).unwrap(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// Templates with bytes changed, cut, or spliced from others render, or fail with a documented code; none panics.
    #[test]
    fn mutated_templates_never_panic(
        pick in 0_usize..8, other in 0_usize..8, at in 0.0_f64..1.0, from in 0.0_f64..1.0, length in 0_usize..60,
        edits in prop::collection::vec((0.0_f64..1.0, prop::char::range(' ', '~')), 0..4),
    ) {
        thread_local!(static FIXTURE: Value = fixture());
        let (mut source, donor, messages) = FIXTURE.with(|fixture| {
            let chars = |i: usize| -> Vec<char> { fixture["templates"][i]["source"].as_str().unwrap().chars().collect() };
            (chars(pick), chars(other), conversation(&fixture["conversations"][6]))
        });
        let place = |share: f64, length: usize| (share * length as f64) as usize;
        let start = place(from, donor.len());
        let piece = donor[start..(start + length).min(donor.len())].to_vec();
        let at = place(at, source.len());
        source.splice(at..(at + length / 2).min(source.len()), piece);
        for (share, c) in edits {
            let at = place(share, source.len());
            source[at] = c;
        }
        let source: String = source.into_iter().collect();
        if let Err(e) = render(&source, &messages) {
            prop_assert!(e.code().starts_with("TEMPLATE_"), "{}", e);
        }
    }
}
