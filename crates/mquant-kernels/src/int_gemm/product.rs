//! Whole products: which panels and rows make a task, and where its results go.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::task::Task;
use super::{Epilogue, Output, Product, select};
use crate::features::Cpu;
use crate::int_weight::{PANEL, PackedWeight};
use crate::quant_rows::{BranchCodes, GroupSums, QuantRows};

/// Tasks for each thread, so that a slower one can be helped.
const TASKS_PER_THREAD: usize = 8;
/// Bytes of codes that should stay in a core's second-level cache, beside a panel, while all panels pass.
const ROWS_BYTES: usize = 768 << 10;
/// Products of one call at most: query, key, value.
const MAX_PRODUCTS: usize = 8;

/// Multiplies the same rows with some weights.
///
/// # Panics
/// If shapes disagree.
pub(crate) fn multiply(cpu: Cpu, x: &QuantRows, products: &mut [Product<'_>]) {
    multiply_range(cpu, x, 0..x.rows(), Beside::Added, products);
}

/// [`multiply`] of the rows of a range, without what is computed beside their main codes. Results have all rows of `x`; those of
/// others stay.
pub(super) fn multiply_rows(cpu: Cpu, x: &QuantRows, range: Range<usize>, products: &mut [Product<'_>]) {
    assert!(range.start <= range.end && range.end <= x.rows(), "rows {range:?} of {}", x.rows());
    if !range.is_empty() {
        multiply_range(cpu, x, range, Beside::Left, products);
    }
}

/// What becomes of outlier columns and branches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Added,
    Left,
}

fn multiply_range(cpu: Cpu, x: &QuantRows, range: Range<usize>, beside: Beside, products: &mut [Product<'_>]) {
    for products in products.chunks_mut(MAX_PRODUCTS) {
        let mut ends = [0; MAX_PRODUCTS];
        let mut panels = 0;
        for (end, product) in ends.iter_mut().zip(&*products) {
            panels += product.weight.rows().div_ceil(PANEL);
            *end = panels;
        }
        let count = products.len();
        let group_sums = sums_of_groups(cpu, x, products);
        let mut rest = products.iter_mut();
        let outs: [Option<Out<'_>>; MAX_PRODUCTS] = std::array::from_fn(|_| rest.next().map(|p| Out::of(p, x, beside)));
        let kernel = select(cpu, range.len());
        let threads = rayon::current_num_threads();
        // Rows of a task, in whole tiles: they stay in the cache while all panels pass; fewer where panels are few.
        let cached = (ROWS_BYTES / x.stride()).max(kernel.rows());
        let parts = if threads == 1 { 1 } else { (TASKS_PER_THREAD * threads).div_ceil(panels.max(1)) };
        let parts = parts.max(range.len().div_ceil(cached));
        let rows_at_once = range.len().div_ceil(parts).next_multiple_of(kernel.rows()).max(kernel.rows());
        let blocks = range.len().div_ceil(rows_at_once);
        let run = |task: usize| {
            let (block, panel) = (task / panels, task % panels);
            let which = ends[..count].iter().position(|end| panel < *end).expect("a product for each panel");
            let out = outs[which].as_ref().expect("as many results as products");
            let first = if which == 0 { 0 } else { ends[which - 1] };
            let first_row = range.start + block * rows_at_once;
            let rows = first_row..range.end.min(first_row + rows_at_once);
            let task = Task { cpu, kernel, x, group_sums: &group_sums, out, panel: panel - first, rows };
            // SAFETY: every task runs once, and no two have the same panel of a product and a row in common. Results are
            // borrowed by `products` as long as `outs` are used, and each product has results of its own.
            unsafe { task.run() };
        };
        let tasks = panels * blocks;
        if threads == 1 {
            (0..tasks).for_each(run);
        } else {
            let each = (tasks / (TASKS_PER_THREAD * threads)).max(1);
            (0..tasks).into_par_iter().with_min_len(each).for_each(run);
        }
        for product in products {
            if let Output::Quantize(_, codes) = &mut product.output {
                codes.update_row_sums(cpu);
            }
        }
    }
}

/// Sums of the rows' codes for each size of groups among the weights.
fn sums_of_groups(cpu: Cpu, x: &QuantRows, products: &[Product<'_>]) -> Vec<GroupSums> {
    let mut all: Vec<GroupSums> = Vec::new();
    for product in products {
        let gate = if let Epilogue::Gate(_, gate) = product.epilogue { gate.weight.group() } else { None };
        for group in product.weight.group().into_iter().chain(gate) {
            if all.iter().all(|sums| sums.group() != group) {
                all.push(x.group_sums(cpu, group));
            }
        }
    }
    all
}

/// Where the results of a product go, for threads that each write panels or rows of their own.
pub(super) struct Out<'a> {
    pub(super) weight: &'a PackedWeight,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) outliers: Option<Outliers<'a>>,
    /// First halves of branches, and the second halves of the product and of its gate.
    pub(super) branches: &'a [BranchCodes],
    pub(super) branch_weights: [&'a [PackedWeight]; 2],
    pub(super) epilogue: Epilogue<'a>,
    pub(super) to: To<'a>,
    _of: PhantomData<&'a mut f32>,
}

/// The outlier columns of a product.
#[derive(Clone, Copy)]
pub(super) struct Outliers<'a> {
    pub(super) x: &'a QuantRows,
    pub(super) weight: &'a PackedWeight,
}

impl<'a> Outliers<'a> {
    fn of(product: &Product<'a>, x: &'a QuantRows) -> Option<Self> {
        let outliers = match (x.outliers(), product.outliers) {
            (None, None) => return None,
            (Some(x), Some(weight)) => Self { x, weight },
            _ => panic!("outlier columns are of the rows and of the product, or of neither"),
        };
        let (weight, shape) = (outliers.weight, (product.weight.rows(), outliers.x.features()));
        assert_eq!((weight.rows(), weight.cols()), shape, "outputs, outlier columns of a product");
        assert!(weight.group().is_none(), "outlier columns in groups");
        assert!(!matches!(product.epilogue, Epilogue::Gate(..)), "outlier columns of a gated product");
        Some(outliers)
    }
}

/// A sink's memory.
#[derive(Clone, Copy)]
pub(super) enum To<'a> {
    Write(*mut f32),
    Add(*mut f32),
    Quantize(&'a [f32], *mut i8, usize),
}

// SAFETY: tasks write disjoint stretches through the pointers; everything else is read.
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    fn of<'p>(product: &'a mut Product<'p>, x: &'a QuantRows, beside: Beside) -> Self
    where
        'p: 'a,
    {
        let weight = product.weight;
        let fits = |w: &PackedWeight, bias: Option<&[f32]>| {
            assert_eq!(
                (w.rows(), w.cols()),
                (weight.rows(), x.features()),
                "outputs, activation features of a product"
            );
            assert!(bias.is_none_or(|b| b.len() == w.rows()), "bias and weight outputs");
        };
        fits(weight, product.bias);
        let mut branch_weights = [product.branches, &[][..]];
        if let Epilogue::Gate(_, gate) = product.epilogue {
            fits(gate.weight, gate.bias);
            branch_weights[1] = gate.branches;
        }
        let shape = (x.rows(), weight.rows());
        let (outliers, branches) = match beside {
            Beside::Added => (Outliers::of(product, x), x.branches()),
            Beside::Left => (None, &[][..]),
        };
        let halves = if let Epilogue::Gate(..) = product.epilogue { 2 } else { 1 };
        for weights in branch_weights[..halves].iter().filter(|_| !branches.is_empty()) {
            assert_eq!(weights.len(), branches.len(), "branches of the rows and of a product");
            for (weight, branch) in weights.iter().zip(branches) {
                let found = (weight.rows(), weight.cols(), weight.group());
                assert_eq!(found, (shape.1, branch.codes.features(), None), "outputs and rank of a branch");
            }
        }
        let to = match &mut product.output {
            Output::Write(y) => {
                assert_eq!((y.rows(), y.features()), shape, "result and product");
                To::Write(y.as_mut_slice().as_mut_ptr())
            }
            Output::Add(y) => {
                assert_eq!((y.rows(), y.features()), shape, "result and product");
                To::Add(y.as_mut_slice().as_mut_ptr())
            }
            Output::Quantize(scales, y) => {
                assert_eq!((y.rows(), y.features(), scales.len()), (shape.0, shape.1, shape.0), "codes and product");
                let (codes, stride, row_scales, _) = y.parts_mut();
                row_scales.copy_from_slice(scales);
                To::Quantize(scales, codes.as_mut_ptr(), stride)
            }
        };
        let (bias, epilogue) = (product.bias, product.epilogue);
        Self { weight, bias, outliers, branches, branch_weights, epilogue, to, _of: PhantomData }
    }
}
