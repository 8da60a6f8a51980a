//! Two answers for people: what both said, then what each said alone, then how near it was.

use std::io::IsTerminal;

use mquant::evaluate::Candidate;

use super::Report;
use crate::failure::Failure;
use crate::output::{Output, printable};

pub(super) fn print(report: &Report, output: &Output) -> Result<(), Failure> {
    let is_terminal = std::io::stdout().is_terminal();
    let show = |text: &str| printable(text, is_terminal).into_owned();
    let Report { models, comparison } = report;
    let mut text = String::new();
    let Some(parting) = &comparison.parting else {
        text += &format!("both   {}\n\n", show(comparison.answers[0].trim()));
        let tokens = comparison.tokens[0];
        text += &format!("the same {tokens} tokens, divergence {:.4} nats a token\n", comparison.kl);
        return output.text(&text);
    };
    for (letter, (model, answer)) in ["A", "B"].into_iter().zip(models.iter().zip(&comparison.answers)) {
        // Up to where they part both are the same; the rest is set apart, since that is what is looked for.
        let own = answer.strip_prefix(comparison.common.as_str()).unwrap_or(answer);
        text += &format!("{letter}  {model}\n   {}", show(&comparison.common));
        text += &format!("[{}]\n\n", show(own));
    }
    let same = parting.token;
    text += &format!("the same {same} tokens, divergence {:.4} nats a token; then\n", comparison.kl);
    output.text(&text)?;
    let row = |candidate: &Candidate| {
        let said = match candidate.said_by {
            [true, _] => "A says",
            [_, true] => "B says",
            _ => "",
        };
        let percent = |p: f64| format!("{:.2} %", 100.0 * p);
        let shown = format!("{:?}", candidate.text);
        vec![shown, percent(candidate.probability[0]), percent(candidate.probability[1]), said.to_owned()]
    };
    output.table(&["next token", "A", "B", ""], parting.candidates.iter().map(row).collect())
}
