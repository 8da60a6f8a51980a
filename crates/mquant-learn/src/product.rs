//! Matrix products on slices, by the library that computes all float products of the project.

use faer::linalg::matmul::matmul;
use faer::traits::ComplexField;
use faer::{Accum, MatMut, MatRef, Par};

/// A row-major matrix, read as it stands or transposed.
#[derive(Clone, Copy)]
pub(crate) struct Factor<'a, T> {
    values: &'a [T],
    rows: usize,
    cols: usize,
    transposed: bool,
}

impl<'a, T> Factor<'a, T> {
    /// `values`: rows × cols.
    pub(crate) fn new(values: &'a [T], rows: usize, cols: usize) -> Self {
        Self { values, rows, cols, transposed: false }
    }

    /// The same matrix, transposed.
    pub(crate) fn t(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// `self`, transposed if asked for.
    pub(crate) fn t_if(self, transposed: bool) -> Self {
        if transposed { self.t() } else { self }
    }

    /// Rows and columns as read.
    pub(crate) fn shape(&self) -> (usize, usize) {
        if self.transposed { (self.cols, self.rows) } else { (self.rows, self.cols) }
    }

    /// As the library sees it.
    pub(crate) fn view(&self) -> MatRef<'a, T> {
        let stored = MatRef::from_row_major_slice(self.values, self.rows, self.cols);
        if self.transposed { stored.transpose() } else { stored }
    }
}

/// What the library is told: a constant, since its results may follow from how it divides the work. It takes the threads of
/// the pool it is called in, and no more.
pub(crate) fn threads() -> Par {
    Par::rayon(16)
}

/// a · b, row-major.
pub(crate) fn product<T: ComplexField + Copy + Default>(a: Factor<'_, T>, b: Factor<'_, T>) -> Vec<T> {
    let mut out = vec![T::default(); a.shape().0 * b.shape().1];
    product_into(a, b, &mut out);
    out
}

/// a · b, row-major, into `out`.
pub(crate) fn product_into<T: ComplexField + Copy + Default>(a: Factor<'_, T>, b: Factor<'_, T>, out: &mut [T]) {
    let (rows, cols) = (a.shape().0, b.shape().1);
    if rows == 0 || cols == 0 {
        return;
    }
    let out = MatMut::from_row_major_slice_mut(out, rows, cols);
    matmul(out, Accum::Replace, a.view(), b.view(), T::one_impl(), threads());
}
