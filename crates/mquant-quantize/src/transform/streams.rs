//! The residual streams of a model: how wide they are and which norm reads them.

use std::collections::{BTreeMap, BTreeSet};

use super::TransformError;
use mquant_model::models::Model;
use mquant_model::nn::{NormKind, Tower};

/// Which norm reads a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamNorm {
    /// It takes rows as they are.
    Rms,
    /// It subtracts each row's mean first.
    Layer,
    /// It subtracts each row's mean first, but for a reader that norms several rows as one (the deepstack mergers of Qwen3-VL):
    /// that one sees how the means of its rows differ, so rows cannot be centred.
    LayerOfSeveral,
}

/// The residual streams of a model.
#[derive(Clone, Debug, Default)]
pub struct Streams(BTreeMap<Tower, (usize, StreamNorm)>);

impl Streams {
    /// Those of a model. Weights are not touched.
    ///
    /// # Errors
    /// A stream that is read by norms of both kinds, or without a norm.
    pub fn of(model: &mut Model) -> Result<Self, TransformError> {
        let (mut widths, mut norms) = (BTreeMap::new(), BTreeMap::new());
        let mut of_several = BTreeSet::new();
        for part in model.parts() {
            for writer in part.writers() {
                widths.insert(writer.stream.0, writer.output.features());
            }
            for reader in part.readers() {
                let tower = reader.stream.0;
                let site = reader.site.id;
                let norm = reader.site.norm.as_ref();
                let norm = norm.ok_or(TransformError::NoNorm { site, tower, step: "a change of the stream" })?;
                let kind = match norm.kind {
                    NormKind::Rms => StreamNorm::Rms,
                    NormKind::Layer { .. } => StreamNorm::Layer,
                };
                if widths.get(&tower).is_some_and(|width| *width != norm.gain.len()) {
                    of_several.insert(tower);
                }
                if *norms.entry(tower).or_insert(kind) != kind {
                    return Err(TransformError::MixedNorms { tower });
                }
            }
        }
        let streams = widths.into_iter().map(|(tower, width)| {
            let norm = match norms.get(&tower).copied().unwrap_or(StreamNorm::Rms) {
                StreamNorm::Layer if of_several.contains(&tower) => StreamNorm::LayerOfSeveral,
                norm => norm,
            };
            (tower, (width, norm))
        });
        Ok(Self(streams.collect()))
    }

    /// Features of a tower's stream.
    ///
    /// # Errors
    /// If the model has no such tower.
    pub fn width(&self, tower: Tower) -> Result<usize, TransformError> {
        self.0.get(&tower).map(|(width, _)| *width).ok_or(TransformError::NoStream { tower })
    }

    /// Which norm reads it.
    ///
    /// # Errors
    /// If the model has no such tower.
    pub fn norm(&self, tower: Tower) -> Result<StreamNorm, TransformError> {
        self.0.get(&tower).map(|(_, norm)| *norm).ok_or(TransformError::NoStream { tower })
    }
}
