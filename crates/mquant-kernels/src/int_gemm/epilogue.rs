//! From i32 sums to f32 results, one row of a panel at a time.

use crate::features::per_level;
use crate::int_weight::PANEL;

/// Results of one row of a tile.
pub(super) type Row = [f32; PANEL];

#[inline(always)]
fn scale_body(sums: &[i32; PANEL], back: i32, row: f32, outputs: &Row, y: &mut Row) {
    for j in 0..PANEL {
        y[j] = sums[j].wrapping_sub(back) as f32 * row * outputs[j];
    }
}

#[inline(always)]
fn add_group_body(sums: &[i32; PANEL], back: i32, outputs: &Row, y: &mut Row) {
    for j in 0..PANEL {
        y[j] += sums[j].wrapping_sub(back) as f32 * outputs[j];
    }
}

#[inline(always)]
fn multiply_body(row: f32, y: &mut Row) {
    y.iter_mut().for_each(|y| *y *= row);
}

#[inline(always)]
fn add_body(x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
}

per_level! {
    /// y = (sums − back) · row · outputs: `back` is what the offset of the weight codes added.
    pub(super) fn scale(sums: &[i32; PANEL], back: i32, row: f32, outputs: &Row, y: &mut Row) = scale_body
}
per_level! {
    /// y += (sums − back) · outputs: what one group of inputs contributes.
    pub(super) fn add_group(sums: &[i32; PANEL], back: i32, outputs: &Row, y: &mut Row) = add_group_body
}
per_level! {
    /// y ← y · row.
    pub(super) fn multiply(row: f32, y: &mut Row) = multiply_body
}
per_level! {
    /// y ← y + x.
    pub(super) fn add(x: &[f32], y: &mut [f32]) = add_body
}
