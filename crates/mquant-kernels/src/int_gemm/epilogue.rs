//! From i32 sums to f32 results.

use super::{MAX_ROWS, Sums};
use crate::features::per_level;
use crate::int_weight::PANEL;

/// Results of one row of a tile.
pub(super) type Row = [f32; PANEL];

/// What the sums of a tile become results with; one entry for each row, one for each output.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    /// What the offset of the weight codes added to each row's sums.
    pub(super) back: &'a [i32],
    /// Scale of each row.
    pub(super) rows: &'a [f32],
    /// Scale of each output.
    pub(super) outputs: &'a Row,
    /// Added to each output, if anything is.
    pub(super) bias: Option<&'a Row>,
}

/// Where a row of results goes.
pub(super) enum Place<'a> {
    /// It replaces what is there.
    Write(&'a mut Row),
    /// It is added to it.
    Add(&'a mut Row),
}

#[inline(always)]
fn tile_body<'a>(sums: &Sums, f: Factors<'_>, places: impl Iterator<Item = Place<'a>>) {
    let biased = |j: usize, value: f32| f.bias.map_or(value, |bias| value + bias[j]);
    for (((sums, back), row), place) in sums.iter().zip(f.back).zip(f.rows).zip(places) {
        let value = |j: usize| biased(j, sums[j].wrapping_sub(*back) as f32 * row * f.outputs[j]);
        match place {
            Place::Write(y) => (0..PANEL).for_each(|j| y[j] = value(j)),
            Place::Add(y) => (0..PANEL).for_each(|j| y[j] += value(j)),
        }
    }
}

#[inline(always)]
fn results_body(sums: &Sums, factors: Factors<'_>, y: &mut [Row; MAX_ROWS]) {
    tile_body(sums, factors, y.iter_mut().map(Place::Write));
}

#[inline(always)]
fn add_results_body(sums: &Sums, factors: Factors<'_>, y: &mut [Row; MAX_ROWS]) {
    tile_body(sums, factors, y.iter_mut().map(Place::Add));
}

#[inline(always)]
fn write_body(sums: &Sums, factors: Factors<'_>, y: [Option<&mut Row>; MAX_ROWS]) {
    tile_body(sums, factors, y.into_iter().flatten().map(Place::Write));
}

#[inline(always)]
fn add_to_body(sums: &Sums, factors: Factors<'_>, y: [Option<&mut Row>; MAX_ROWS]) {
    tile_body(sums, factors, y.into_iter().flatten().map(Place::Add));
}

#[inline(always)]
fn add_group_body(sums: &Sums, back: &[i32], outputs: &Row, y: &mut [Row; MAX_ROWS]) {
    for ((sums, back), y) in sums.iter().zip(back).zip(y) {
        for j in 0..PANEL {
            y[j] += sums[j].wrapping_sub(*back) as f32 * outputs[j];
        }
    }
}

#[inline(always)]
fn add_row_body(sums: &[i32; PANEL], back: i32, row: f32, outputs: &Row, y: &mut Row) {
    for j in 0..PANEL {
        y[j] += sums[j].wrapping_sub(back) as f32 * row * outputs[j];
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
    /// y = (sums − back) · row · output + bias.
    pub(super) fn results(sums: &Sums, factors: Factors<'_>, y: &mut [Row; MAX_ROWS]) = results_body
}
per_level! {
    /// y += (sums − back) · row · output.
    pub(super) fn add_results(sums: &Sums, factors: Factors<'_>, y: &mut [Row; MAX_ROWS]) = add_results_body
}
per_level! {
    /// [`results`] straight to where they belong.
    pub(super) fn write(sums: &Sums, factors: Factors<'_>, y: [Option<&mut Row>; MAX_ROWS]) = write_body
}
per_level! {
    /// [`results`] added to what is there.
    pub(super) fn add_to(sums: &Sums, factors: Factors<'_>, y: [Option<&mut Row>; MAX_ROWS]) = add_to_body
}
per_level! {
    /// y += (sums − back) · outputs: what one group of inputs contributes.
    pub(super) fn add_group(sums: &Sums, back: &[i32], outputs: &Row, y: &mut [Row; MAX_ROWS]) = add_group_body
}
per_level! {
    /// y += (sums − back) · row · output, of one row.
    pub(super) fn add_row(sums: &[i32; PANEL], back: i32, row: f32, outputs: &Row, y: &mut Row) = add_row_body
}
per_level! {
    /// y ← y · row.
    pub(super) fn multiply(row: f32, y: &mut Row) = multiply_body
}
#[inline(always)]
fn times_body(x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y *= x);
}

per_level! {
    /// y ← x · y.
    pub(super) fn times(x: &[f32], y: &mut [f32]) = times_body
}
per_level! {
    /// y ← y + x.
    pub(super) fn add(x: &[f32], y: &mut [f32]) = add_body
}
