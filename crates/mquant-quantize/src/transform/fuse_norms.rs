//! Norms without gain and bias (MQuant, section 3.2 and appendix A.13; QuaRot).
//!
//! LN(x) = N(x − mean)·diag(α) + β with N(x) = x/√(mean(x²) + ε). α and β move into the readers (W ← W·diag(α),
//! b ← b + W·β with W as it was); a LayerNorm becomes an RMSNorm of the same ε once everything that writes to its stream has
//! a mean of zero over the features (W ← (I − 11ᵀ/D)·W, b likewise). What is left commutes with any rotation. A stream of which
//! several rows are normed as one cannot be centred row by row: its LayerNorms stay, without gain and bias, and commute with
//! rotations that keep the vector of ones.

use std::collections::BTreeSet;

use mquant_kernels::Cpu;

use super::wide::{add_to_bias, float, map_rows, map_stream};
use super::{ReadChange, ReadChanges, SeenChannels, StreamNorm, Streams, Transform, TransformError};
use mquant_model::nn::{NormKind, Part, SiteMut, Tower};

/// The step.
#[derive(Clone, Debug)]
pub struct FuseNorms {
    towers: BTreeSet<Tower>,
    /// Those of them whose writers are centred.
    centred: BTreeSet<Tower>,
    /// Those of them whose norms go on to subtract the mean.
    uncentred: BTreeSet<Tower>,
}

impl FuseNorms {
    /// For the streams of these towers.
    ///
    /// # Errors
    /// If the model has not such a stream.
    pub fn new(streams: &Streams, towers: impl IntoIterator<Item = Tower>) -> Result<Self, TransformError> {
        let towers: BTreeSet<Tower> = towers.into_iter().collect();
        let (mut centred, mut uncentred) = (BTreeSet::new(), BTreeSet::new());
        for tower in &towers {
            match streams.norm(*tower)? {
                StreamNorm::Rms => false,
                StreamNorm::Layer => centred.insert(*tower),
                StreamNorm::LayerOfSeveral => uncentred.insert(*tower),
            };
        }
        Ok(Self { towers, centred, uncentred })
    }
}

impl Transform for FuseNorms {
    fn apply(&self, _: Cpu, part: &mut dyn Part, _: &SeenChannels) -> Result<ReadChanges, TransformError> {
        let mut changes = ReadChanges::new();
        for mut reader in part.readers() {
            let tower = reader.stream.0;
            if self.towers.contains(&tower) {
                let change = fold_affine(&mut reader.site, tower)?;
                changes.extend(change.map(|change| (reader.site.id, change)));
                if !self.uncentred.contains(&tower) {
                    let norm = reader.site.norm.as_mut().expect("folded just now");
                    norm.kind = NormKind::Rms;
                }
            }
        }
        for writer in part.writers() {
            if self.centred.contains(&writer.stream.0) {
                map_stream(writer.output, centre);
            }
        }
        Ok(changes)
    }
}

/// Moves gain and bias of the norm in front of a site into its linears; the norm stays of its kind, with a gain of 1 and a
/// bias of 0. Returns what that does to what the linears read; None where the norm was so before.
pub(super) fn fold_affine(site: &mut SiteMut<'_>, tower: Tower) -> Result<Option<ReadChange>, TransformError> {
    let id = site.id;
    let norm = site.norm.as_mut().ok_or(TransformError::NoNorm { site: id, tower, step: "fuse_norms" })?;
    let wide = |values: &[f32]| -> Vec<f64> {
        let one = values.iter().map(|v| f64::from(*v));
        std::iter::repeat_n(one, norm.repeat).flatten().collect()
    };
    let gain = wide(&norm.gain);
    let bias = match &norm.kind {
        NormKind::Rms => None,
        NormKind::Layer { bias } => Some(wide(bias)),
    };
    let bias = bias.filter(|bias| bias.iter().any(|b| *b != 0.0));
    let has_gain = gain.iter().any(|g| *g != 1.0);
    for linear in site.linears.iter_mut() {
        if let Some(bias) = &bias {
            add_to_bias(linear, bias);
        }
        if has_gain {
            map_rows(float(linear), |row| row.iter_mut().zip(&gain).for_each(|(w, g)| *w *= g));
        }
    }
    norm.gain.fill(1.0);
    if let NormKind::Layer { bias } = &mut norm.kind {
        bias.fill(0.0);
    }
    Ok((has_gain || bias.is_some()).then_some(ReadChange::Channels { scale: gain, shift: bias }))
}

fn centre(values: &mut [f64]) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter_mut().for_each(|v| *v -= mean);
}
