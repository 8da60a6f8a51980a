//! Low-rank branches of some rows (MASQuant, equation 29): y += (x·Aᵀ)·Bᵀ on the rows of one modality.
//!
//! h = x·Aᵀ is a product like any other, of the same codes. Each of its rows becomes 8-bit codes by its own largest
//! magnitude, and h·Bᵀ is added to the main product's results where the branch has rows. Other rows cost nothing.

use std::ops::Range;

use rayon::prelude::*;

use super::product::multiply_rows;
use super::{Epilogue, Output, Product};
use crate::data::Rows;
use crate::features::Cpu;
use crate::int_weight::PackedWeight;
use crate::quant_rows::{BranchCodes, QuantRows};
use crate::quantize_rows;

/// The first half of a branch, and the rows it is for.
#[derive(Clone, Copy, Debug)]
pub struct RowBranch<'a> {
    /// A: rank × features of the rows.
    pub weight: &'a PackedWeight,
    /// Ascending ranges of rows; none where no row is of the branch.
    pub rows: &'a [Range<usize>],
}

/// Computes the first half of each branch and keeps it beside the rows.
///
/// # Panics
/// If shapes disagree or rows are not there.
pub(crate) fn attach(cpu: Cpu, x: &mut QuantRows, branches: &[RowBranch<'_>]) {
    let of = |branch: &RowBranch<'_>| {
        let mut codes = QuantRows::zeros(x.rows(), branch.weight.rows());
        let mut hidden = Rows::for_overwrite(x.rows(), branch.weight.rows());
        for rows in branch.rows {
            let output = Output::Write(&mut hidden);
            let (weight, bias, epilogue) = (branch.weight, None, Epilogue::Nothing);
            let product = Product { weight, bias, outliers: None, branches: &[], epilogue, output };
            multiply_rows(cpu, x, rows.clone(), &mut [product]);
            let each = codes.par_rows_mut().enumerate().skip(rows.start).take(rows.len()).with_min_len(16);
            each.for_each(|(i, to)| {
                let row = hidden.row(i);
                *to.scale = quantize_rows::scale_of(quantize_rows::absmax(cpu, row), 127.0);
                *to.sum = quantize_rows::quantize(cpu, row, 1.0 / *to.scale, to.codes);
            });
        }
        BranchCodes { codes, rows: branch.rows.to_vec() }
    };
    let made = branches.iter().map(of).collect();
    x.set_branches(made);
}
