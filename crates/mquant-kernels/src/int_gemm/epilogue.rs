//! From i32 sums to f32 results.

use super::Sums;
use crate::features::per_level;
use crate::int_weight::PANEL;

/// Results of a tile.
pub(super) type Results = [[f32; PANEL]; super::MOST_ROWS];

/// What one tile's sums become results with. Row slices have one entry for each row of the tile.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    /// Offset of the weight codes times the sum of each row's codes.
    pub(super) back: &'a [i32],
    /// Scale of each row.
    pub(super) rows: &'a [f32],
    /// Scale of each output.
    pub(super) outputs: &'a [f32; PANEL],
    /// Added to each output, if anything is.
    pub(super) bias: Option<&'a [f32; PANEL]>,
}

#[inline(always)]
fn whole_body(sums: &Sums, f: Factors<'_>, y: &mut Results) {
    for (((sums, y), back), row) in sums.iter().zip(y).zip(f.back).zip(f.rows) {
        match f.bias {
            Some(bias) => {
                for j in 0..PANEL {
                    y[j] = sums[j].wrapping_sub(*back) as f32 * row * f.outputs[j] + bias[j];
                }
            }
            None => {
                for j in 0..PANEL {
                    y[j] = sums[j].wrapping_sub(*back) as f32 * row * f.outputs[j];
                }
            }
        }
    }
}

#[inline(always)]
fn add_group_body(sums: &Sums, back: &[i32], outputs: &[f32; PANEL], y: &mut Results) {
    for ((sums, y), back) in sums.iter().zip(y).zip(back) {
        for j in 0..PANEL {
            y[j] += sums[j].wrapping_sub(*back) as f32 * outputs[j];
        }
    }
}

#[inline(always)]
fn finish_groups_body(rows: &[f32], bias: Option<&[f32; PANEL]>, y: &mut Results) {
    for (y, row) in y.iter_mut().zip(rows) {
        for j in 0..PANEL {
            y[j] = y[j] * row + bias.map_or(0.0, |b| b[j]);
        }
    }
}

#[inline(always)]
fn add_body(x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
}

per_level! {
    /// Results of outputs that have one scale each.
    pub(super) fn whole(sums: &Sums, factors: Factors<'_>, y: &mut Results) = whole_body
}
per_level! {
    /// Adds what one group of inputs contributes.
    pub(super) fn add_group(sums: &Sums, back: &[i32], outputs: &[f32; PANEL], y: &mut Results) = add_group_body
}
per_level! {
    /// Row scale and bias, after all groups.
    pub(super) fn finish_groups(rows: &[f32], bias: Option<&[f32; PANEL]>, y: &mut Results) = finish_groups_body
}
per_level! {
    /// y += x.
    pub(super) fn add(x: &[f32], y: &mut [f32]) = add_body
}
