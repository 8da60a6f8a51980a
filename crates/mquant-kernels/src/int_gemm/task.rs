//! Some rows times one panel, with all that follows: tiles to the kernel, sums to results, results to their place.

use std::cell::RefCell;
use std::ops::Range;

use super::epilogue::{self, Row};
use super::product::{Out, To};
use super::{Checked, MOST_ROWS, Start, Sums, Then, Tile};
use crate::activation;
use crate::features::Cpu;
use crate::int_weight::{PANEL, PackedWeight, STEP, step_len};
use crate::quant_rows::QuantRows;
use crate::quantize_rows;

/// Bytes of a panel that should stay in a core's second-level cache while all rows pass.
const BLOCK_BYTES: usize = 320 << 10;

thread_local! {
    // Sums of all tiles of a task, where inputs are split into blocks; kept by each thread.
    static SUMS: RefCell<Vec<Partial>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct Task<'a> {
    pub(super) cpu: Cpu,
    pub(super) kernel: Checked,
    pub(super) x: &'a QuantRows,
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
    /// What the groups have added up to, where there are any.
    groups: [Row; MOST_ROWS],
}

impl Partial {
    fn new() -> Self {
        Self { sums: [[0; PANEL]; MOST_ROWS], groups: [[0.0; PANEL]; MOST_ROWS] }
    }
}

impl Task<'_> {
    pub(super) fn run(&self) {
        let main = self.factor(self.out.weight, self.out.bias);
        let gate = match self.out.then {
            Then::Gate(_, weight, bias) => Some(self.factor(weight, bias)),
            Then::Nothing | Then::Activate(_) => None,
        };
        let (mut of_main, mut of_gate) = (Partial::new(), Partial::new());
        let is_large = |f: &Factor<'_>| f.weight.group().is_none() && f.weight.panel(self.panel).len() > BLOCK_BYTES;
        if is_large(&main) || gate.as_ref().is_some_and(is_large) {
            return self.run_in_blocks(&main, gate.as_ref());
        }
        for rows in self.tiles() {
            self.multiply(&main, &rows, &mut of_main);
            if let Some(gate) = &gate {
                self.multiply(gate, &rows, &mut of_gate);
            }
            self.finish(rows, (&main, &of_main), gate.as_ref().map(|gate| (gate, &of_gate)));
        }
    }

    /// The same for inputs so many that a panel would not stay in the cache: all rows pass one block of inputs after another.
    fn run_in_blocks(&self, main: &Factor<'_>, gate: Option<&Factor<'_>>) {
        SUMS.with_borrow_mut(|all| {
            let count = self.tiles().count();
            all.resize_with((2 * count).max(all.len()), Partial::new);
            let (of_main, of_gate) = all.split_at_mut(count);
            self.multiply_in_blocks(main, of_main);
            if let Some(gate) = gate {
                self.multiply_in_blocks(gate, of_gate);
            }
            for ((rows, of_main), of_gate) in self.tiles().zip(of_main).zip(of_gate) {
                self.finish(rows, (main, of_main), gate.map(|gate| (gate, &*of_gate)));
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

    fn multiply(&self, factor: &Factor<'_>, rows: &Range<usize>, to: &mut Partial) {
        let weight = factor.weight;
        let panel = weight.panel(self.panel);
        let Some(group) = weight.group() else {
            self.sum(weight, rows, 0, panel, Start::New, &mut to.sums);
            return;
        };
        to.groups[..rows.len()].fill([0.0; PANEL]);
        for (g, steps) in panel.chunks(group / STEP * step_len(weight.bits())).enumerate() {
            self.sum(weight, rows, g * group, steps, Start::New, &mut to.sums);
            for ((row, sums), y) in rows.clone().zip(&to.sums).zip(&mut to.groups) {
                let codes = self.x.row(row);
                let codes = &codes[g * group..codes.len().min((g + 1) * group)];
                let back = weight.bits().offset() * codes.iter().map(|c| i32::from(*c)).sum::<i32>();
                epilogue::add_group(self.cpu, sums, back, weight.panel_scales(self.panel, g), y);
            }
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

    /// Results of one row of a tile, before anything is done with them.
    fn result(&self, factor: &Factor<'_>, partial: &Partial, (r, row): (usize, usize), y: &mut Row) {
        let weight = factor.weight;
        let row_scale = self.x.scales()[row];
        if weight.group().is_some() {
            *y = partial.groups[r];
            epilogue::multiply(self.cpu, row_scale, y);
        } else {
            let back = self.x.sums()[row].wrapping_mul(weight.bits().offset());
            epilogue::scale(self.cpu, &partial.sums[r], back, row_scale, weight.panel_scales(self.panel, 0), y);
        }
        if let Some(bias) = &factor.bias {
            epilogue::add(self.cpu, bias, y);
        }
    }

    fn finish(&self, rows: Range<usize>, main: (&Factor<'_>, &Partial), gate: Option<(&Factor<'_>, &Partial)>) {
        let outputs = self.out.weight.rows();
        let from = self.panel * PANEL;
        let len = PANEL.min(outputs - from);
        let (mut y, mut g) = ([0f32; PANEL], [0f32; PANEL]);
        for at in rows.enumerate() {
            let row = at.1;
            self.result(main.0, main.1, at, &mut y);
            match (self.out.then, gate) {
                (Then::Activate(f), _) => activation::apply(self.cpu, f, &mut y),
                (Then::Gate(f, ..), Some(gate)) => {
                    self.result(gate.0, gate.1, at, &mut g);
                    let up = y;
                    activation::apply_gated(self.cpu, f, &g, &up, &mut y);
                }
                _ => {}
            }
            match self.out.to {
                // SAFETY: `Out::of` checked the matrix against this shape, and no other task has this panel and this row.
                To::Write(to) => unsafe { std::slice::from_raw_parts_mut(to.add(row * outputs + from), len) }
                    .copy_from_slice(&y[..len]),
                To::Add(to) => {
                    // SAFETY: as above.
                    let to = unsafe { std::slice::from_raw_parts_mut(to.add(row * outputs + from), len) };
                    epilogue::add(self.cpu, &y[..len], to);
                }
                To::Quantize(scales, to, stride) => {
                    // SAFETY: as above; rows of codes begin every `stride` codes and are as long as the product's.
                    let to = unsafe { std::slice::from_raw_parts_mut(to.add(row * stride + from), len) };
                    quantize_rows::quantize(self.cpu, &y[..len], 1.0 / scales[row], to);
                }
            }
        }
    }
}
