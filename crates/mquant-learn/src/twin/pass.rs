//! What a block needs to know of a pass, as tensors.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;
use mquant_model::nn::{Attention, ForwardBatch, Modality, Visibility};

use crate::tensor::tensor;

/// Rows that attend to one another, and the original index of each where attention is causal.
pub(crate) type Neighbours = (Range<usize>, Option<Arc<Vec<u32>>>);

/// The rows of a pass.
#[derive(Debug)]
pub(crate) struct PassRows {
    /// Cosines and sines of the rotary angles, rows × 1 × half; none where rows are not turned.
    pub(crate) rope: Option<(Tensor, Tensor)>,
    /// Rows that attend to one another, gapless.
    pub(crate) ranges: Vec<Neighbours>,
    /// The modality of each row.
    pub(crate) modality: Arc<Vec<Modality>>,
    /// What is added behind the block, rows × stream features.
    pub(crate) deepstack: Option<Tensor>,
}

impl PassRows {
    /// Checks a pass against the `shape` of its rows and the block's attention; the outer error says what does not fit.
    pub(crate) fn new(
        pass: &ForwardBatch,
        (rows, features): (usize, usize),
        attention: &Attention,
        deepstack: Option<usize>,
    ) -> Result<candle_core::Result<Self>, String> {
        let mut modality = Vec::with_capacity(rows);
        pass.spans.iter().for_each(|(m, range)| modality.resize(range.end, m));
        if modality.len() != rows {
            return Err(format!("{rows} rows, but the modality of {}", modality.len()));
        }
        let ranges = match attention.visibility {
            Visibility::Full | Visibility::Causal => &pass.sequences,
            Visibility::Window => &pass.windows,
        };
        let covered = ranges.iter().try_fold(0, |at, r| (r.start == at && r.end >= at).then_some(r.end));
        if covered != Some(rows) {
            return Err(format!("its sequences or windows do not cover {rows} rows one after the other"));
        }
        let causal = attention.visibility == Visibility::Causal;
        if causal && pass.order.len() != rows {
            return Err(format!("{rows} rows, but the original indices of {}", pass.order.len()));
        }
        let order = |range: &Range<usize>| causal.then(|| Arc::new(pass.order[range.clone()].to_vec()));
        let ranges = ranges.iter().filter(|r| !r.is_empty()).map(|r| (r.clone(), order(r))).collect();
        let half = pass.rope.half();
        if half != 0 && (pass.rope.rows() != rows || 2 * half != attention.shape.head_dim) {
            return Err(format!("{} rows of {half} rotary angles for {rows} rows", pass.rope.rows()));
        }
        let rope = (half != 0).then(|| -> candle_core::Result<_> {
            let angles = |values: &[f32]| tensor(values.to_vec(), (rows, 1, half));
            Ok((angles(pass.rope.cos())?, angles(pass.rope.sin())?))
        });
        let added = match (deepstack, &pass.deepstack.features) {
            (Some(level), Some(media)) => {
                let (from, to) = (level * features, (level + 1) * features);
                let listed = &pass.deepstack.rows;
                if media.features() < to || media.rows() != listed.len() || listed.iter().any(|r| *r as usize >= rows) {
                    return Err("its deepstack features do not fit its rows".to_owned());
                }
                let mut all = vec![0f32; rows * features];
                for (i, row) in listed.iter().enumerate() {
                    let at = *row as usize * features;
                    all[at..at + features].iter_mut().zip(&media.row(i)[from..to]).for_each(|(a, m)| *a += m);
                }
                Some(tensor(all, (rows, features)))
            }
            _ => None,
        };
        let build = || {
            Ok(Self { rope: rope.transpose()?, ranges, modality: Arc::new(modality), deepstack: added.transpose()? })
        };
        Ok(build())
    }
}
