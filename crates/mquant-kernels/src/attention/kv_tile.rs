//! Keys and values of a block laid out as products read them.
//!
//! A KV tile of keys is `[key / 64][step][64]` words, a step being one feature or a pair of them; a KV tile of values is
//! `[step][feature]` words, a step being one key or a pair of them. Features of values are filled up with zeros to whole
//! vectors, and so are keys to the end of the block.

use std::ops::Range;

use super::KeyValues;
use super::softmax::{bf16_bits, round_bf16};
use crate::features::{Cpu, per_level};
use crate::kv_codes::{GROUP, KvCodes, SIDE};

/// Keys of a block.
pub(super) const KEYS: usize = 128;

/// Keys of a KV tile whose words of a step lie side by side: products read them one after the other.
pub(super) const ABREAST: usize = 64;
// Keys ahead of which codes are asked for: memory takes about as long as they take to be packed.
const AHEAD: usize = 2 * SIDE;

/// What a word holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One f32.
    Single,
    /// One f32 that was rounded to bf16.
    Rounded,
    /// Two bf16, the first in the low half.
    Pairs,
}

impl Form {
    /// Values of a word.
    pub(super) fn per(self) -> usize {
        match self {
            Form::Single | Form::Rounded => 1,
            Form::Pairs => 2,
        }
    }

    #[inline(always)]
    fn word(self, first: f32, second: f32) -> u32 {
        match self {
            Form::Single => first.to_bits(),
            Form::Rounded => round_bf16(first).to_bits(),
            Form::Pairs => bf16_bits(first) | bf16_bits(second) << 16,
        }
    }
}

/// Sizes of a head's KV tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) form: Form,
    /// Features of a head.
    pub(super) head_dim: usize,
}

impl Layout {
    /// Words of a query.
    pub(super) fn steps(self) -> usize {
        self.head_dim.div_ceil(self.form.per())
    }

    /// Features of a head, filled up to whole vectors.
    pub(super) fn width(self) -> usize {
        self.head_dim.next_multiple_of(16)
    }

    /// Words of a KV tile of keys.
    pub(super) fn key_words(self) -> usize {
        self.steps() * KEYS
    }

    /// Words of a KV tile of keys and one of values.
    pub(super) fn words(self) -> usize {
        self.key_words() + KEYS / self.form.per() * self.width()
    }

    /// Lays out the features of a query.
    pub(super) fn query(self, cpu: Cpu, from: &[f32], to: &mut [u32]) {
        query(cpu, self.form, from, to);
    }

    /// Lays out keys and values of a block, both KV tiles in a row.
    pub(super) fn pack(self, cpu: Cpu, kv: KeyValues<'_>, part: Part, to: &mut [u32]) {
        let (keys, values) = to.split_at_mut(self.key_words());
        match kv {
            KeyValues::Float { keys: k, values: v } => {
                let (stride, at) = (part.kv_heads * self.head_dim, part.head * self.head_dim);
                let rows = part.keys.start * stride..part.keys.end * stride;
                float_keys(cpu, self, Floats { rows: &k[rows.clone()], stride, at }, keys);
                float_values(cpu, self, Floats { rows: &v[rows], stride, at }, values);
            }
            KeyValues::Codes(codes) => {
                code_keys(cpu, self, codes, part.clone(), keys);
                code_values(cpu, self, codes, part, values);
            }
        }
    }
}

/// One head of some keys.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) head: usize,
    /// Heads of a key.
    pub(super) kv_heads: usize,
    /// At most a block, from its first on.
    pub(super) keys: Range<usize>,
}

/// One head of some rows.
#[derive(Clone, Copy)]
struct Floats<'a> {
    rows: &'a [f32],
    stride: usize,
    at: usize,
}

impl<'a> Floats<'a> {
    fn heads(self, head_dim: usize) -> impl Iterator<Item = &'a [f32]> {
        self.rows.chunks_exact(self.stride).map(move |row| &row[self.at..self.at + head_dim])
    }
}

/// Words of a row of features; the last of an odd number has a zero beside it.
#[inline(always)]
fn row_words(form: Form, from: &[f32], to: &mut [u32]) {
    match form {
        Form::Single => from.iter().zip(to).for_each(|(x, to)| *to = Form::Single.word(*x, 0.0)),
        Form::Rounded => from.iter().zip(to).for_each(|(x, to)| *to = Form::Rounded.word(*x, 0.0)),
        Form::Pairs => {
            // Little-endian words of two halves are halves in a row.
            let to: &mut [u16] = bytemuck::cast_slice_mut(to);
            from.iter().zip(&mut *to).for_each(|(x, to)| *to = bf16_bits(*x) as u16);
            if let Some(beside) = to.get_mut(from.len()..from.len().next_multiple_of(2)) {
                beside.fill(0);
            }
        }
    }
}

/// The lines that hold key `key` of a KV tile, and its place in each.
#[inline(always)]
fn abreast(layout: Layout, kv_tile: &mut [u32], key: usize) -> (&mut [u32], usize) {
    let len = layout.steps() * ABREAST;
    (&mut kv_tile[key / ABREAST * len..][..len], key % ABREAST)
}

/// Words of features of keys that are one behind the other, or of one key.
#[inline(always)]
fn float_keys_body(layout: Layout, from: Floats<'_>, to: &mut [u32]) {
    // Keys that are turned around at once: their words fill a line of the KV tile.
    const SOME: usize = 16;
    // Steps of a key that are turned around at once.
    const FEW: usize = 64;
    let per = layout.form.per();
    let mut heads = from.heads(layout.head_dim);
    for side in 0..KEYS / SOME {
        let rows: [&[f32]; SOME] = std::array::from_fn(|_| heads.next().unwrap_or(&[]));
        let (lines, at) = abreast(layout, to, side * SOME);
        for (few, lines) in lines.chunks_mut(FEW * ABREAST).enumerate() {
            let mut words = [[0u32; FEW]; SOME];
            for (words, row) in words.iter_mut().zip(rows) {
                let from = (few * FEW * per).min(row.len());
                row_words(layout.form, &row[from..(from + FEW * per).min(row.len())], words);
            }
            for (step, line) in lines.chunks_exact_mut(ABREAST).enumerate() {
                let line = &mut line[at..at + SOME];
                for (to, words) in line.iter_mut().zip(&words) {
                    *to = words[step];
                }
            }
        }
    }
}

#[inline(always)]
fn float_values_body(layout: Layout, from: Floats<'_>, to: &mut [u32]) {
    let mut heads = from.heads(layout.head_dim);
    for line in to.chunks_exact_mut(layout.width()) {
        let (line, beyond) = line.split_at_mut(layout.head_dim);
        beyond.fill(0);
        let Some(first) = heads.next() else {
            line.fill(0);
            continue;
        };
        match layout.form {
            Form::Pairs => match heads.next() {
                Some(second) => {
                    for ((to, a), b) in line.iter_mut().zip(first).zip(second) {
                        *to = Form::Pairs.word(*a, *b);
                    }
                }
                None => line.iter_mut().zip(first).for_each(|(to, a)| *to = Form::Pairs.word(*a, 0.0)),
            },
            form => row_words(form, first, line),
        }
    }
}

#[inline(always)]
fn code_keys_body(layout: Layout, codes: &KvCodes, part: Part, to: &mut [u32]) {
    let sides = part.keys.start / SIDE..part.keys.end.div_ceil(SIDE);
    for at in sides.len()..KEYS / SIDE {
        let (lines, at) = abreast(layout, to, at * SIDE);
        lines.chunks_exact_mut(ABREAST).for_each(|line| line[at..at + SIDE].fill(0));
    }
    for (at, side) in sides.enumerate() {
        codes.expect_keys(side + AHEAD / SIDE, part.head);
        let (codes, scales) = codes.side_of_keys(side, part.head);
        let (lines, at) = abreast(layout, to, at * SIDE);
        let mut lines = lines.chunks_exact_mut(ABREAST).map(|line| &mut line[at..at + SIDE]);
        for (codes, scales) in codes.chunks(GROUP * SIDE).zip(scales.as_chunks::<SIDE>().0) {
            let (features, _) = codes.as_chunks::<SIDE>();
            match layout.form {
                Form::Pairs => {
                    for (pair, line) in features.chunks(2).zip(&mut lines) {
                        let nothing = [0; SIDE];
                        let (a, b) = (&pair[0], pair.get(1).unwrap_or(&nothing));
                        side_words(Form::Pairs, a, b, scales, line);
                    }
                }
                form => {
                    for (codes, line) in features.iter().zip(&mut lines) {
                        side_words(form, codes, codes, scales, line);
                    }
                }
            }
        }
    }
}

/// Words of one step of sixteen keys.
#[inline(always)]
fn side_words(form: Form, a: &[i8; SIDE], b: &[i8; SIDE], scales: &[f32; SIDE], to: &mut [u32]) {
    for (((to, a), b), s) in to.iter_mut().zip(a).zip(b).zip(scales) {
        *to = form.word(f32::from(*a) * s, f32::from(*b) * s);
    }
}

#[inline(always)]
fn code_values_body(layout: Layout, codes: &KvCodes, part: Part, to: &mut [u32]) {
    let mut tokens = part.keys.map(|token| {
        codes.expect_value(token + AHEAD, part.head);
        codes.value(token, part.head)
    });
    for line in to.chunks_exact_mut(layout.width()) {
        let (line, beyond) = line.split_at_mut(layout.head_dim);
        beyond.fill(0);
        let Some((codes, scales)) = tokens.next() else {
            line.fill(0);
            continue;
        };
        let groups = line.chunks_mut(GROUP).zip(codes.chunks(GROUP)).zip(scales);
        match layout.form {
            Form::Pairs => {
                let (others, other_scales) = tokens.next().unwrap_or((codes, &[0.0; 0]));
                for (group, ((line, codes), s)) in groups.enumerate() {
                    let other = other_scales.get(group).copied().unwrap_or(0.0);
                    let others = &others[group * GROUP..][..codes.len()];
                    for ((to, a), b) in line.iter_mut().zip(codes).zip(others) {
                        *to = Form::Pairs.word(f32::from(*a) * s, f32::from(*b) * other);
                    }
                }
            }
            form => {
                for ((line, codes), s) in groups {
                    for (to, a) in line.iter_mut().zip(codes) {
                        *to = form.word(f32::from(*a) * s, 0.0);
                    }
                }
            }
        }
    }
}

per_level! { fn query(form: Form, from: &[f32], to: &mut [u32]) = row_words }
per_level! { fn float_keys(layout: Layout, from: Floats<'_>, to: &mut [u32]) = float_keys_body }
per_level! { fn float_values(layout: Layout, from: Floats<'_>, to: &mut [u32]) = float_values_body }
per_level! { fn code_keys(layout: Layout, codes: &KvCodes, part: Part, to: &mut [u32]) = code_keys_body }
per_level! { fn code_values(layout: Layout, codes: &KvCodes, part: Part, to: &mut [u32]) = code_values_body }
