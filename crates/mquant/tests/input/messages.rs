//! Messages as users write them, and generation defaults as models publish them: accepted forms, and a code for each
//! broken one.

use std::path::Path;

use mquant::checkpoint::Fields;
use mquant::input::generation_config::{Decoding, GenerationConfig};
use mquant::input::messages::{Body, Content, FrameRate, MediaSource, Message, MessagesError, Video, parse};
use mquant::{Class, Explain as _};
use mquant_testkit::bare;
use proptest::prelude::*;

fn read(json: &str) -> Result<Vec<Message>, MessagesError> {
    parse(json, Path::new("folder"), "m.json")
}

fn path(name: &str) -> MediaSource {
    MediaSource::Path(Path::new("folder").join(name))
}

#[test]
fn both_conventions_are_read() {
    let json = r#"{"model": "x", "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "a.png", "detail": "low"}},
            {"type": "image_url", "image_url": "b.png"},
            {"type": "image", "image": "c.png"}, {"type": "image", "url": "d.png"}, {"type": "image", "path": "e.png"},
            {"type": "video_url", "video_url": {"url": "f.mp4"}}, {"type": "video", "video": "g.mp4", "fps": 2.5},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AQID"}},
            {"type": "text", "text": "Why?"}]}]}"#;
    let parts = vec![
        Content::Image(path("a.png")),
        Content::Image(path("b.png")),
        Content::Image(path("c.png")),
        Content::Image(path("d.png")),
        Content::Image(path("e.png")),
        Content::Video(path("f.mp4").into()),
        Content::Video(Video { source: path("g.mp4"), fps: FrameRate::new(2.5), audio: None }),
        Content::Image(MediaSource::Bytes([1, 2, 3].as_slice().into())),
        Content::Text("Why?".into()),
    ];
    let messages = read(json).unwrap();
    assert_eq!(messages, [Message::plain("system", "Be brief."), Message::parts("user", parts)]);
    assert_eq!(messages[1].media().count(), 8);
    assert_eq!(messages.iter().flat_map(Message::texts).collect::<Vec<_>>(), ["Be brief.", "Why?"]);
    assert_eq!(read(r#"[{"role":"user","content":""}]"#).unwrap()[0].body, Body::Plain(String::new()));
}

#[test]
fn sounds_are_read_in_every_form() {
    let json = r#"[{"role": "user", "content": [
        {"type": "audio_url", "audio_url": {"url": "a.wav"}}, {"type": "audio_url", "audio_url": "b.wav"},
        {"type": "input_audio", "input_audio": {"data": "AQID", "format": "wav"}},
        {"type": "audio", "audio": "c.wav"}, {"type": "audio", "url": "d.wav"}, {"type": "audio", "path": "e.wav"},
        {"type": "audio", "audio": "data:audio/mpeg;base64,AQI="},
        {"type": "video", "video": "f", "audio": "f.wav"},
        {"type": "video_url", "video_url": "g", "audio": {"url": "data:audio/wav;base64,AQID"}, "fps": 2},
        {"type": "video", "video": "h", "audio": null}]}]"#;
    let bytes = || MediaSource::Bytes([1, 2, 3].as_slice().into());
    let video = |name, audio, fps| Content::Video(Video { source: path(name), fps, audio });
    let parts = vec![
        Content::Audio(path("a.wav")),
        Content::Audio(path("b.wav")),
        Content::Audio(bytes()),
        Content::Audio(path("c.wav")),
        Content::Audio(path("d.wav")),
        Content::Audio(path("e.wav")),
        Content::Audio(MediaSource::Bytes([1, 2].as_slice().into())),
        video("f", Some(path("f.wav")), None),
        video("g", Some(bytes()), FrameRate::new(2.0)),
        video("h", None, None),
    ];
    assert_eq!(read(json).unwrap(), [Message::parts("user", parts)]);
}

#[test]
fn broken_sounds_name_their_place() {
    let tracks = [r#"{"type":"video","video":"a","audio":"b"}"#; 9].join(",");
    let cases = [
        (r#"{"type":"audio"}"#, "MESSAGES_FIELD", "audio: expected a path or url"),
        (r#"{"type":"audio","audio":7}"#, "MESSAGES_FIELD", "a number"),
        (r#"{"type":"audio","audio":"a","path":"b"}"#, "MESSAGES_FIELD", "one source"),
        (r#"{"type":"audio","audio":"a","fps":1}"#, "MESSAGES_UNSUPPORTED", "fps"),
        (r#"{"type":"audio","audio":"a\u0000"}"#, "MESSAGES_FIELD", "NUL"),
        (r#"{"type":"audio","audio":"https://a/b.wav"}"#, "MESSAGES_UNSUPPORTED", "https"),
        (r#"{"type":"audio","audio":"data:image/png;base64,AQID"}"#, "MESSAGES_DATA_URL", "audio/"),
        (r#"{"type":"audio","audio":"data:audio/wav;base64,*"}"#, "MESSAGES_DATA_URL", "base64"),
        (r#"{"type":"audio_url"}"#, "MESSAGES_FIELD", "audio_url"),
        (r#"{"type":"audio_url","audio_url":{}}"#, "MESSAGES_FIELD", "url"),
        (r#"{"type":"audio_url","audio_url":{"url":"a","format":"wav"}}"#, "MESSAGES_UNSUPPORTED", "format"),
        (r#"{"type":"input_audio"}"#, "MESSAGES_FIELD", "`data` and `format`"),
        (r#"{"type":"input_audio","input_audio":"AQID"}"#, "MESSAGES_FIELD", "a string"),
        (r#"{"type":"input_audio","input_audio":{"format":"wav"}}"#, "MESSAGES_FIELD", "data"),
        (r#"{"type":"input_audio","input_audio":{"data":"AQID"}}"#, "MESSAGES_FIELD", "format"),
        (r#"{"type":"input_audio","input_audio":{"data":"AQID","format":"opus"}}"#, "MESSAGES_UNSUPPORTED", "opus"),
        (r#"{"type":"input_audio","input_audio":{"data":"A-_=","format":"wav"}}"#, "MESSAGES_FIELD", "strict base64"),
        (r#"{"type":"input_audio","input_audio":{"data":"","format":"wav"}}"#, "MESSAGES_FIELD", "no bytes"),
        (r#"{"type":"input_audio","input_audio":{"data":"AQID","format":"wav","id":1}}"#, "MESSAGES_UNSUPPORTED", "id"),
        (r#"{"type":"video","video":"a","audio":[]}"#, "MESSAGES_FIELD", "audio"),
        (r#"{"type":"video","video":"a","audio":"data:video/mp4;base64,AQID"}"#, "MESSAGES_DATA_URL", "audio/"),
        (r#"{"type":"image","image":"a","audio":"b"}"#, "MESSAGES_UNSUPPORTED", "audio"),
        (&tracks, "MESSAGES_LIMIT", "images, videos and sounds: at most 16, found 17"),
    ];
    for (part, code, words) in cases {
        let e = read(&format!(r#"[{{"role":"user","content":[{{"type":"text","text":""}},{part}]}}]"#)).unwrap_err();
        let start: String = part.chars().take(100).collect();
        assert_eq!(e.code(), code, "{start}: {e}");
        assert!(e.to_string().contains(words), "{start}: {e}");
        assert!(e.to_string().len() < 300, "{e}");
        assert!(code == "MESSAGES_LIMIT" || e.to_string().contains("message 0, part 1"), "{e}");
    }
}

#[test]
fn broken_messages_name_their_place() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let many_media = |kind: &str| {
        let media = vec![format!(r#"{{"type":"{kind}","{kind}":"a"}}"#); 17].join(",");
        format!(r#"[{{"role":"user","content":[{media}]}}]"#)
    };
    let many = format!("[{}]", vec![r#"{"role":"user","content":"x"}"#; 10_001].join(","));
    let part = |part: &str| {
        format!(r#"[{{"role":"user","content":"x"}},{{"role":"user","content":[{{"type":"text","text":""}},{part}]}}]"#)
    };
    let cases = [
        (String::new(), "MESSAGES_JSON", ""),
        ("[".into(), "MESSAGES_JSON", ""),
        (deep, "MESSAGES_JSON", "recursion"),
        ("[] x".into(), "MESSAGES_JSON", ""),
        ("[]".into(), "MESSAGES_FORM", "empty"),
        ("3".into(), "MESSAGES_FORM", "number"),
        ("{}".into(), "MESSAGES_FORM", "without"),
        (r#"{"messages": "x"}"#.into(), "MESSAGES_FORM", "string"),
        ("[3]".into(), "MESSAGES_FIELD", "message 0"),
        (r#"[{"content":"x"}]"#.into(), "MESSAGES_FIELD", "role"),
        (r#"[{"role":"User","content":"x"}]"#.into(), "MESSAGES_FIELD", "role"),
        (r#"[{"role":"","content":"x"}]"#.into(), "MESSAGES_FIELD", "role"),
        (r#"[{"role":"a|>","content":"x"}]"#.into(), "MESSAGES_FIELD", "role"),
        (r#"[{"role":7,"content":"x"}]"#.into(), "MESSAGES_FIELD", "a number"),
        (r#"[{"role":"user"}]"#.into(), "MESSAGES_FIELD", "content"),
        (r#"[{"role":"user","content":null}]"#.into(), "MESSAGES_FIELD", "null"),
        (r#"[{"role":"user","content":[]}]"#.into(), "MESSAGES_FIELD", "empty list"),
        (r#"[{"role":"user","content":{}}]"#.into(), "MESSAGES_FIELD", "object"),
        (r#"[{"role":"user","content":"x","tool_calls":[]}]"#.into(), "MESSAGES_UNSUPPORTED", "tool_calls"),
        (part("3"), "MESSAGES_FIELD", "message 1, part 1"),
        (part("{}"), "MESSAGES_FIELD", "type"),
        (part(r#"{"type":"input_image"}"#), "MESSAGES_UNSUPPORTED", "message 1, part 1"),
        (part(r#"{"type":"text"}"#), "MESSAGES_FIELD", "text"),
        (part(r#"{"type":"text","text":3}"#), "MESSAGES_FIELD", "a number"),
        (part(r#"{"type":"text","text":"x","cache":1}"#), "MESSAGES_UNSUPPORTED", "cache"),
        (part(r#"{"type":"image"}"#), "MESSAGES_FIELD", "nothing"),
        (part(r#"{"type":"image","image":"a","url":"b"}"#), "MESSAGES_FIELD", "one source"),
        (part(r#"{"type":"image_url","image_url":{}}"#), "MESSAGES_FIELD", "url"),
        (part(r#"{"type":"image_url","image_url":{"url":null}}"#), "MESSAGES_FIELD", "null"),
        (part(r#"{"type":"image_url","image_url":[]}"#), "MESSAGES_FIELD", "a list"),
        (part(r#"{"type":"image","image":"https://a/b.png"}"#), "MESSAGES_UNSUPPORTED", "https"),
        (part(r#"{"type":"image","image":"data:image/png;base64,*"}"#), "MESSAGES_DATA_URL", "base64"),
        (part(r#"{"type":"video","video":"data:image/png;base64,AQID"}"#), "MESSAGES_DATA_URL", "video/"),
        (part(r#"{"type":"image","image":"a\u0000b"}"#), "MESSAGES_FIELD", "NUL"),
        (part(r#"{"type":"image","image":"a","fps":2}"#), "MESSAGES_UNSUPPORTED", "fps"),
        (part(r#"{"type":"video","video":"a","fps":0}"#), "MESSAGES_FIELD", "found 0"),
        (part(r#"{"type":"video","video":"a","fps":1e9}"#), "MESSAGES_FIELD", "at most 1000"),
        (part(r#"{"type":"video","video":"a","fps":"2"}"#), "MESSAGES_FIELD", "fps"),
        (many_media("image"), "MESSAGES_LIMIT", "16"),
        (many_media("audio"), "MESSAGES_LIMIT", "16"),
        (many, "MESSAGES_LIMIT", "10000"),
    ];
    for (json, code, words) in cases {
        let e = read(&json).unwrap_err();
        let start: String = json.chars().take(100).collect();
        assert_eq!(e.code(), code, "{start}: {e}");
        assert!(e.to_string().contains(words), "{start}: {e}");
        assert!(e.to_string().len() < 300, "{e}");
    }
    let secret = "s".repeat(10_000);
    let e = read(&format!(r#"[{{"role":"{secret}","content":"x"}}]"#)).unwrap_err().to_string();
    assert!(!e.contains(&secret[..200]));
}

#[test]
fn generation_defaults_and_ranges() {
    let read = |text: &str| -> mquant::Result<GenerationConfig> {
        let fields = Fields::parse("generation_config.json", text.as_bytes())?;
        Ok(GenerationConfig::from_fields(&fields, 100)?)
    };
    assert_eq!(read("{}").unwrap(), GenerationConfig::default());
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(GenerationConfig::read(&bare::checkpoint(folder.path()), 100).unwrap(), GenerationConfig::default());
    let text = r#"{"eos_token_id": [2, 7], "pad_token_id": 0, "bos_token_id": null, "do_sample": true, "temperature": 0.01,
        "top_p": 0.001, "top_k": 1, "repetition_penalty": 1.05, "max_new_tokens": 64, "transformers_version": "5"}"#;
    std::fs::write(folder.path().join("generation_config.json"), text).unwrap();
    let expected = GenerationConfig {
        eos_token_ids: vec![2, 7],
        pad_token_id: Some(0),
        bos_token_id: None,
        decoding: Decoding::Sample,
        temperature: 0.01,
        top_p: 0.001,
        top_k: 1,
        repetition_penalty: 1.05,
        max_new_tokens: Some(64),
    };
    assert_eq!(GenerationConfig::read(&bare::checkpoint(folder.path()), 100).unwrap(), expected);
    assert_eq!(read(r#"{"eos_token_id": 99}"#).unwrap().eos_token_ids, [99]);
    for (text, code) in [("", "JSON_SYNTAX"), ("[]", "JSON_ROOT"), ("3", "JSON_ROOT"), ("{", "JSON_SYNTAX")] {
        assert_eq!(read(text).unwrap_err().code(), code, "{text}");
    }
    let many = serde_json::to_string(&vec![1; 257]).unwrap();
    let bad = [
        ("eos_token_id", "100", "FIELD_RANGE"),
        ("eos_token_id", "-1", "FIELD_RANGE"),
        ("eos_token_id", r#"[1, "2"]"#, "FIELD_KIND"),
        ("eos_token_id", "[1, 100]", "FIELD_RANGE"),
        ("eos_token_id", &many, "FIELD_COUNT"),
        ("eos_token_id", "1.5", "FIELD_KIND"),
        ("pad_token_id", "4294967296", "FIELD_RANGE"),
        ("bos_token_id", "{}", "FIELD_KIND"),
        ("do_sample", "1", "FIELD_KIND"),
        ("temperature", "-0.1", "FIELD_RANGE"),
        ("temperature", "1e9", "FIELD_RANGE"),
        ("temperature", "\"1\"", "FIELD_KIND"),
        ("top_p", "0", "FIELD_RANGE"),
        ("top_p", "1e-60", "FIELD_RANGE"),
        ("top_p", "1.1", "FIELD_RANGE"),
        ("top_k", "-1", "FIELD_RANGE"),
        ("top_k", "4294967296", "FIELD_RANGE"),
        ("top_k", "0.5", "FIELD_KIND"),
        ("repetition_penalty", "0", "FIELD_RANGE"),
        ("max_new_tokens", "0", "FIELD_RANGE"),
        ("max_new_tokens", "1e300", "FIELD_RANGE"),
    ];
    for (field, value, code) in bad {
        let e = read(&format!(r#"{{"{field}": {value}}}"#)).unwrap_err();
        assert_eq!((e.code(), e.class()), (code, Class::Model), "{field} {value}: {e}");
        assert!(e.to_string().starts_with(&format!("generation_config.json: {field}")), "{e}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// Whatever happens to the bytes of a messages file, it is read or refused with a code; limits hold on what is read.
    #[test]
    fn mutated_messages_never_panic(edits in prop::collection::vec((0_usize..400, any::<u8>(), 0_usize..3), 1..6)) {
        let mut bytes = br#"[{"role":"system","content":"Be \u00e9 brief."},{"role":"user","content":[{"type":"image_url","image_url":
            {"url":"data:image/png;base64,AQIDBAUG"}},{"type":"video","video":"file:///x%20y.mp4"},{"type":"text","text":"Why?"}]}]"#.to_vec();
        for (at, byte, kind) in edits {
            let at = at % bytes.len();
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        match read(&text) {
            Ok(messages) => prop_assert!(!messages.is_empty()),
            Err(e) => prop_assert!(e.code().starts_with("MESSAGES_") && e.to_string().len() < 400, "{}", e),
        }
    }
}
