//! How far a job is: a bar on a terminal, elsewhere a JSON object a line.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::time::Instant;

use mquant::pipeline::{Estimate, Event};
use serde_json::json;

use crate::output::talk;
use crate::progress::Progress;

/// Parts of the bar for a second of the estimate.
const PARTS: f64 = 100.0;

/// Tells where the page is that shows what was made.
pub(super) fn page(path: &Path) {
    let path = path.display().to_string();
    talk(&if stderr().is_terminal() {
        format!("report: {path}")
    } else {
        json!({"event": "report", "page": path}).to_string()
    });
}

/// Tells of a job's events.
#[derive(Debug)]
pub(super) struct Reporter {
    /// None where nobody looks at a bar.
    bar: Option<Progress>,
    /// The estimated end of each unit, in seconds.
    ends: Vec<f64>,
    unit: usize,
    name: String,
    /// Parts of the unit that are done: sites.
    sites: usize,
    started: Instant,
}

impl Reporter {
    pub(super) fn new(estimate: &Estimate) -> Self {
        let mut end = 0.0;
        let ends: Vec<f64> = estimate
            .units
            .iter()
            .map(|(_, seconds, _)| {
                end += seconds;
                end
            })
            .collect();
        let bar = stderr().is_terminal().then(|| Progress::share("reading samples", (end * PARTS) as u64));
        Self { bar, ends, unit: 0, name: String::new(), sites: 0, started: Instant::now() }
    }

    pub(super) fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Preparing { done, of } => self.say(format!("sample {} of {of}", done + 1)),
            Event::Unit { index, of, unit, known } => {
                (self.unit, self.sites, self.name) = (*index, 0, format!("{unit} ({} of {of})", index + 1));
                self.move_to(self.begin());
                self.say(format!("{}{}", self.name, if *known { ", done before" } else { "" }));
                self.line(
                    &json!({"event": "unit", "unit": unit.to_string(), "index": index, "of": of, "known": known}),
                );
            }
            Event::Learning { done, of, loss, .. } => {
                let (begin, end) = (self.begin(), self.ends.get(self.unit).copied().unwrap_or_default());
                self.move_to(begin + (end - begin) * 0.5 * *done as f64 / (*of).max(1) as f64);
                self.say(format!("{}: learning, sample {done} of {of}, loss {loss:.4}", self.name));
            }
            Event::Site(site) => {
                self.sites += 1;
                let (begin, end) = (self.begin(), self.ends.get(self.unit).copied().unwrap_or_default());
                // A block has four sites; most of its time comes before the first of them has codes.
                self.move_to(begin + (end - begin) * (0.5 + 0.1 * self.sites.min(4) as f64));
                self.say(format!("{}: {site}", self.name));
            }
            Event::Committed { report, sites, seconds } => {
                self.move_to(self.ends.get(self.unit).copied().unwrap_or_default());
                self.line(&json!({
                    "event": "committed", "unit": report.unit, "seconds": seconds,
                    "output_sqnr_db": report.output_sqnr_db, "left_s": self.left(), "sites": sites.len(),
                }));
            }
            Event::Damaged(note) => match &self.bar {
                Some(_) => talk(&format!("note: {note}; it is done anew")),
                None => self.line(&json!({"event": "damaged", "note": note.to_string()})),
            },
            Event::Assembling => self.say("writing the bundle".to_owned()),
        }
    }

    fn begin(&self) -> f64 {
        self.unit.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or_default()
    }

    /// Seconds left, if the rest goes as fast beside its estimate as what is done.
    fn left(&self) -> f64 {
        let (done, all) =
            (self.ends.get(self.unit).copied().unwrap_or_default(), self.ends.last().copied().unwrap_or(0.0));
        self.started.elapsed().as_secs_f64() * (all - done) / done.max(1e-3)
    }

    fn move_to(&self, seconds: f64) {
        if let Some(bar) = &self.bar {
            bar.set((seconds * PARTS) as u64);
        }
    }

    fn say(&self, what: String) {
        if let Some(bar) = &self.bar {
            bar.say(what);
        }
    }

    fn line(&self, value: &serde_json::Value) {
        if self.bar.is_none() {
            talk(&value.to_string());
        }
    }
}
