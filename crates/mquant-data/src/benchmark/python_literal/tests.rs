//! Against `ast.literal_eval`, and on what is none.

use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::*;

fn cases() -> Vec<(String, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mquant/tests/fixtures/benchmarks/python_literals.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn as_json(literal: &Literal) -> Value {
    let all = |items: &[Literal]| items.iter().map(as_json).collect::<Vec<_>>();
    match literal {
        Literal::None => Value::Null,
        Literal::Bool(value) => json!(value),
        Literal::Int(digits) => json!({"i": digits}),
        Literal::Float(value) => json!({"f": value.to_bits()}),
        Literal::Text(text) => json!(text),
        Literal::Bytes(bytes) => json!({"b": bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()}),
        Literal::Tuple(items) => json!({"t": all(items)}),
        Literal::List(items) => json!({"l": all(items)}),
        Literal::Dict(items) => {
            // Python keeps a key's first place and its last value.
            let mut kept: Vec<(Value, Value)> = Vec::new();
            for (key, value) in items {
                let (key, value) = (as_json(key), as_json(value));
                match kept.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, known)) => *known = value,
                    None => kept.push((key, value)),
                }
            }
            json!({"d": kept.into_iter().flat_map(|(key, value)| [key, value]).collect::<Vec<_>>()})
        }
    }
}

/// Numbers as their bits: of several shortest decimals, any will do.
fn by_bits(value: &Value) -> Value {
    match value {
        Value::Object(fields) => match fields.get("f").and_then(Value::as_str) {
            Some(shown) => json!({"f": shown.parse::<f64>().unwrap().to_bits()}),
            None => fields.iter().map(|(key, value)| (key.clone(), by_bits(value))).collect(),
        },
        Value::Array(items) => items.iter().map(by_bits).collect(),
        other => other.clone(),
    }
}

#[test]
fn numbers_are_shown_as_python_shows_them() {
    for (source, shown) in [
        ("1e3", "1000.0"),
        ("1e16", "1e+16"),
        ("123456789012345680.0", "1.2345678901234568e+17"),
        ("1e15", "1000000000000000.0"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("-0.0", "-0.0"),
        ("1e400", "inf"),
        ("-0", "0"),
        ("0x_fF", "255"),
        ("True", "True"),
    ] {
        assert_eq!(parse(source).unwrap().plain().as_deref(), Some(shown), "{source}");
    }
}

#[test]
fn values_are_those_of_python() {
    let cases = cases();
    let mut refused = 0;
    let mut wrong = Vec::new();
    for (source, expected) in &cases {
        let expected = &by_bits(expected);
        let found = parse(source).map_or_else(|_| json!({"e": 0}), |literal| as_json(&literal));
        refused += usize::from(found == json!({"e": 0}));
        if found != *expected {
            wrong.push(format!("{source:?}: expected {expected}, found {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    println!("{} cases, {refused} of them refused", cases.len());
    assert!(cases.len() >= 2000 && refused > 200 && refused < cases.len() / 2);
}

#[test]
fn nesting_ends_and_errors_say_where() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(DEPTH)).is_ok());
    assert_eq!(parse(&nested(DEPTH + 1)), Err(LiteralError { at: DEPTH, expected: "values nested less deeply" }));
    assert!(parse(&nested(1_000_000)).is_err());
    assert_eq!(parse("['é', x]").unwrap_err().to_string(), "expected a Python literal at byte 7");
    assert_eq!(parse("['\\ud800']").unwrap_err().expected, "the number of a character");
    assert_eq!(parse("{1, 2}").unwrap_err().expected, "a colon");
}

#[test]
fn any_text_is_answered() {
    let cases = cases();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut read = 0;
    for _ in 0..50_000 {
        let (source, _) = &cases[rng.random_range(0..cases.len())];
        let mut characters: Vec<char> = source.chars().collect();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..=characters.len());
            match rng.random_range(0..3) {
                0 => characters.truncate(at),
                1 if at < characters.len() => drop(characters.remove(at)),
                _ => characters
                    .insert(at, ['\\', '\'', '"', '[', '(', ',', '0', 'x', 'é', '\0', '\n'][rng.random_range(0..11)]),
            }
        }
        read += usize::from(parse(&characters.iter().collect::<String>()).is_ok());
    }
    assert!(read > 5_000, "{read}");
}
