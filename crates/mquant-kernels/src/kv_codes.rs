//! Keys and values of one block of one sequence in 8-bit codes, as a cache keeps them.
//!
//! One scale serves [`GROUP`] consecutive features of a head: s = max(absmax / 127, 1e-8), q = clamp(round-half-even(
//! x · (1/s)), −127, 127), x ≈ q · s. Codes of keys lie in the order in which products with queries read them:
//! `[token / 16][feature][16]`; codes of values lie as they come, `[token][feature]`.

use std::ops::Range;

use rayon::prelude::*;

use crate::data::Rows;
use crate::features::Cpu;
use crate::quantize_rows::{absmax, quantize, scale_of};

/// Features that share a scale; the last group of a head may have fewer.
pub(crate) const GROUP: usize = 32;
/// Tokens whose keys lie side by side.
pub(crate) const SIDE: usize = 16;
/// Keys below which a thread is not worth waking.
const SMALL: usize = 1 << 14;

/// Keys and values of one block of one sequence in signed 8-bit codes: tokens × features, a scale every 32 features of a
/// head.
#[derive(Clone, Debug)]
pub struct KvCodes {
    features: usize,
    head_dim: usize,
    len: usize,
    /// `[token / 16][feature][16]`.
    keys: Vec<i8>,
    /// `[token / 16][group][16]`.
    key_scales: Vec<f32>,
    /// `[token][feature]`.
    values: Vec<i8>,
    /// `[token][group]`.
    value_scales: Vec<f32>,
}

impl KvCodes {
    /// No tokens yet, of `features` = heads · `head_dim` keys and as many values each.
    ///
    /// # Panics
    /// If the features are not whole heads, or there are none.
    pub fn new(features: usize, head_dim: usize) -> Self {
        assert!(features > 0 && head_dim > 0 && features.is_multiple_of(head_dim), "{features} features of {head_dim}");
        let (keys, values, key_scales, value_scales) = Default::default();
        Self { features, head_dim, len: 0, keys, key_scales, values, value_scales }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Features of a token: as many keys and as many values.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Features of a head.
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Forgets the tokens from `len` on; their room stays.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes room for `tokens` tokens in all, so that storing them moves nothing.
    pub fn reserve(&mut self, tokens: usize) {
        fn to<T>(all: &mut Vec<T>, len: usize) {
            all.reserve(len.saturating_sub(all.len()));
        }
        let padded = tokens.next_multiple_of(SIDE);
        let groups = self.groups();
        to(&mut self.keys, padded * self.features);
        to(&mut self.key_scales, padded * groups);
        to(&mut self.values, tokens * self.features);
        to(&mut self.value_scales, tokens * groups);
    }

    /// Codes of token `token`, which may be any; grows to hold it. Tokens before it that were never stored must be stored
    /// before they are looked at.
    ///
    /// # Panics
    /// If a row has not as many values as there are features.
    pub fn store(&mut self, cpu: Cpu, token: usize, keys: &[f32], values: &[f32]) {
        assert_eq!((keys.len(), values.len()), (self.features, self.features), "keys and values of a token");
        self.grow(token + 1);
        let mut side = self.sides(token / SIDE).next().expect("room for the token");
        side.store(cpu, token % SIDE, keys, values);
    }

    /// Codes of rows `rows` of `k` and `v`, each as the token that `tokens` names for it; of rows for one token, the last's.
    /// Uses the threads of the pool it is called in.
    ///
    /// # Panics
    /// If a row has not as many values as there are features.
    pub(crate) fn store_rows(&mut self, cpu: Cpu, k: &Rows, v: &Rows, rows: Range<usize>, tokens: &[u32]) {
        assert_eq!((k.features(), v.features()), (self.features, self.features), "keys and values of a token");
        let mut order: Vec<(usize, usize)> = rows.map(|row| (tokens[row] as usize, row)).collect();
        order.sort_by_key(|(token, _)| *token);
        let (Some(first), Some(last)) = (order.first(), order.last()) else { return };
        self.grow(last.0 + 1);
        let (mut next, at_once) = (first.0 / SIDE, SMALL.div_ceil(SIDE * self.features));
        let mut sides = self.sides(next);
        let tasks = order.chunk_by(|(a, _), (b, _)| a / SIDE == b / SIDE).map(|rows| {
            let block = rows[0].0 / SIDE;
            let side = sides.nth(block - next).expect("room for every token");
            next = block + 1;
            (side, rows)
        });
        let run = |(mut side, rows): (Side<'_>, &[(usize, usize)])| {
            rows.iter().for_each(|(token, row)| side.store(cpu, token % SIDE, k.row(*row), v.row(*row)));
        };
        if order.len() <= at_once * SIDE || rayon::current_num_threads() == 1 {
            tasks.for_each(run);
        } else {
            tasks.collect::<Vec<_>>().into_par_iter().with_min_len(at_once).for_each(run);
        }
    }

    /// Storage of the tokens from block `first` on, block by block.
    fn sides(&mut self, first: usize) -> impl Iterator<Item = Side<'_>> {
        let (head_dim, codes, scales) = (self.head_dim, SIDE * self.features, SIDE * self.groups());
        fn blocks<T>(all: &mut [T], size: usize, first: usize) -> impl Iterator<Item = &mut [T]> {
            all[first * size..].chunks_mut(size)
        }
        let keys_with_scales = blocks(&mut self.keys, codes, first).zip(blocks(&mut self.key_scales, scales, first));
        let values_with_scales =
            blocks(&mut self.values, codes, first).zip(blocks(&mut self.value_scales, scales, first));
        keys_with_scales.zip(values_with_scales).map(move |((keys, key_scales), (values, value_scales))| Side {
            head_dim,
            keys,
            key_scales,
            values,
            value_scales,
        })
    }

    /// Bytes that codes and scales of the tokens take.
    pub fn byte_len(&self) -> usize {
        let (keys, values) = (self.len.next_multiple_of(SIDE), self.len);
        (keys + values) * (self.features + self.groups() * size_of::<f32>())
    }

    fn grow(&mut self, tokens: usize) {
        if tokens <= self.len {
            return;
        }
        self.len = tokens;
        let (padded, groups) = (tokens.next_multiple_of(SIDE), self.groups());
        fn to<T: Clone + Default>(all: &mut Vec<T>, len: usize) {
            all.resize(len.max(all.len()), T::default());
        }
        to(&mut self.keys, padded * self.features);
        to(&mut self.key_scales, padded * groups);
        to(&mut self.values, tokens * self.features);
        to(&mut self.value_scales, tokens * groups);
    }

    /// Scales of a token's keys.
    fn groups(&self) -> usize {
        self.features / self.head_dim * self.head_groups()
    }

    /// Scales of a head's keys.
    fn head_groups(&self) -> usize {
        self.head_dim.div_ceil(GROUP)
    }

    /// Codes `[feature][16]` and scales `[group][16]` of one head's keys of sixteen tokens.
    pub(crate) fn side_of_keys(&self, block: usize, head: usize) -> (&[i8], &[f32]) {
        let (d, groups) = (self.head_dim, self.head_groups());
        let codes = &self.keys[(block * self.features + head * d) * SIDE..][..d * SIDE];
        let scales = &self.key_scales[(block * self.groups() + head * groups) * SIDE..][..groups * SIDE];
        (codes, scales)
    }

    /// Codes and scales of one head's values of a token.
    pub(crate) fn value(&self, token: usize, head: usize) -> (&[i8], &[f32]) {
        let (d, groups) = (self.head_dim, self.head_groups());
        let codes = &self.values[token * self.features + head * d..][..d];
        let scales = &self.value_scales[token * self.groups() + head * groups..][..groups];
        (codes, scales)
    }

    /// Asks for the codes of [`side_of_keys`](Self::side_of_keys) that will be read soon, if there are such.
    #[inline(always)]
    pub(crate) fn expect_keys(&self, block: usize, head: usize) {
        let from = (block * self.features + head * self.head_dim) * SIDE;
        prefetch(self.keys.get(from..from + self.head_dim * SIDE));
    }

    /// Asks for the codes of [`value`](Self::value) that will be read soon, if there are such.
    #[inline(always)]
    pub(crate) fn expect_value(&self, token: usize, head: usize) {
        let from = token * self.features + head * self.head_dim;
        prefetch(self.values.get(from..from + self.head_dim));
    }

    /// Keys and values of a token read back, for tests.
    #[cfg(test)]
    pub(crate) fn read(&self, token: usize) -> (Vec<f32>, Vec<f32>) {
        let (d, heads) = (self.head_dim, self.features / self.head_dim);
        let heads_and_features = || (0..heads).flat_map(|h| (0..d).map(move |f| (h, f)));
        let key = |(h, f): (usize, usize)| {
            let (codes, scales) = self.side_of_keys(token / SIDE, h);
            f32::from(codes[f * SIDE + token % SIDE]) * scales[f / GROUP * SIDE + token % SIDE]
        };
        let value = |(h, f): (usize, usize)| {
            let (codes, scales) = self.value(token, h);
            f32::from(codes[f]) * scales[f / GROUP]
        };
        (heads_and_features().map(key).collect(), heads_and_features().map(value).collect())
    }
}

#[inline(always)]
fn prefetch(codes: Option<&[i8]>) {
    #[cfg(target_arch = "x86_64")]
    for line in codes.unwrap_or(&[]).chunks(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 CPU has this; it reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = codes;
}

/// Storage of [`SIDE`] tokens, which nobody else uses; values of as many as there are.
struct Side<'a> {
    head_dim: usize,
    /// `[feature][16]`.
    keys: &'a mut [i8],
    /// `[group][16]`.
    key_scales: &'a mut [f32],
    /// `[token][feature]`.
    values: &'a mut [i8],
    /// `[token][group]`.
    value_scales: &'a mut [f32],
}

impl Side<'_> {
    /// Codes of the token at place `at`.
    fn store(&mut self, cpu: Cpu, at: usize, keys: &[f32], values: &[f32]) {
        let (features, groups) = (keys.len(), self.key_scales.len() / SIDE);
        let value_codes = &mut self.values[at * features..][..features];
        let value_scales = &mut self.value_scales[at * groups..][..groups];
        let mut group = 0;
        for head in (0..features).step_by(self.head_dim) {
            for from in (head..head + self.head_dim).step_by(GROUP) {
                let range = from..(from + GROUP).min(head + self.head_dim);
                let mut codes = [0; GROUP];
                let codes = &mut codes[..range.len()];
                self.key_scales[group * SIDE + at] = encode(cpu, &keys[range.clone()], codes);
                for (to, code) in self.keys[from * SIDE + at..].iter_mut().step_by(SIDE).zip(codes) {
                    *to = *code;
                }
                value_scales[group] = encode(cpu, &values[range.clone()], &mut value_codes[range]);
                group += 1;
            }
        }
    }
}

/// Codes of one group; returns its scale.
fn encode(cpu: Cpu, x: &[f32], codes: &mut [i8]) -> f32 {
    let scale = scale_of(absmax(cpu, x), 127.0);
    quantize(cpu, x, 1.0 / scale, codes);
    scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize_rows::quantize_scalar;

    fn noise(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1013) as f32 / 500.0 - 1.0).collect()
    }

    /// What codes and scales of each group should give back, by the scalar definition.
    fn defined(x: &[f32], head_dim: usize) -> Vec<f32> {
        let groups = x.chunks(head_dim).flat_map(|head| head.chunks(32));
        let back = |group: &[f32]| {
            let s = (group.iter().fold(0f32, |m, v| m.max(v.abs())) / 127.0).max(1e-8);
            group.iter().map(|v| f32::from(quantize_scalar(*v, 1.0 / s, -127.0, 127.0)) * s).collect::<Vec<_>>()
        };
        groups.flat_map(back).collect()
    }

    #[test]
    fn codes_are_those_of_the_definition_in_any_order_of_storing() {
        for (heads, d) in [(1, 2), (2, 20), (3, 64), (2, 80), (1, 96), (2, 128), (1, 33)] {
            let mut kv = KvCodes::new(heads * d, d);
            let tokens = 37;
            let row = |token: usize, which: usize| noise(heads * d, token * 2 + which);
            for i in 0..tokens {
                let token = (i * 11 + 5) % tokens;
                kv.store(Cpu::detect(), token, &row(token, 0), &row(token, 1));
            }
            assert_eq!(kv.len(), tokens);
            for token in 0..tokens {
                let want = (defined(&row(token, 0), d), defined(&row(token, 1), d));
                assert_eq!(kv.read(token), want, "token {token}, {heads} heads of {d}");
            }
        }
    }

    #[test]
    fn truncated_tokens_are_replaced_and_reserved_room_is_used() {
        let mut kv = KvCodes::new(80, 80);
        kv.reserve(40);
        let room = (kv.keys.capacity(), kv.values.capacity(), kv.key_scales.capacity(), kv.value_scales.capacity());
        for token in 0..40 {
            kv.store(Cpu::detect(), token, &noise(80, token), &noise(80, token + 50));
        }
        kv.truncate(3);
        assert_eq!(kv.len(), 3);
        kv.truncate(10);
        assert_eq!(kv.len(), 3);
        for token in 3..40 {
            kv.store(Cpu::detect(), token, &noise(80, token + 7), &noise(80, token + 9));
        }
        let after = (kv.keys.capacity(), kv.values.capacity(), kv.key_scales.capacity(), kv.value_scales.capacity());
        assert_eq!(room, after, "nothing moved");
        assert_eq!(kv.read(2).0, defined(&noise(80, 2), 80));
        assert_eq!(kv.read(30).0, defined(&noise(80, 37), 80));
        // 40 tokens of 80 codes and 3 scales, keys padded to 48 tokens.
        assert_eq!(kv.byte_len(), (40 + 48) * (80 + 12));
    }

    #[test]
    fn rows_are_stored_as_one_by_one_with_any_threads() {
        let (features, rows) = (160, 700);
        let (k, v) = (noise(features * rows, 1), noise(features * rows, 2));
        let (k, v) = (Rows::from_vec(k, features), Rows::from_vec(v, features));
        // Out of order, with gaps, and some tokens twice.
        let tokens: Vec<u32> = (0..rows as u32).map(|row| row * 317 % 350 + row % 2 * 1500).collect();
        for range in [0..0, 3..4, 5..rows] {
            let mut expected = KvCodes::new(features, 80);
            expected.grow(2300);
            let mut stored = [expected.clone(), expected.clone()];
            range.clone().for_each(|row| expected.store(Cpu::detect(), tokens[row] as usize, k.row(row), v.row(row)));
            for (codes, threads) in stored.iter_mut().zip([1, 3]) {
                let threads = crate::Threads::new(threads).expect("threads");
                threads.run(|| codes.store_rows(Cpu::detect(), &k, &v, range.clone(), &tokens));
                for token in 0..2300 {
                    assert_eq!(codes.read(token), expected.read(token), "token {token}");
                }
            }
        }
    }

    #[test]
    fn zeros_and_wild_values_have_codes() {
        let mut kv = KvCodes::new(2, 2);
        for x in [0.0, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, f32::NAN] {
            kv.store(Cpu::detect(), 0, &[x, -x], &[x, 1.0]);
        }
        kv.store(Cpu::detect(), 0, &[0.0, 0.0], &[0.0, 2.0]);
        assert_eq!(kv.read(0), (vec![0.0, 0.0], vec![0.0, 2.0]));
    }
}
