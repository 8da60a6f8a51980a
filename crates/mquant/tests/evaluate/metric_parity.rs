//! Every metric and prompt against what VLMEvalKit's own functions make of the same rows (tools/metrics/make.py); `wer` against
//! jiwer on what transformers' normaliser makes of them (tools/metrics/wer.py).
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::path::Path;

use mquant::evaluate::{Asked, ColumnNames, METRICS, Metric, Part, PromptStyle, Question, Total, metric};
use serde_json::Value;

/// The rows of a file: lists, the first of them their headings.
struct Rows {
    columns: ColumnNames,
    rows: Vec<Vec<Value>>,
}

impl Rows {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics").join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let mut rows = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let columns = serde_json::from_value(rows.next().unwrap()).map(Vec::into).unwrap();
        Self { columns, rows: rows.map(|row| serde_json::from_value(row).unwrap()).collect() }
    }

    fn get<'a>(&self, row: &'a [Value], name: &str) -> &'a Value {
        self.columns.iter().position(|column| column == name).map_or(&Value::Null, |at| &row[at])
    }

    fn question(&self, row: &[Value]) -> Question {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let options = self.get(row, "options").as_object().into_iter().flatten();
        let accepted = self.get(row, "accepted").as_array().into_iter().flatten();
        let optional = |name| self.get(row, name).as_str().map(str::to_owned);
        Question {
            index: text(self.get(row, "index")),
            text: optional("question").unwrap_or_default(),
            answers: accepted.map(text).collect(),
            options: options.map(|(letter, words)| (letter.chars().next().unwrap(), text(words))).collect(),
            hint: optional("hint"),
            category: optional("category"),
            fields: row.iter().map(text).collect(),
        }
    }

    fn number(&self, row: &[Value], name: &str) -> f64 {
        self.get(row, name).as_str().unwrap().parse().unwrap()
    }
}

/// A total as the kit prints it, with the kit's name; None of the one it does not print.
fn in_the_kit(metric: &str, total: &Total) -> Option<(String, f64)> {
    match (metric, total.name.as_str()) {
        ("mme", "Overall") => None,
        ("mme", "cognition") => Some(("reasoning".to_owned(), total.value)),
        (choice, name) if choice.starts_with("choice") => Some((name.to_owned(), total.value / 100.0)),
        (_, name) => Some((name.to_owned(), total.value)),
    }
}

/// Compares all rows of a metric; how many scores were neither 0 nor 1, and how many 1.
fn compare(metric: &dyn Metric) -> (usize, usize) {
    let name = metric.name();
    let data = Rows::read(&format!("{name}.jsonl"));
    assert!(data.rows.len() >= 1000, "{name}: {} rows", data.rows.len());
    let questions: Vec<Question> = data.rows.iter().map(|row| data.question(row)).collect();
    let (mut scores, mut wrong) = (Vec::new(), Vec::new());
    for (row, question) in data.rows.iter().zip(&questions) {
        let answer = data.get(row, "answer").as_str().unwrap();
        let score = metric.score(answer, question);
        let is_readable = data.get(row, "read").as_str().is_none_or(|read| !read.is_empty());
        if score != data.number(row, "score") || metric.is_readable(answer, question) != is_readable {
            wrong.push(format!("{score} {row:?}"));
        }
        scores.push(score);
    }
    assert!(wrong.is_empty(), "{name}: {} rows differ\n{}", wrong.len(), wrong.join("\n"));

    let questions: Vec<&Question> = questions.iter().collect();
    let asked = Asked { columns: &data.columns, questions: &questions };
    let totals = metric.totals(asked, &scores);
    let units = metric.units(asked, &scores);
    let sum: f64 = units.iter().map(|unit| unit.value).sum();
    let per: Vec<f64> = units.iter().filter_map(|unit| unit.per).collect();
    let units = if per.is_empty() { sum } else { 100.0 * sum / per.iter().sum::<f64>() };
    assert!((units - totals[0].value).abs() < 1e-9, "{name}: units are {units}, the total {}", totals[0].value);
    let published = Rows::read(&format!("{name}.totals.jsonl"));
    let splits = published.rows.iter().map(|row| published.get(row, "split"));
    let has_splits = splits.clone().any(|split| Some(split) != splits.clone().next());
    let mut found: Vec<(String, f64)> = totals.iter().filter_map(|total| in_the_kit(name, total)).collect();
    let mut expected: Vec<(String, f64)> = published
        .rows
        .iter()
        .map(|row| {
            let name = published.get(row, "name").as_str().unwrap();
            let split = published.get(row, "split").as_str().filter(|_| has_splits);
            let name = split.map_or(name.to_owned(), |split| format!("{name} ({split})"));
            (name, published.number(row, "value"))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let is_same = |(a, b): (&(String, f64), &(String, f64))| a.0 == b.0 && (a.1 - b.1).abs() < 1e-9;
    assert!(found.len() == expected.len() && found.iter().zip(&expected).all(is_same), "{found:?}\n{expected:?}");
    let right = scores.iter().filter(|score| **score == 1.0).count();
    (scores.iter().filter(|score| **score > 0.0).count() - right, right)
}

#[test]
fn no_score_or_total_differs() {
    let judged = METRICS.iter().filter(|metric| metric.name() != "exact_match");
    for metric in judged {
        let (partly, right) = compare(*metric);
        println!("{}: {right} right, {partly} partly", metric.name());
        // Rows that all are right or wrong would show little.
        assert!(right > 200 && right < 950, "{}: {right}", metric.name());
    }
    assert!(compare(metric("vqa").unwrap()).0 > 100 && compare(metric("anls").unwrap()).0 > 100);
}

#[test]
fn no_prompt_differs() {
    let data = Rows::read("prompts.jsonl");
    assert!(data.rows.len() >= 100);
    for row in &data.rows {
        let style = match data.get(row, "style").as_str().unwrap() {
            "Alone" => PromptStyle::Alone,
            "ShortAnswer" => PromptStyle::ShortAnswer,
            "YesNo" => PromptStyle::YesNo,
            "Choice" => PromptStyle::Choice,
            "PlacedChoice" => PromptStyle::PlacedChoice,
            other => panic!("{other}"),
        };
        let pictures = data.get(row, "pictures").as_u64().unwrap() as usize;
        let part = |part: &Value| match part.as_u64() {
            Some(picture) => Part::Picture(picture as usize),
            None => Part::Text(part.as_str().unwrap().to_owned()),
        };
        let expected: Vec<Part> = data.get(row, "parts").as_array().unwrap().iter().map(part).collect();
        assert_eq!(style.parts(&data.question(row), pictures, 0), expected, "{row:?}");
        if style != PromptStyle::PlacedChoice {
            let text = match expected.last() {
                Some(Part::Text(text)) => text.as_str(),
                _ => "",
            };
            assert_eq!(style.text(&data.question(row)), text);
        }
    }
}
