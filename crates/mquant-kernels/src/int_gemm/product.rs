//! Whole products: panels to threads, tiles to kernels.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::epilogue::{self, Factors, Results};
use super::{Checked, MOST_ROWS, Product, Sink, Sums, Tile, select};
use crate::activation::{self, Activation};
use crate::features::Cpu;
use crate::int_weight::{PANEL, PackedWeight, STEP, step_len};
use crate::quant_rows::QuantRows;

/// Bytes of a panel that should stay in a core's second-level cache while all rows pass.
const BLOCK_BYTES: usize = 320 << 10;
/// Tasks for each thread, so that a slower one can be helped.
const TASKS_PER_THREAD: usize = 4;

thread_local! {
    // Sums of the tiles of a task, where inputs are split into blocks; kept by each thread.
    static SUMS: RefCell<Vec<Sums>> = const { RefCell::new(Vec::new()) };
}

/// Multiplies the same rows with some weights.
///
/// # Panics
/// If shapes disagree.
pub(crate) fn multiply(cpu: Cpu, x: &QuantRows, products: &mut [Product<'_>]) {
    let outs: Vec<Out<'_>> = products.iter_mut().map(|p| Out::of(p, x)).collect();
    let panels: usize = outs.iter().map(|o| o.panels()).sum();
    let kernel = select(cpu);
    let threads = rayon::current_num_threads();
    // Few panels for many threads: rows are split too, in whole tiles.
    let parts = if threads == 1 { 1 } else { (TASKS_PER_THREAD * threads).div_ceil(panels.max(1)) };
    let rows_at_once = x.rows().div_ceil(parts).next_multiple_of(kernel.rows()).max(kernel.rows());
    let blocks = x.rows().div_ceil(rows_at_once);
    (0..panels * blocks).into_par_iter().with_max_len(1.max(panels * blocks / (TASKS_PER_THREAD * threads))).for_each(
        |task| {
            let (mut panel, block) = (task / blocks, task % blocks);
            let out = outs.iter().find(|o| {
                let mine = panel < o.panels();
                if !mine {
                    panel -= o.panels();
                }
                mine
            });
            let rows = block * rows_at_once..x.rows().min((block + 1) * rows_at_once);
            Task { cpu, kernel, x, out: out.expect("a task for each panel"), panel, rows }.run();
        },
    );
}

#[derive(Clone, Copy)]
enum Then {
    Write,
    Add,
    Activate(Activation),
}

/// A product whose result several threads write, each its own panels or rows.
struct Out<'a> {
    weight: &'a PackedWeight,
    bias: Option<&'a [f32]>,
    then: Then,
    data: *mut f32,
    _of: PhantomData<&'a mut f32>,
}

// SAFETY: `row` is only called for disjoint stretches; everything else is read.
unsafe impl Sync for Out<'_> {}

impl<'a> Out<'a> {
    fn of(product: &'a mut Product<'_>, x: &QuantRows) -> Self {
        let weight = product.weight;
        assert_eq!(x.features(), weight.cols(), "activation features and weight inputs");
        assert!(product.bias.is_none_or(|b| b.len() == weight.rows()), "bias and weight outputs");
        let (then, y) = match &mut product.sink {
            Sink::Write(y) => (Then::Write, y),
            Sink::Add(y) => (Then::Add, y),
            Sink::Activate(f, y) => (Then::Activate(*f), y),
        };
        assert_eq!((y.rows(), y.features()), (x.rows(), weight.rows()), "result and product");
        Self { weight, bias: product.bias, then, data: y.as_mut_slice().as_mut_ptr(), _of: PhantomData }
    }

    fn panels(&self) -> usize {
        self.weight.rows().div_ceil(PANEL)
    }

    /// Outputs `from..from + len` of row `row`.
    ///
    /// # Safety
    /// Nobody else may hold any of them.
    #[expect(clippy::mut_from_ref, reason = "threads share the matrix and each writes its own stretch")]
    unsafe fn row(&self, row: usize, from: usize, len: usize) -> &mut [f32] {
        // SAFETY: `of` checked the matrix against the shape that `row` and `from` lie in.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(row * self.weight.rows() + from), len) }
    }
}

/// Some rows times one panel.
struct Task<'a> {
    cpu: Cpu,
    kernel: Checked,
    x: &'a QuantRows,
    out: &'a Out<'a>,
    panel: usize,
    rows: Range<usize>,
}

impl Task<'_> {
    fn run(&self) {
        let bias = self.out.bias.map(|bias| {
            let mut padded = [0f32; PANEL];
            let here = &bias[self.panel * PANEL..bias.len().min((self.panel + 1) * PANEL)];
            padded[..here.len()].copy_from_slice(here);
            padded
        });
        match self.out.weight.group() {
            Some(group) => self.grouped(group, bias.as_ref()),
            None => self.whole(bias.as_ref()),
        }
    }

    fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (end, most) = (self.rows.end, self.kernel.rows());
        self.rows.clone().step_by(most).map(move |from| from..end.min(from + most))
    }

    /// Adds the sums of a tile over the inputs from `input` that `steps` are of.
    fn add_sums(&self, rows: &Range<usize>, input: usize, steps: &[u8], sums: &mut Sums) {
        let codes = &self.x.from_row(rows.start)[input..];
        let (stride, bits) = (self.x.stride(), self.out.weight.bits());
        self.kernel.run(Tile { codes, stride, rows: rows.len(), panel: steps, bits }, sums);
    }

    fn whole(&self, bias: Option<&[f32; PANEL]>) {
        let (weight, step) = (self.out.weight, step_len(self.out.weight.bits()));
        let panel = weight.panel(self.panel);
        if panel.len() <= BLOCK_BYTES {
            for rows in self.tiles() {
                let mut sums = [[0; PANEL]; MOST_ROWS];
                self.add_sums(&rows, 0, panel, &mut sums);
                self.finish(rows, &sums, bias);
            }
            return;
        }
        SUMS.with_borrow_mut(|all| {
            all.clear();
            all.resize(self.tiles().count(), [[0; PANEL]; MOST_ROWS]);
            let blocks = panel.len().div_ceil(BLOCK_BYTES);
            let bytes = panel.len().div_ceil(blocks).next_multiple_of(step);
            for (i, steps) in panel.chunks(bytes).enumerate() {
                for (rows, sums) in self.tiles().zip(&mut *all) {
                    self.add_sums(&rows, i * bytes / step * STEP, steps, sums);
                }
            }
            for (rows, sums) in self.tiles().zip(&*all) {
                self.finish(rows, sums, bias);
            }
        });
    }

    fn finish(&self, rows: Range<usize>, sums: &Sums, bias: Option<&[f32; PANEL]>) {
        let weight = self.out.weight;
        let offset = weight.bits().offset();
        let mut back = [0; MOST_ROWS];
        let sums_of_rows = &self.x.sums()[rows.clone()];
        back.iter_mut().zip(sums_of_rows).for_each(|(back, sum)| *back = sum.wrapping_mul(offset));
        let outputs = weight.panel_scales(self.panel, 0);
        let factors = Factors { back: &back[..rows.len()], rows: &self.x.scales()[rows.clone()], outputs, bias };
        let mut results = [[0.0; PANEL]; MOST_ROWS];
        epilogue::whole(self.cpu, sums, factors, &mut results);
        self.store(rows, &results);
    }

    fn grouped(&self, group: usize, bias: Option<&[f32; PANEL]>) {
        let weight = self.out.weight;
        let offset = weight.bits().offset();
        let bytes = group / STEP * step_len(weight.bits());
        for rows in self.tiles() {
            let mut results = [[0.0; PANEL]; MOST_ROWS];
            for (g, steps) in weight.panel(self.panel).chunks(bytes).enumerate() {
                let mut sums = [[0; PANEL]; MOST_ROWS];
                self.add_sums(&rows, g * group, steps, &mut sums);
                let mut back = [0; MOST_ROWS];
                for (back, row) in back.iter_mut().zip(rows.clone()) {
                    let codes = self.x.row(row);
                    let codes = &codes[g * group..codes.len().min((g + 1) * group)];
                    *back = offset * codes.iter().map(|c| i32::from(*c)).sum::<i32>();
                }
                let outputs = weight.panel_scales(self.panel, g);
                epilogue::add_group(self.cpu, &sums, &back[..rows.len()], outputs, &mut results);
            }
            epilogue::finish_groups(self.cpu, &self.x.scales()[rows.clone()], bias, &mut results);
            self.store(rows, &results);
        }
    }

    fn store(&self, rows: Range<usize>, results: &Results) {
        let from = self.panel * PANEL;
        let len = PANEL.min(self.out.weight.rows() - from);
        for (row, results) in rows.zip(results) {
            // SAFETY: no other task has this panel and these rows.
            let y = unsafe { self.out.row(row, from, len) };
            match self.out.then {
                Then::Write => y.copy_from_slice(&results[..len]),
                Then::Add => epilogue::add(self.cpu, &results[..len], y),
                Then::Activate(f) => {
                    y.copy_from_slice(&results[..len]);
                    activation::apply(self.cpu, f, y);
                }
            }
        }
    }
}
