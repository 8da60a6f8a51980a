//! Fake quantisation of activations.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::rounding::{Grid, Largest, most_of};
use crate::tensor::{slice, tensor, with_values};

/// Which rows share a scale.
#[derive(Clone, Debug)]
pub(crate) enum Scales {
    /// Each row has its own.
    PerRow,
    /// Rows of the same set have one: of each row, its set, counted from 0.
    PerSet(Arc<Vec<u32>>),
}

/// `x`: rows × features, each value replaced by the nearest of its grid (see `rounding`).
pub(crate) fn quantize(x: &Tensor, bits: u32, scales: Scales) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Quantize { most: most_of(bits), scales })
}

struct Quantize {
    most: f32,
    scales: Scales,
}

impl Quantize {
    fn set_of(&self, row: usize) -> usize {
        match &self.scales {
            Scales::PerRow => row,
            Scales::PerSet(sets) => sets[row] as usize,
        }
    }

    /// Of each set, the row with its largest magnitude, and that magnitude.
    fn largest(&self, x: &[f32], features: usize) -> Vec<(usize, Largest)> {
        let rows: Vec<Largest> = x.par_chunks(features).map(Largest::of).collect();
        let mut sets = Vec::new();
        for (row, largest) in rows.into_iter().enumerate() {
            let set = self.set_of(row);
            if sets.len() <= set {
                sets.resize(set + 1, (row, Largest::default()));
            }
            if largest.magnitude > sets[set].1.magnitude {
                sets[set] = (row, largest);
            }
        }
        sets
    }
}

impl CustomOp1 for Quantize {
    fn name(&self) -> &'static str {
        "quantize"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let features = layout.shape().dims2()?.1;
        let x = slice(storage, layout)?;
        let largest = self.largest(x, features);
        let mut y = x.to_vec();
        y.par_chunks_mut(features).enumerate().for_each(|(row, values)| {
            Grid::new(largest[self.set_of(row)].1.magnitude, self.most).round(values);
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        if !x.track_op() {
            return Ok(None);
        }
        let (rows, features) = x.dims2()?;
        let dx = with_values(x, |x| {
            with_values(gradient, |g| {
                let largest = self.largest(x, features);
                let grid = |row: usize| Grid::new(largest[self.set_of(row)].1.magnitude, self.most);
                let mut dx = g.to_vec();
                let of_rows: Vec<f32> = dx
                    .par_chunks_mut(features)
                    .zip(x.par_chunks(features))
                    .enumerate()
                    .map(|(row, (gradient, values))| {
                        let grid = grid(row);
                        let scale = grid.scale_gradient(values, gradient);
                        grid.pass(values, gradient);
                        scale
                    })
                    .collect();
                let mut of_sets = vec![0f32; largest.len()];
                of_rows.iter().enumerate().for_each(|(row, scale)| of_sets[self.set_of(row)] += scale);
                for ((row, largest), scale) in largest.iter().zip(of_sets) {
                    let at = row * features + largest.at;
                    dx[at] += grid(*row).at_largest(x[at], scale);
                }
                Ok(dx)
            })
        })?;
        Ok(Some(tensor(dx, (rows, features))?))
    }
}
