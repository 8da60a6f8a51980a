//! One evaluation of a template, with the settings `transformers` gives Jinja2: trimmed blocks, loop controls, no
//! escaping, Python's methods on strings and mappings, `raise_exception`, `strftime_now`, Python's `tojson`.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use serde::{Deserialize, Serialize};

use super::{BASE_FUEL, BASE_OUTPUT_BYTES, FUEL_PER_PART, MAX_RECURSION, OUTPUT_PER_INPUT, json, python};
use crate::excerpt::excerpt;

/// Everything a render depends on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) source: String,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) messages: Vec<Turn>,
    pub(super) add_generation_prompt: bool,
    pub(super) unix_seconds: i64,
}

/// A message as templates see it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Turn {
    pub(super) role: String,
    pub(super) content: Said,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Said {
    Plain(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) r#type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    /// True of a sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) audio: Option<bool>,
}

impl Part {
    /// A part of this type, and nothing else.
    pub(super) fn of(r#type: &str) -> Self {
        Self { r#type: r#type.into(), text: None, audio: None }
    }
}

/// Why a render failed, without the file, which a worker does not know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Fault {
    Syntax { line: usize, problem: String },
    Render { line: usize, problem: String },
    Refused { message: String },
    Budget { limit: String },
}

impl Fault {
    pub(super) fn budget(limit: impl Into<String>) -> Self {
        Fault::Budget { limit: limit.into() }
    }
}

impl Request {
    /// Bytes of roles and texts.
    pub(super) fn text_bytes(&self) -> usize {
        let said = |said: &Said| match said {
            Said::Plain(text) => text.len(),
            Said::Parts(parts) => parts.iter().map(|part| part.text.as_ref().map_or(0, String::len)).sum(),
        };
        self.messages.iter().map(|turn| turn.role.len() + said(&turn.content)).sum()
    }

    fn fuel(&self) -> u64 {
        let parts = |turn: &Turn| match &turn.content {
            Said::Plain(_) => 1,
            Said::Parts(parts) => 1 + parts.len() as u64,
        };
        BASE_FUEL + FUEL_PER_PART * self.messages.iter().map(parts).sum::<u64>()
    }

    fn output_bytes(&self) -> usize {
        BASE_OUTPUT_BYTES + OUTPUT_PER_INPUT * (self.source.len() + self.text_bytes())
    }
}

/// Whether `source` is a template at all.
pub(super) fn check(source: &str) -> Result<(), Fault> {
    let source = python::without_generation_tags(source);
    environment(0).template_from_named_str(NAME, &source).map(drop).map_err(|e| fault(&e))
}

/// The prompt of a request. Bounds instructions, recursion and output; not memory, not time.
pub(super) fn render(request: &Request) -> Result<String, Fault> {
    let source = python::without_generation_tags(&request.source);
    let mut env = environment(request.unix_seconds);
    env.set_fuel(Some(request.fuel()));
    let template = env.template_from_named_str(NAME, &source).map_err(|e| fault(&e))?;
    let none = Value::from(());
    let mut variables: BTreeMap<&str, Value> =
        request.variables.iter().map(|(name, token)| (name.as_str(), Value::from(token.as_str()))).collect();
    variables.insert("messages", Value::from(Serde(&request.messages)));
    variables.insert("add_generation_prompt", Value::from(request.add_generation_prompt));
    variables.insert("tools", none.clone());
    variables.insert("documents", none);
    let mut output = Bounded { bytes: Vec::new(), limit: request.output_bytes(), full: false };
    let rendered = template.render_captured_to(Value::from(Serde(variables)), &mut output).map(drop);
    if output.full {
        return Err(Fault::budget(format!("{} bytes of output", output.limit)));
    }
    rendered.map_err(|e| fault(&e))?;
    String::from_utf8(output.bytes).map_err(|_| Fault::Render { line: 0, problem: "output that is not UTF-8".into() })
}

const NAME: &str = "chat template";

fn environment(unix_seconds: i64) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_recursion_limit(MAX_RECURSION);
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    env.set_syntax(syntax.build().expect("the default delimiters are valid"));
    env.set_unknown_method_callback(python::method);
    env.remove_global("debug");
    env.add_filter("tojson", json::tojson);
    env.add_test("sequence", |value: &Value| is_container(value));
    env.add_test("iterable", |value: &Value| is_container(value) || value.kind() == ValueKind::Iterable);
    env.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, "raise_exception").with_source(Raised(message)))
    });
    env.add_function("strftime_now", move |_: &State, format: String| python::strftime(&format, unix_seconds));
    env
}

/// Strings and mappings have a length and an index in Python, so Jinja2's tests count them.
fn is_container(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
}

/// The message of `raise_exception`, carried through the engine's own error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Raised(String);

fn fault(e: &Error) -> Fault {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(e);
    while let Some(error) = cause {
        if let Some(Raised(message)) = error.downcast_ref() {
            return Fault::Refused { message: excerpt(message) };
        }
        if error.downcast_ref::<Error>().is_some_and(|inner| inner.kind() == ErrorKind::OutOfFuel) {
            return Fault::budget("the instructions allowed for this conversation");
        }
        cause = error.source();
    }
    let line = e.line().unwrap_or(0);
    let problem = match e.detail() {
        Some(detail) => format!("{}: {}", e.kind(), excerpt(detail)),
        None => e.kind().to_string(),
    };
    match e.kind() {
        ErrorKind::SyntaxError => Fault::Syntax { line, problem },
        _ => Fault::Render { line, problem },
    }
}

/// Output that refuses to grow past its limit.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            self.full = true;
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
