//! Judges forms of a quantised model by the same reference answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use mquant_kernels::{Bits, Rows};

use super::Suspect;
use crate::evaluate::{EvaluateError, Likelihood, Referenced, reference_logits};
use mquant_model::error::Result;
use mquant_model::nn::{Linear, SiteId, Weight};
use mquant_model::run::Engine;
use mquant_quantize::pipeline::{Restored, Restorer};

/// Reference answers computed together.
const TOGETHER: usize = 8;

/// The float model's scores of some reference answers, and what is needed to change the quantised one.
pub(super) struct Jury<'a> {
    suspect: Suspect<'a>,
    restorer: Restorer<'a>,
    referenced: &'a [Referenced],
    /// The float model's scores of them.
    expected: Vec<Rows>,
}

impl<'a> Jury<'a> {
    pub(super) fn new(suspect: Suspect<'a>, referenced: &'a [Referenced]) -> Result<Self> {
        let restorer = Restorer::new(suspect.float, suspect.quantised, suspect.recipe, suspect.engine.cpu)?;
        let engine = Engine::new(suspect.float, suspect.engine)?;
        let expected = scores(&engine, referenced)?;
        Ok(Self { suspect, restorer, referenced, expected })
    }

    /// The quantised model with some sites changed, against the float model.
    pub(super) fn measure(&self, changed: &BTreeSet<SiteId>, change: Restored) -> Result<Likelihood> {
        let mut model = (*self.suspect.quantised.model).clone();
        if !changed.is_empty() {
            self.restorer.restore(&mut model, changed, change)?;
        }
        let engine = Engine::new(self.suspect.quantised, self.suspect.engine)?.with_model(Arc::new(model));
        let mut sum = Likelihood::default();
        let found = scores(&engine, self.referenced)?;
        for ((referenced, expected), found) in self.referenced.iter().zip(&self.expected).zip(found) {
            if found.features() != expected.features() {
                let (model, baseline) = (found.features(), expected.features());
                return Err(EvaluateError::Vocabularies { model, baseline }.into());
            }
            sum.add(&Likelihood::of(&found, expected, referenced.ids()));
        }
        Ok(sum)
    }

    /// Bytes that the weights of 4 bits among these grow by in 8.
    pub(super) fn bytes_for_eight_bits(&self, wanted: &BTreeSet<SiteId>) -> u64 {
        let mut model = (*self.suspect.quantised.model).clone();
        let mut bytes = 0;
        for part in model.parts() {
            for site in part.sites().into_iter().filter(|site| wanted.contains(&site.id)) {
                let is_half = |linear: &&Linear| matches!(&linear.weight, Weight::Int(w) if w.bits() == Bits::Four);
                let codes = |linear: &Linear| (linear.weight.rows() * linear.weight.cols()) as u64;
                bytes += site.linears.iter().filter(is_half).map(codes).sum::<u64>() / 2;
            }
        }
        bytes
    }
}

/// Scores of all answers, a few at a time.
fn scores(engine: &Engine, referenced: &[Referenced]) -> Result<Vec<Rows>> {
    let mut all = Vec::with_capacity(referenced.len());
    for some in referenced.chunks(TOGETHER) {
        all.extend(reference_logits(engine, &some.iter().collect::<Vec<_>>())?);
    }
    Ok(all)
}
