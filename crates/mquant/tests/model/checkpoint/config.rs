//! Rows B1 and B2: configuration files, field by field.

use std::fmt::Debug;

use mquant::checkpoint::{DEPTH_CAP, FieldError, Fields, JSON_CAP, VALUES_CAP};
use mquant::{Class, Explain};

use crate::checkpoint::builder::{Model, f32s, whole};

fn fields(json: &str) -> Fields {
    Fields::parse("config.json", json.as_bytes()).unwrap()
}

fn refusal<T: Debug>(result: Result<T, FieldError>) -> (&'static str, String) {
    let error = result.unwrap_err();
    (error.code(), error.to_string())
}

#[test]
fn b1_broken_json_is_refused() {
    let nested = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "JSON_SYNTAX"),
        ("cut short", br#"{"a": 1"#.to_vec(), "JSON_SYNTAX"),
        ("a second value", b"{} {}".to_vec(), "JSON_SYNTAX"),
        ("a byte order mark", "\u{feff}{}".into(), "JSON_SYNTAX"),
        ("NaN", br#"{"rope_theta": NaN}"#.to_vec(), "JSON_SYNTAX"),
        ("infinity", br#"{"rope_theta": Infinity}"#.to_vec(), "JSON_SYNTAX"),
        ("a number past floats", br#"{"rope_theta": 1e999}"#.to_vec(), "JSON_SYNTAX"),
        ("a trailing comma", br#"{"a": 1,}"#.to_vec(), "JSON_SYNTAX"),
        ("a comment", br#"{"a": 1} // x"#.to_vec(), "JSON_SYNTAX"),
        ("not UTF-8", b"{\"a\": \"\xff\"}".to_vec(), "JSON_UTF8"),
        ("a key twice", br#"{"a": 1, "b": {}, "a": 2}"#.to_vec(), "JSON_DUPLICATE"),
        ("a key twice, once escaped", br#"{"a": 1, "\u0061": 2}"#.to_vec(), "JSON_DUPLICATE"),
        ("a key twice further in", br#"{"a": [{"b": 1, "b": 1}]}"#.to_vec(), "JSON_DUPLICATE"),
        ("a list", b"[1]".to_vec(), "JSON_ROOT"),
        ("null", b"null".to_vec(), "JSON_ROOT"),
        ("too deep", nested(DEPTH_CAP + 1).into(), "JSON_DEPTH"),
        ("100 000 deep", nested(100_000).into(), "JSON_DEPTH"),
        ("100 000 lists deep", format!("{{\"a\":{}", "[".repeat(100_000)).into(), "JSON_DEPTH"),
        ("too many values", format!("{{\"a\":[{}0]}}", "0,".repeat(VALUES_CAP)).into(), "JSON_VALUES"),
        ("too long", vec![b' '; JSON_CAP as usize + 1], "JSON_SIZE"),
    ];
    for (case, bytes, expected) in cases {
        let error = Fields::parse("config.json", &bytes).unwrap_err();
        assert_eq!((error.code(), error.class()), (expected, Class::Model), "{case}");
        assert!(error.to_string().starts_with("config.json: ") && error.to_string().len() < 200, "{case}: {error}");
    }
    assert!(Fields::parse("config.json", nested(DEPTH_CAP).as_bytes()).is_ok());
}

#[test]
fn b1_fourteen_bad_values_for_a_whole_number() {
    let bad = [
        ("-1", "FIELD_RANGE"),
        ("0", "FIELD_RANGE"),
        ("65537", "FIELD_RANGE"),
        ("2147483648", "FIELD_RANGE"),
        ("18446744073709551615", "FIELD_RANGE"),
        ("18446744073709551616", "FIELD_RANGE"),
        ("-9223372036854775809", "FIELD_RANGE"),
        ("1e30", "FIELD_RANGE"),
        ("128.5", "FIELD_KIND"),
        ("128.0", "FIELD_KIND"),
        ("\"128\"", "FIELD_KIND"),
        ("true", "FIELD_KIND"),
        ("[128]", "FIELD_KIND"),
        ("{}", "FIELD_KIND"),
    ];
    for (value, expected) in bad {
        let config =
            fields(&format!(r#"{{"text_config": {{"hidden_size": {value}}}}}"#)).object("text_config").unwrap();
        let (code, message) = refusal(config.usize("hidden_size", 1..=65_536));
        assert_eq!(code, expected, "{value}");
        assert!(message.starts_with("config.json: text_config.hidden_size is "), "{message}");
        assert!(message.ends_with("expected a whole number, 1 to 65536"), "{message}");
        assert_eq!(refusal(config.opt_usize("hidden_size", 1..=65_536)).0, expected);
        assert_eq!(refusal(config.usize_or("hidden_size", 7, 1..=65_536)).0, expected);
    }
    for absent in [r#"{"hidden_size": null}"#, "{}"] {
        let (code, message) = refusal(fields(absent).usize("hidden_size", 1..=9));
        assert_eq!(
            (code, message.as_str()),
            ("FIELD_MISSING", "config.json: hidden_size is missing, expected a whole number, 1 to 9")
        );
        assert_eq!(fields(absent).opt_usize("hidden_size", 1..=9), Ok(None));
        assert_eq!(fields(absent).usize_or("hidden_size", 7, 1..=9), Ok(7));
    }
    assert_eq!(fields(r#"{"a": 65536}"#).usize("a", 1..=65_536), Ok(65_536));
    assert_eq!(fields(r#"{"a": 18446744073709551615}"#).usize("a", 0..=usize::MAX), Ok(usize::MAX));
}

#[test]
fn b1_real_numbers() {
    for (value, expected) in [
        ("0", "FIELD_RANGE"),
        ("-1e-6", "FIELD_RANGE"),
        ("1e308", "FIELD_RANGE"),
        ("\"1e-6\"", "FIELD_KIND"),
        ("false", "FIELD_KIND"),
        ("[]", "FIELD_KIND"),
    ] {
        let (code, message) = refusal(fields(&format!(r#"{{"eps": {value}}}"#)).f64_in("eps", 1e-12..=1.0));
        assert_eq!(code, expected, "{value}: {message}");
    }
    assert_eq!(fields(r#"{"eps": 1}"#).f64_in("eps", 0.0..=1.0), Ok(1.0));
    assert_eq!(fields(r#"{"eps": 1e-6}"#).f64_or("eps", 0.5, 0.0..=1.0), Ok(1e-6));
    assert_eq!(fields("{}").f64_or("eps", 0.5, 0.0..=1.0), Ok(0.5));
    assert_eq!(refusal(fields("{}").f64_in("eps", 0.0..=1.0)).0, "FIELD_MISSING");
}

#[test]
fn b1_other_kinds() {
    let config = fields(r#"{"s": "silu", "b": true, "o": {"p": {"q": 1}}, "l": [16, 24, 24], "n": 3, "e": []}"#);
    assert_eq!(config.string("s"), Ok("silu"));
    assert_eq!(config.bool_or("b", false), Ok(true));
    assert_eq!(config.bool_or("absent", true), Ok(true));
    assert_eq!(config.choice("s", &[("gelu", 1), ("silu", 2)]), Ok(2));
    assert_eq!(config.usize_list("l", 3..=3, 0..=64), Ok(vec![16, 24, 24]));
    assert_eq!(config.usize_or_list("n", 4, 0..=9), Ok(vec![3]));
    assert_eq!(config.usize_or_list("absent", 4, 0..=9), Ok(vec![]));
    assert_eq!(config.opt_f64_list("l", 1..=3, 0.0..=64.0), Ok(Some(vec![16.0, 24.0, 24.0])));
    assert_eq!(config.opt_string_list("e", 0..=3), Ok(Some(vec![])));
    assert_eq!(config.object("o").unwrap().object("p").unwrap().usize("q", 0..=1), Ok(1));
    assert_eq!(config.keys().collect::<Vec<_>>(), ["s", "b", "o", "l", "n", "e"]);

    assert_eq!(refusal(config.string("n")).0, "FIELD_KIND");
    assert_eq!(refusal(config.string("absent")).0, "FIELD_MISSING");
    assert_eq!(refusal(config.bool_or("n", true)).0, "FIELD_KIND");
    assert_eq!(refusal(config.choice("absent", &[("gelu", 1)])).0, "FIELD_MISSING");
    let unknown = config.choice("s", &[("gelu", 1), ("relu", 2)]).unwrap_err();
    assert_eq!((unknown.code(), unknown.class()), ("FIELD_CHOICE", Class::Unsupported));
    assert!(unknown.to_string().contains(r#""silu""#) && unknown.to_string().contains(r#""gelu" or "relu""#));
    assert_eq!(refusal(config.object("s")).0, "FIELD_KIND");
    assert_eq!(refusal(config.object("absent")).0, "FIELD_MISSING");
    assert_eq!(refusal(config.usize_list("absent", 0..=1, 0..=1)).0, "FIELD_MISSING");
    assert_eq!(refusal(config.usize_list("n", 0..=1, 0..=1)).0, "FIELD_KIND");
    assert_eq!(refusal(config.usize_list("l", 1..=2, 0..=64)).0, "FIELD_COUNT");
    assert_eq!(refusal(config.usize_or_list("l", 2, 0..=64)).0, "FIELD_COUNT");
    let (code, message) = refusal(config.usize_list("l", 3..=3, 0..=16));
    assert_eq!((code, message.as_str()), ("FIELD_RANGE", "config.json: l[1] is 24, expected a whole number, 0 to 16"));
    let (code, message) = refusal(config.object("o").unwrap().object("p").unwrap().string("q"));
    assert_eq!((code, message.as_str()), ("FIELD_KIND", "config.json: o.p.q is 1, expected a string"));
    let conflict = config.conflict("n", "a divisor of 16");
    assert_eq!(conflict.code(), "FIELD_CONFLICT");
    assert!(conflict.to_string().contains("n is 3") && conflict.to_string().contains("a divisor of 16"));
}

#[test]
fn b1_values_are_repeated_in_short() {
    let long = "x".repeat(1 << 20);
    let config = fields(&format!(r#"{{"hidden_size": "{long}", "{long}": 1, "act": "\u001b[31m"}}"#));
    for (_, message) in [refusal(config.usize("hidden_size", 1..=2)), refusal(config.string(&long))] {
        assert!(message.len() < 300, "{} bytes", message.len());
    }
    assert!(!refusal(config.choice("act", &[("gelu", 1)])).1.contains('\u{1b}'));
}

#[test]
fn b2_code_of_a_folder_is_ignored() {
    let model = Model::of(whole(&[("a", "F32", &[1], f32s(&[1.0]))]));
    model.write("config.json", r#"{"auto_map": {"AutoModel": "evil.Model"}, "trust_remote_code": true, "n": 1}"#);
    model.write("evil.py", "raise SystemExit");
    model.write("pytorch_model.bin", "pickle");
    assert_eq!(model.open().unwrap().config().usize("n", 1..=1), Ok(1));
}

#[test]
fn mutated_configurations_never_panic() {
    let seed = br#"{"model_type":"qwen2_vl","text_config":{"hidden_size":128,"rms_norm_eps":1e-06,"layer_types":["a","b"],
        "rope_parameters":{"mrope_section":[4,6,6],"rope_theta":1000000.0}},"eos_token_id":[1,2],"tie_word_embeddings":false}"#;
    let tokens: [&[u8]; 16] = [
        b"{", b"}", b"[", b"]", b",", b":", b"\"", b"-", b"1e999", b"null", b"\\u", b"\\ud800", b"0.5", b"9", b"\0",
        b"\xff",
    ];
    let mut state = 0x5eed_u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let (mut parsed, mut read) = (0, 0);
    for _ in 0..200_000 {
        let mut text = seed.to_vec();
        for _ in 0..1 + below(3) {
            let at = below(text.len());
            match below(4) {
                0 => text[at] = below(256) as u8,
                1 => drop(text.splice(at..at, tokens[below(16)].iter().copied())),
                2 => drop(text.splice(at..(at + 1 + below(12)).min(text.len()), None)),
                _ => {
                    let from = below(text.len());
                    let piece = text[from..(from + below(30)).min(text.len())].to_vec();
                    text.splice(at..at, piece);
                }
            }
        }
        let Ok(config) = Fields::parse("config.json", &text) else { continue };
        parsed += 1;
        let whole = || -> Result<(), FieldError> {
            let inner = config.object("text_config")?;
            assert!((1..=65_536).contains(&inner.usize("hidden_size", 1..=65_536)?));
            assert!((1e-12..=1.0).contains(&inner.f64_in("rms_norm_eps", 1e-12..=1.0)?));
            let rope = inner.object("rope_parameters")?;
            assert_eq!(rope.usize_list("mrope_section", 3..=3, 0..=64)?.len(), 3);
            inner.opt_string_list("layer_types", 0..=9)?;
            config.string("model_type")?;
            config.usize_or_list("eos_token_id", 4, 0..=100)?;
            config.bool_or("tie_word_embeddings", true).map(drop)
        };
        match whole() {
            Ok(()) => read += 1,
            Err(error) => assert!(error.to_string().len() < 1_000),
        }
    }
    // Both outcomes must occur, or the mutations test nothing.
    assert!(parsed > 10_000 && read > 1_000 && read < parsed, "{parsed} parsed, {read} read");
}
