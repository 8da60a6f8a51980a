//! Rotation of residual streams, folded into what writes and reads them (R1 of QuaRot; MQuant, section 3.2).
//!
//! Every row x of a stream becomes Q·x: writers W ← Q·W and b ← Q·b, tables row by row, readers W ← W·Qᵀ. A norm without
//! gain and bias lets a rotation pass; LayerNorm only one that keeps the vector of ones. Where LayerNorms have to stay (see
//! [`FuseNorms`](super::FuseNorms)), a Hadamard rotation is followed by the reflection that takes the ones back to their place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mquant_kernels::Cpu;

use super::fuse_norms::fold_affine;
use super::wide::{float, map_rows, map_stream};
use super::{
    ReadChange, ReadChanges, Rotation, RotationKind, SeenChannels, StreamNorm, Streams, Transform, TransformError,
};
use mquant_model::nn::{NormKind, Part, SiteMut, Tower};

/// The step.
#[derive(Clone, Debug)]
pub struct RotateStream {
    rotations: BTreeMap<Tower, Arc<Rotation>>,
    kind: RotationKind,
    /// Towers whose LayerNorms stay.
    uncentred: BTreeSet<Tower>,
}

impl RotateStream {
    /// For the streams of these towers, each with a rotation of its own.
    ///
    /// # Errors
    /// If the model has not such a stream, or there is no rotation as wide.
    pub fn new(
        streams: &Streams,
        towers: impl IntoIterator<Item = Tower>,
        kind: RotationKind,
        seed: u64,
    ) -> Result<Self, TransformError> {
        let mut uncentred = BTreeSet::new();
        let rotation = |tower: Tower| {
            let (width, label) = (streams.width(tower)?, format!("the {tower} stream"));
            let rotation = Rotation::new(kind, width, seed, &label);
            let mut rotation = rotation.map_err(|source| TransformError::Rotation { what: label, source })?;
            if streams.norm(tower)? == StreamNorm::LayerOfSeveral {
                rotation = rotation.keeping_ones();
                uncentred.insert(tower);
            }
            Ok((tower, Arc::new(rotation)))
        };
        let rotations = towers.into_iter().map(rotation).collect::<Result<_, _>>()?;
        Ok(Self { rotations, kind, uncentred })
    }
}

impl Transform for RotateStream {
    fn apply(&self, cpu: Cpu, part: &mut dyn Part, _: &SeenChannels) -> Result<ReadChanges, TransformError> {
        let mut changes = ReadChanges::new();
        for mut reader in part.readers() {
            let tower = reader.stream.0;
            let Some(rotation) = self.rotations.get(&tower) else { continue };
            if self.kind == RotationKind::OnesPreserving {
                let change = fold_affine(&mut reader.site, tower)?;
                changes.extend(change.map(|change| (reader.site.id, change)));
            }
            let keeps_ones = self.kind == RotationKind::OnesPreserving || self.uncentred.contains(&tower);
            check_norm(&reader.site, tower, keeps_ones)?;
            changes.push((reader.site.id, ReadChange::Rotated(rotation.clone())));
            for linear in reader.site.linears.iter_mut() {
                // A merger reads several rows side by side.
                map_rows(float(linear), |row| {
                    row.chunks_exact_mut(rotation.width()).for_each(|one| rotation.rotate(cpu, one));
                });
            }
        }
        for writer in part.writers() {
            let Some(rotation) = self.rotations.get(&writer.stream.0) else { continue };
            map_stream(writer.output, |values| rotation.rotate(cpu, values));
        }
        Ok(changes)
    }
}

/// Refuses a norm that does not commute with the rotation.
fn check_norm(site: &SiteMut<'_>, tower: Tower, keeps_ones: bool) -> Result<(), TransformError> {
    let id = site.id;
    let norm = site.norm.as_ref().ok_or(TransformError::NoNorm { site: id, tower, step: "rotate_stream" })?;
    let found = match &norm.kind {
        _ if norm.gain.iter().any(|g| *g != 1.0) => "has a gain",
        NormKind::Layer { .. } if !keeps_ones => "subtracts a mean",
        _ => return Ok(()),
    };
    Err(TransformError::NormInTheWay { site: id, tower, found })
}
