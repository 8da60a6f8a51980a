//! The Cholesky factor that GPTQ corrects weights with: one for each site, shared by its linears.
//!
//! GPTQ quantises column after column and corrects the columns to come, w ← w − e·U_kj/U_kk with H⁻¹ = Uᵀ·U. The same
//! corrections follow from H itself: with the columns in reverse order of quantisation and H = L·Lᵀ, the error of the
//! outputs is ‖(w − ŵ)·L‖², and what column k is rounded from is the value that makes component k of (w − ŵ)·L vanish,
//! w_k + Σ_{i>k} (w_i − ŵ_i)·L_ik/L_kk. One Cholesky decomposition, no inverse, and each column's share of the error is
//! (L_kk · what rounding it leaves)².
//!
//! Ladder: the damping, a share of the mean of the diagonal, is multiplied by 10 up to 1 until H can be decomposed; after
//! that there is nothing to correct by and GPTQ is rounding to nearest (as it is for a diagonal H).

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::{MatMut, Par};
use rayon::prelude::*;

use super::{Hessian, QuantizeError};

/// In which order columns are quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActOrder {
    /// Largest second moment first: the columns that matter most are rounded before errors pile up.
    Descending,
    /// As they stand.
    Natural,
}

/// How a Hessian is factored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GptqOptions {
    /// Share of the mean second moment that is added to each.
    pub damping: f64,
    /// Order of the columns.
    pub act_order: ActOrder,
}

impl Default for GptqOptions {
    fn default() -> Self {
        Self { damping: 0.01, act_order: ActOrder::Descending }
    }
}

/// The rung of the ladder that a Hessian was factored on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DampingOutcome {
    /// Factored with this damping.
    Damped {
        /// Share of the mean second moment.
        damping: f64,
    },
    /// Not factored: weights are rounded to nearest.
    Nearest(NearestReason),
}

/// Why a Hessian was not factored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NearestReason {
    /// No column outside those left out was ever other than 0.
    NothingSeen,
    /// A second moment is NaN or infinite.
    NotFinite,
    /// Not positive definite with any damping.
    Indefinite,
}

/// A factored Hessian.
#[derive(Clone, Debug)]
pub struct HessianFactor {
    columns: usize,
    rung: DampingOutcome,
    /// Columns whose codes are 0, ascending.
    zeroed: Vec<usize>,
    /// The other columns in reverse order of quantisation: position → column.
    pub(super) order: Vec<usize>,
    /// L_ik/L_kk for positions i ≥ k, column-major, zero above the diagonal.
    pub(super) feedback: Vec<f32>,
    /// L_kk², in units of the mean second moment.
    pub(super) pivots: Vec<f64>,
}

impl HessianFactor {
    /// Factors `hessian` without the columns `excluded`, whose weights are computed elsewhere, and without dead ones,
    /// whose second moment is 0. Both get codes of 0; where nothing was seen at all, only those excluded do.
    ///
    /// Takes 12 bytes for each pair of columns while it runs; 4 remain.
    ///
    /// # Errors
    /// A damping that is not positive and finite, a column to be excluded that there is not. No Hessian is refused.
    pub fn new(hessian: &Hessian, options: &GptqOptions, excluded: &[usize]) -> Result<Self, QuantizeError> {
        let columns = hessian.columns();
        if !(options.damping > 0.0 && options.damping.is_finite()) {
            return Err(QuantizeError::Damping { found: options.damping });
        }
        let mut kept = vec![true; columns];
        for column in excluded {
            *kept.get_mut(*column).ok_or(QuantizeError::Excluded { column: *column, columns })? = false;
        }
        let nearest = |reason, kept: &[bool]| Self {
            columns,
            rung: DampingOutcome::Nearest(reason),
            zeroed: (0..columns).filter(|c| !kept[*c]).collect(),
            order: Vec::new(),
            feedback: Vec::new(),
            pivots: Vec::new(),
        };
        if !is_finite(hessian) {
            return Ok(nearest(NearestReason::NotFinite, &kept));
        }
        let alive: Vec<bool> = (0..columns).map(|c| kept[c] && hessian.at(c, c) != 0.0).collect();
        let order = order(hessian, options.act_order, &alive);
        if order.is_empty() {
            return Ok(nearest(NearestReason::NothingSeen, &kept));
        }
        let mean = order.iter().map(|c| f64::from(hessian.at(*c, *c))).sum::<f64>() / order.len() as f64;
        if mean <= 0.0 {
            return Ok(nearest(NearestReason::Indefinite, &alive));
        }
        let mut work = vec![0f64; order.len() * order.len()];
        let mut damping = options.damping;
        loop {
            gather(hessian, &order, Scale { mean, damping }, &mut work);
            if let Some((feedback, pivots)) = decompose(&mut work, order.len()) {
                let zeroed = (0..columns).filter(|c| !alive[*c]).collect();
                return Ok(Self { columns, rung: DampingOutcome::Damped { damping }, zeroed, order, feedback, pivots });
            }
            if damping >= 1.0 {
                return Ok(nearest(NearestReason::Indefinite, &alive));
            }
            damping = (damping * 10.0).min(1.0);
        }
    }

    /// Inputs of the site.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How it was factored.
    pub fn rung(&self) -> DampingOutcome {
        self.rung
    }

    /// Columns whose codes are 0: dead and excluded ones, ascending.
    pub fn zeroed(&self) -> &[usize] {
        &self.zeroed
    }
}

/// Whether every entry of the lower triangle is a finite number.
fn is_finite(hessian: &Hessian) -> bool {
    let rows = hessian.sum().par_chunks(hessian.columns().max(1)).enumerate();
    rows.all(|(i, row)| row[..=i].iter().all(|v| v.is_finite()))
}

/// The columns alive, the one to be quantised last first.
fn order(hessian: &Hessian, act_order: ActOrder, alive: &[bool]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..alive.len()).filter(|c| alive[*c]).collect();
    if act_order == ActOrder::Descending {
        order.sort_by(|a, b| hessian.at(*b, *b).total_cmp(&hessian.at(*a, *a)));
    }
    order.reverse();
    order
}

/// What a Hessian is divided by, and what is then added to its diagonal.
#[derive(Clone, Copy)]
struct Scale {
    mean: f64,
    damping: f64,
}

/// Lower triangle, column-major, of H/mean + damping for the columns of `order`.
fn gather(hessian: &Hessian, order: &[usize], Scale { mean, damping }: Scale, work: &mut [f64]) {
    let n = order.len();
    work.par_chunks_mut(n).enumerate().for_each(|(k, column)| {
        for (value, i) in column[k..].iter_mut().zip(&order[k..]) {
            *value = f64::from(hessian.at(*i, order[k])) / mean;
        }
        column[k] += damping;
    });
}

/// L_ik/L_kk and L_kk² of the decomposition of `work`, if there is one in finite numbers.
fn decompose(work: &mut [f64], n: usize) -> Option<(Vec<f32>, Vec<f64>)> {
    // A constant: the sums follow from how the work is divided. No more threads than the pool has take part.
    let parallel = Par::rayon(16);
    let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(n, parallel, Default::default()));
    let matrix = MatMut::from_column_major_slice_mut(&mut *work, n, n);
    let stack = MemStack::new(&mut memory);
    cholesky_in_place(matrix, Default::default(), parallel, stack, Default::default()).ok()?;
    let pivots: Vec<f64> = (0..n).map(|k| work[k * n + k] * work[k * n + k]).collect();
    if !pivots.iter().all(|p| p.is_finite() && *p > 0.0) {
        return None;
    }
    let mut feedback = vec![0f32; n * n];
    let columns = feedback.par_chunks_mut(n).zip(work.par_chunks(n)).enumerate();
    let finite = columns.map(|(k, (feedback, column))| {
        let inverse = 1.0 / column[k];
        for (out, value) in feedback[k..].iter_mut().zip(&column[k..]) {
            *out = (value * inverse) as f32;
        }
        feedback[k..].iter().all(|v| v.is_finite())
    });
    finite.reduce(|| true, |a, b| a && b).then_some((feedback, pivots))
}

#[cfg(test)]
mod tests;
