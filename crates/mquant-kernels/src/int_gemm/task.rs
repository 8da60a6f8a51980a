//! Some rows times one panel, with all that follows: tiles to the kernel, sums to results, results to their place.

use std::cell::RefCell;
use std::ops::Range;

use super::epilogue::{self, Factors, Row};
use super::product::{Out, Outliers, To};
use super::{Checked, Epilogue, MAX_ROWS, Start, Sums, Tile};
use crate::activation;
use crate::features::Cpu;
use crate::int_weight::{PANEL, PackedWeight, STEP, step_len};
use crate::quant_rows::{GroupSums, QuantRows};
use crate::quantize_rows;

/// Bytes of a panel that should stay in a core's second-level cache while all rows pass.
const BLOCK_BYTES: usize = 320 << 10;

thread_local! {
    // Kept by each thread: a task of one row would spend more on clearing them than on its epilogue.
    static PARTIALS: RefCell<Vec<Partial>> = const { RefCell::new(Vec::new()) };
}

/// Some rows times one panel of a product. Its *stretch* of results is what these outputs have in these rows.
pub(super) struct Task<'a> {
    pub(super) cpu: Cpu,
    pub(super) kernel: Checked,
    pub(super) x: &'a QuantRows,
    /// Sums of the codes of `x` for each size of groups that a weight has.
    pub(super) group_sums: &'a [GroupSums],
    pub(super) out: &'a Out<'a>,
    pub(super) panel: usize,
    pub(super) rows: Range<usize>,
}

/// A weight of a product, with its bias for one panel.
struct Factor<'a> {
    weight: &'a PackedWeight,
    bias: Option<Row>,
}

/// A tile on its way from sums to results.
struct Partial {
    /// Of all inputs, or of the last group.
    sums: Sums,
    /// What the groups have added up to, where there are any; then the results.
    results: [Row; MAX_ROWS],
}

impl Partial {
    fn new() -> Self {
        Self { sums: [[0; PANEL]; MAX_ROWS], results: [[0.0; PANEL]; MAX_ROWS] }
    }
}

/// Lends this thread's `count` partial tiles of the main weight and as many of the gate, as they were left.
fn with_partials(count: usize, f: impl FnOnce(&mut [Partial], &mut [Partial])) {
    PARTIALS.with_borrow_mut(|all| {
        all.resize_with((2 * count).max(all.len()), Partial::new);
        let (main, gate) = all.split_at_mut(count);
        f(main, &mut gate[..count]);
    });
}

impl Task<'_> {
    /// Computes the stretch of results.
    ///
    /// # Safety
    /// The results that `out` points to live, and nothing else reads or writes this stretch of them meanwhile.
    pub(super) unsafe fn run(mut self) {
        let main = self.factor(self.out.weight, self.out.bias);
        let gate = match self.out.epilogue {
            Epilogue::Gate(_, gate) => Some(self.factor(gate.weight, gate.bias)),
            Epilogue::Nothing | Epilogue::Activate(_) => None,
        };
        let is_large = |f: &Factor<'_>| f.weight.group().is_none() && f.weight.panel(self.panel).len() > BLOCK_BYTES;
        if is_large(&main) || gate.as_ref().is_some_and(is_large) {
            return self.run_in_blocks(&main, gate.as_ref());
        }
        with_partials(1, |of_main, of_gate| {
            let (of_main, of_gate) = (&mut of_main[0], &mut of_gate[0]);
            for rows in self.tiles() {
                self.fetch(&rows);
                self.multiply(&main, &rows, of_main);
                if let Some(gate) = &gate {
                    self.multiply(gate, &rows, of_gate);
                }
                self.finish(rows, (&main, &mut *of_main), gate.as_ref().map(|gate| (gate, &mut *of_gate)));
            }
        });
    }

    /// Asks for the cache lines that the results of a tile will go to: they arrive while the sums are computed.
    fn fetch(&self, rows: &Range<usize>) {
        let from = self.panel * PANEL;
        for row in rows.clone() {
            let (first, bytes) = match self.out.to {
                To::Write(to) | To::Add(to) => (
                    to.wrapping_add(row * self.out.weight.rows() + from).cast_const().cast::<u8>(),
                    PANEL * size_of::<f32>(),
                ),
                To::Quantize(_, to, stride) => (to.wrapping_add(row * stride + from).cast_const().cast::<u8>(), PANEL),
            };
            (0..bytes).step_by(64).for_each(|at| fetch_to_write(first.wrapping_add(at)));
        }
    }

    /// The same for inputs so many that a panel would not stay in the cache: all rows pass one block of inputs after another.
    fn run_in_blocks(&mut self, main: &Factor<'_>, gate: Option<&Factor<'_>>) {
        with_partials(self.tiles().count(), |of_main, of_gate| {
            self.multiply_in_blocks(main, of_main);
            if let Some(gate) = gate {
                self.multiply_in_blocks(gate, of_gate);
            }
            for ((rows, of_main), of_gate) in self.tiles().zip(of_main).zip(of_gate) {
                self.finish(rows, (main, of_main), gate.map(|gate| (gate, of_gate)));
            }
        });
    }

    fn factor<'f>(&self, weight: &'f PackedWeight, bias: Option<&[f32]>) -> Factor<'f> {
        let bias = bias.map(|bias| {
            let mut padded = [0f32; PANEL];
            let here = &bias[self.panel * PANEL..bias.len().min((self.panel + 1) * PANEL)];
            padded[..here.len()].copy_from_slice(here);
            padded
        });
        Factor { weight, bias }
    }

    fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (end, most) = (self.rows.end, self.kernel.rows());
        self.rows.clone().step_by(most).map(move |from| from..end.min(from + most))
    }

    /// Sums of a tile over some inputs: those of `steps`, the first of which is `input`.
    fn sum(
        &self,
        weight: &PackedWeight,
        rows: &Range<usize>,
        input: usize,
        steps: &[u8],
        start: Start,
        sums: &mut Sums,
    ) {
        let codes = &self.x.from_row(rows.start)[input..];
        let tile =
            Tile { codes, stride: self.x.stride(), rows: rows.len(), panel: steps, bits: weight.bits(), sums: start };
        self.kernel.run(tile, sums);
    }

    /// Adds the outlier product to the results of a tile, whose sums are not needed any more.
    fn add_outliers(&self, outliers: Outliers<'_>, rows: &Range<usize>, to: &mut Partial) {
        let Outliers { x, weight } = outliers;
        let (codes, panel) = (x.from_row(rows.start), weight.panel(self.panel));
        let (bits, stride) = (weight.bits(), x.stride());
        self.kernel.run(Tile { codes, stride, rows: rows.len(), panel, bits, sums: Start::New }, &mut to.sums);
        let Partial { sums, results } = to;
        let (factor, mut back) = (Factor { weight, bias: None }, [0; MAX_ROWS]);
        let factors = self.factors((x, &factor), rows, &mut back);
        epilogue::add_results(self.cpu, sums, factors, results);
    }

    /// Whether a branch has some of these rows.
    fn has_branch(&self, rows: &Range<usize>) -> bool {
        self.out.branches.iter().any(|branch| branch.has_some(rows))
    }

    /// Adds the branches' products to the results of a tile, whose sums are not needed any more: to no row that is of no branch,
    /// so that results do not depend on the tile.
    fn add_branches(&self, weights: &[PackedWeight], rows: &Range<usize>, to: &mut Partial) {
        let Partial { sums, results } = to;
        for (branch, weight) in self.out.branches.iter().zip(weights).filter(|(branch, _)| branch.has_some(rows)) {
            let x = &branch.codes;
            let (codes, panel) = (x.from_row(rows.start), weight.panel(self.panel));
            let (bits, stride) = (weight.bits(), x.stride());
            self.kernel.run(Tile { codes, stride, rows: rows.len(), panel, bits, sums: Start::New }, sums);
            let outputs = weight.panel_scales(self.panel, 0);
            for ((row, sums), y) in rows.clone().zip(&*sums).zip(&mut *results) {
                if branch.has_some(&(row..row + 1)) {
                    let back = x.sums()[row].wrapping_mul(bits.offset());
                    epilogue::add_row(self.cpu, sums, back, x.scales()[row], outputs, y);
                }
            }
        }
    }

    fn multiply(&self, factor: &Factor<'_>, rows: &Range<usize>, to: &mut Partial) {
        let weight = factor.weight;
        let panel = weight.panel(self.panel);
        let Some(group) = weight.group() else {
            self.sum(weight, rows, 0, panel, Start::New, &mut to.sums);
            return;
        };
        let group_sums =
            self.group_sums.iter().find(|sums| sums.group() == group).expect("sums of every size of groups");
        to.results[..rows.len()].fill([0.0; PANEL]);
        let mut back = [0; MAX_ROWS];
        for (g, steps) in panel.chunks(group / STEP * step_len(weight.bits())).enumerate() {
            self.sum(weight, rows, g * group, steps, Start::New, &mut to.sums);
            for (back, row) in back.iter_mut().zip(rows.clone()) {
                *back = group_sums.row(row)[g].wrapping_mul(weight.bits().offset());
            }
            let outputs = weight.panel_scales(self.panel, g);
            epilogue::add_group(self.cpu, &to.sums, &back[..rows.len()], outputs, &mut to.results);
        }
    }

    fn multiply_in_blocks(&self, factor: &Factor<'_>, to: &mut [Partial]) {
        let (weight, step) = (factor.weight, step_len(factor.weight.bits()));
        let panel = weight.panel(self.panel);
        let blocks = panel.len().div_ceil(BLOCK_BYTES);
        let bytes = panel.len().div_ceil(blocks).next_multiple_of(step);
        for (i, steps) in panel.chunks(bytes).enumerate() {
            let start = if i == 0 { Start::New } else { Start::Continued };
            for (rows, to) in self.tiles().zip(&mut *to) {
                self.sum(weight, &rows, i * bytes / step * STEP, steps, start, &mut to.sums);
            }
        }
    }

    fn finish(
        &mut self,
        rows: Range<usize>,
        main: (&Factor<'_>, &mut Partial),
        gate: Option<(&Factor<'_>, &mut Partial)>,
    ) {
        let whole_panel = (self.panel + 1) * PANEL <= self.out.weight.rows();
        let is_plain = self.out.outliers.is_none() && !self.has_branch(&rows);
        let full = whole_panel && main.0.weight.group().is_none() && is_plain;
        let mut back = [0; MAX_ROWS];
        match (self.out.epilogue, self.out.to) {
            (Epilogue::Nothing, To::Write(to)) if full => {
                let factors = self.factors((self.x, main.0), &rows, &mut back);
                epilogue::write(self.cpu, &main.1.sums, factors, self.places(&rows, to));
            }
            (Epilogue::Nothing, To::Add(to)) if full => {
                let factors = self.factors((self.x, main.0), &rows, &mut back);
                epilogue::add_to(self.cpu, &main.1.sums, factors, self.places(&rows, to));
            }
            (epilogue, _) => {
                let (factor, main) = main;
                self.results((factor, &mut *main), &rows);
                if let Some(outliers) = self.out.outliers {
                    self.add_outliers(outliers, &rows, main);
                }
                self.add_branches(self.out.branch_weights[0], &rows, main);
                let y = &mut main.results[..rows.len()];
                match (epilogue, gate) {
                    (Epilogue::Activate(f), _) => activation::apply(self.cpu, f, y.as_flattened_mut()),
                    (Epilogue::Gate(f, ..), Some((factor, gate))) => {
                        self.results((factor, &mut *gate), &rows);
                        self.add_branches(self.out.branch_weights[1], &rows, gate);
                        let g = &mut gate.results[..rows.len()];
                        activation::apply(self.cpu, f, g.as_flattened_mut());
                        epilogue::times(self.cpu, g.as_flattened(), y.as_flattened_mut());
                    }
                    _ => {}
                }
                rows.zip(&*y).for_each(|(row, y)| self.store(row, y));
            }
        }
    }

    /// What the sums of rows of `x` with a weight become results with.
    fn factors<'f>(
        &self,
        (x, factor): (&'f QuantRows, &'f Factor<'_>),
        rows: &Range<usize>,
        back: &'f mut [i32; MAX_ROWS],
    ) -> Factors<'f> {
        let weight = factor.weight;
        let sums = &x.sums()[rows.clone()];
        back.iter_mut().zip(sums).for_each(|(back, sum)| *back = sum.wrapping_mul(weight.bits().offset()));
        Factors {
            back: &back[..rows.len()],
            rows: &x.scales()[rows.clone()],
            outputs: weight.panel_scales(self.panel, 0),
            bias: factor.bias.as_ref(),
        }
    }

    /// Results of a tile, before anything is done with them: a row for each of the tile's, in the partial tile's room.
    fn results<'p>(&self, (factor, partial): (&Factor<'_>, &'p mut Partial), rows: &Range<usize>) -> &'p mut [Row] {
        let Partial { sums, results } = partial;
        if factor.weight.group().is_none() {
            let mut back = [0; MAX_ROWS];
            let factors = self.factors((self.x, factor), rows, &mut back);
            epilogue::results(self.cpu, sums, factors, results);
            return &mut results[..rows.len()];
        }
        for (row, y) in rows.clone().zip(&mut *results) {
            epilogue::multiply(self.cpu, self.x.scales()[row], y);
            if let Some(bias) = &factor.bias {
                epilogue::add(self.cpu, bias, y);
            }
        }
        &mut results[..rows.len()]
    }

    /// This panel's outputs, all there, in each of some rows of the task. The task is borrowed as long as they are.
    fn places(&mut self, rows: &Range<usize>, to: *mut f32) -> [Option<&mut Row>; MAX_ROWS] {
        let (outputs, from) = (self.out.weight.rows(), self.panel * PANEL);
        assert!(self.rows.start <= rows.start && rows.end <= self.rows.end && from + PANEL <= outputs);
        std::array::from_fn(|r| {
            let row = rows.start + r;
            // SAFETY: `Out::of` checked the matrix against this shape, so that the outputs lie in this row; they are of the
            // task's stretch, which `run` has to itself, and rows differ.
            (row < rows.end).then(|| unsafe { &mut *to.add(row * outputs + from).cast::<Row>() })
        })
    }

    fn store(&mut self, row: usize, y: &Row) {
        assert!(self.rows.contains(&row));
        let outputs = self.out.weight.rows();
        let from = self.panel * PANEL;
        let y = &y[..PANEL.min(outputs - from)];
        match self.out.to {
            To::Write(to) => {
                // SAFETY: `Out::of` checked the matrix against this shape, and these outputs of this row are of the task's
                // stretch, which `run` has to itself.
                let to = unsafe { std::slice::from_raw_parts_mut(to.add(row * outputs + from), y.len()) };
                to.copy_from_slice(y);
            }
            To::Add(to) => {
                // SAFETY: as above.
                let to = unsafe { std::slice::from_raw_parts_mut(to.add(row * outputs + from), y.len()) };
                epilogue::add(self.cpu, y, to);
            }
            To::Quantize(scales, to, stride) => {
                // SAFETY: as above; rows of codes begin every `stride` codes and are as long as the product's.
                let to = unsafe { std::slice::from_raw_parts_mut(to.add(row * stride + from), y.len()) };
                quantize_rows::quantize(self.cpu, y, 1.0 / scales[row], to);
            }
        }
    }
}

/// Asks for a cache line that will be written. A hint: the address may be anything.
fn fetch_to_write(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: every x86-64 CPU has the instruction or ignores it, and it does not access memory.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.cast()) };
    }
    let _ = at;
}
