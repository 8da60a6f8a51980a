//! A recipe as TOML in one way only: every field spelled out, in a fixed order.

use std::fmt::Write as _;

use mquant_model::bundle::InputFormat;
use mquant_model::nn::Modality;

use super::words::{ObserverName, Word};
use super::{
    ActOrder, Compensate, FuseNorms, InputBits, Learning, Observer, Quantize, Rank, Recipe, RotateHeads, RotateOnline,
    RotateStream, SiteSelector, Smooth, SmoothModalities, SplitColumns, Step, Target, Towers, WeightMethod,
};

impl Recipe {
    /// The recipe as TOML: equal recipes give equal bytes, and [`parse`](Self::parse) gives the same recipe back.
    pub fn to_toml(&self) -> String {
        let Self { name, description, seed, calibration, kv_cache, steps, .. } = self;
        let mut out = Lines::default();
        out.text("name", name);
        out.text("description", description);
        out.line("seed", seed);
        out.text("kv_cache", kv_cache.word());
        out.heading("[calibration]");
        out.line("samples", calibration.samples);
        out.text("sequential", calibration.sequential.word());
        out.text("sinks", calibration.sinks.word());
        match calibration.observer {
            Observer::MinMax => out.text("observer", ObserverName::MinMax.word()),
            Observer::Mse => out.text("observer", ObserverName::Mse.word()),
            Observer::Percentile(share) => {
                out.text("observer", ObserverName::Percentile.word());
                out.number("percentile", share);
            }
        }
        calibration.max_tokens.into_iter().for_each(|tokens| out.line("max_tokens", tokens));
        out.line("generated_tokens", calibration.generated_tokens);
        for step in steps {
            out.0 += "\n";
            out.0 += &step.to_toml();
        }
        out.0
    }
}

impl Step {
    /// The step as the lines of a recipe, from `[[step]]` on.
    pub fn to_toml(&self) -> String {
        let mut out = Lines("[[step]]\n".to_owned());
        out.text("do", self.name());
        out.step(self);
        out.0
    }
}

/// Lines of TOML.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn heading(&mut self, heading: &str) {
        self.0 += &format!("\n{heading}\n");
    }

    fn line(&mut self, field: &str, value: impl std::fmt::Display) {
        self.0 += &format!("{field} = {value}\n");
    }

    fn text(&mut self, field: &str, text: &str) {
        self.line(field, quoted(text));
    }

    /// The shortest digits that give the number back, with a point so that it stays a float.
    fn number(&mut self, field: &str, value: f64) {
        self.line(field, format_args!("{value:?}"));
    }

    fn sites(&mut self, sites: &SiteSelector) {
        match sites {
            SiteSelector::All => self.text("sites", "all"),
            SiteSelector::AnyOf(patterns) => {
                let list: Vec<String> = patterns.iter().map(|pattern| quoted(&pattern.to_string())).collect();
                self.line("sites", format_args!("[{}]", list.join(", ")));
            }
        }
    }

    fn towers(&mut self, towers: &Towers) {
        let Towers::Named(towers) = towers else { return };
        let list: Vec<String> = towers.iter().map(|tower| quoted(tower.word())).collect();
        self.line("towers", format_args!("[{}]", list.join(", ")));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::FuseNorms(FuseNorms { towers }) | Step::RotateHeads(RotateHeads { towers }) => self.towers(towers),
            Step::RotateStream(RotateStream { towers, kind }) => {
                self.towers(towers);
                self.text("kind", kind.word());
            }
            Step::RotateOnline(RotateOnline { sites, otherwise }) => {
                self.sites(sites);
                self.text("otherwise", otherwise.word());
            }
            Step::Smooth(Smooth { sites, alpha }) => {
                self.sites(sites);
                self.number("alpha", *alpha);
            }
            Step::SmoothModalities(SmoothModalities { sites, alpha, vectors, learning }) => {
                self.sites(sites);
                self.number("alpha", *alpha);
                self.text("vectors", vectors.word());
                if let Some(Learning { epochs, learning_rate, form, loss_weights }) = learning {
                    self.line("epochs", epochs);
                    self.number("learning_rate", *learning_rate);
                    self.text("form", form.word());
                    let weight = |(m, weight): (&Modality, &f64)| format!("{} = {weight:?}", m.word());
                    let weights: Vec<String> = loss_weights.iter().map(weight).collect();
                    if !weights.is_empty() {
                        self.line("loss_weights", format_args!("{{ {} }}", weights.join(", ")));
                    }
                }
            }
            Step::Compensate(Compensate { sites, rank }) => {
                self.sites(sites);
                match rank {
                    Rank::Ratio(ratio) => self.number("rank_ratio", *ratio),
                    Rank::Absolute(rank) => self.line("rank", rank),
                    Rank::Budget(share) => self.number("budget", *share),
                }
            }
            Step::SplitColumns(SplitColumns { sites, limits }) => {
                self.sites(sites);
                self.number("ratio", limits.ratio);
                self.line("at_most", limits.at_most);
            }
            Step::Quantize(Quantize { sites, target }) => {
                self.sites(sites);
                self.target(target);
            }
        }
    }

    fn target(&mut self, target: &Target) {
        self.line("weight_bits", target.bits());
        if let Target::Int { format, method, clip, .. } = target {
            format.group.into_iter().for_each(|group| self.line("group_size", group));
            match method {
                WeightMethod::Rtn => self.text("method", "rtn"),
                WeightMethod::Gptq { damping, act_order } => {
                    self.text("method", "gptq");
                    self.number("damping", *damping);
                    self.line("act_order", *act_order == ActOrder::Descending);
                }
            }
            self.text("clip", clip.word());
        }
        let Target::Int { input, input_bits, .. } = target else {
            return self.text("input", InputFormat::Float.word());
        };
        self.text("input", input.word());
        // Every step of before had 8.
        if *input_bits != InputBits::Eight {
            self.line("input_bits", input_bits.count());
        }
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}
