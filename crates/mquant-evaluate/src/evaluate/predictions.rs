//! Predictions in the forms that the published kits score: VLMEvalKit's table, and lmms-eval's lines.

use csv::WriterBuilder;
use serde_json::json;

use super::{AnswerLine, Exam};

/// The benchmark's own columns but pictures, with a column `prediction`: what VLMEvalKit's `evaluate` reads.
pub(super) fn table(exam: &Exam<'_>, lines: &[AnswerLine]) -> Vec<u8> {
    let mut writer = WriterBuilder::new().delimiter(b'\t').from_writer(Vec::new());
    let mut record: Vec<&str> = exam.benchmark.columns().iter().map(String::as_str).collect();
    record.push("prediction");
    // Writing to memory does not fail.
    let _ = writer.write_record(&record);
    for line in lines.iter().filter(|line| line.problem.is_none()) {
        let question = &exam.benchmark.questions()[line.doc_id];
        let fields = question.fields.iter().map(String::as_str).chain([line.prediction.as_str()]);
        let _ = writer.write_record(fields);
    }
    writer.into_inner().unwrap_or_default()
}

/// One object a line, with the fields of lmms-eval's sample logs (`doc_id`, `target`, `resps`, `filtered_resps`) and ours.
pub(super) fn lines(exam: &Exam<'_>, lines: &[AnswerLine]) -> Vec<u8> {
    let mut text = String::new();
    for line in lines {
        let question = &exam.benchmark.questions()[line.doc_id];
        let target = match &question.answers[..] {
            [one] => json!(one),
            several => json!(several),
        };
        let object = json!({
            "doc_id": line.doc_id,
            "index": line.index,
            "question": question.text,
            "target": target,
            "resps": [[line.prediction]],
            "filtered_resps": [line.prediction],
            "prediction": line.prediction,
            "score": line.score,
            "problem": line.problem,
        });
        text += &format!("{object}\n");
    }
    text.into_bytes()
}
