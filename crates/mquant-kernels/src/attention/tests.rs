use half::bf16;

use super::*;
use crate::threads::Threads;

fn noise(n: usize, seed: usize) -> Vec<f32> {
    let mut state = seed as u32 * 2 + 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(n).collect()
}

/// Keys and values in both kinds.
struct Cached {
    keys: Vec<f32>,
    values: Vec<f32>,
    codes: KvCodes,
}

impl Cached {
    fn new(tokens: usize, shape: HeadShape, seed: usize) -> Self {
        let features = shape.kv_heads * shape.head_dim;
        let (keys, values) = (noise(tokens * features, seed), noise(tokens * features, seed + 1));
        let mut codes = KvCodes::new(features, shape.head_dim);
        for (token, (k, v)) in keys.chunks(features).zip(values.chunks(features)).enumerate() {
            codes.store(Cpu::detect(), token, k, v);
        }
        Self { keys, values, codes }
    }

    fn kinds(&self) -> [KeyValues<'_>; 2] {
        [KeyValues::Float { keys: &self.keys, values: &self.values }, KeyValues::Codes(&self.codes)]
    }
}

/// Keys and values of a token, as products see them.
fn token(kv: KeyValues<'_>, shape: HeadShape, at: usize, products: Products) -> (Vec<f64>, Vec<f64>) {
    let features = shape.kv_heads * shape.head_dim;
    let (k, v) = match kv {
        KeyValues::Float { keys, values } => {
            let row = at * features..(at + 1) * features;
            (keys[row.clone()].to_vec(), values[row].to_vec())
        }
        KeyValues::Codes(codes) => codes.read(at),
    };
    (rounded(&k, products), rounded(&v, products))
}

fn rounded(x: &[f32], products: Products) -> Vec<f64> {
    let one = |x: &f32| match products {
        Products::F32 => f64::from(*x),
        Products::Bf16 => bf16::from_f32(*x).to_f64(),
    };
    x.iter().map(one).collect()
}

fn seen(job: &AttendJob<'_>, row: usize, keys: usize) -> Vec<usize> {
    let sees = |key: usize| match job.mask {
        Mask::Full => true,
        Mask::Causal(positions) => key <= positions[row] as usize,
        Mask::Window { positions, width } => key <= positions[row] as usize && key + width > positions[row] as usize,
    };
    (0..keys).filter(|key| sees(*key)).collect()
}

/// The equation in f64, with the roundings that `products` names.
fn exact(q: &Rows, shape: HeadShape, products: Products, job: &AttendJob<'_>, row: usize) -> Vec<f64> {
    let (d, group) = (shape.head_dim, shape.heads / shape.kv_heads);
    let seen = seen(job, row, job.keys(shape));
    let tokens: Vec<_> = seen.iter().map(|key| token(job.kv, shape, *key, products)).collect();
    let query = rounded(q.row(job.first_row + row), products);
    let mut y = Vec::new();
    for head in 0..shape.heads {
        let (query, at) = (&query[head * d..(head + 1) * d], head / group * d);
        let score = |k: &[f64]| -> f64 {
            let dot: f64 = query.iter().zip(&k[at..at + d]).map(|(q, k)| q * k).sum();
            dot * std::f64::consts::LOG2_E / (d as f64).sqrt()
        };
        let scores: Vec<f64> = tokens.iter().map(|(k, _)| score(k)).collect();
        let highest = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(*s)).ceil();
        let weight = |s: &f64| rounded(&[(s - highest).exp2() as f32], products)[0];
        let weights: Vec<f64> = scores.iter().map(weight).collect();
        let total: f64 = weights.iter().sum();
        for feature in at..at + d {
            let sum: f64 = weights.iter().zip(&tokens).map(|(w, (_, v))| w * v[feature]).sum();
            y.push(if total == 0.0 { 0.0 } else { sum / total });
        }
    }
    y
}

fn deviation(x: &[f64]) -> f64 {
    (x.iter().map(|v| v * v).sum::<f64>() / x.len() as f64).sqrt()
}

/// Root mean square of the difference, over the deviation of what is expected.
fn distance(got: &[f32], want: &[f64]) -> f64 {
    let difference: Vec<f64> = got.iter().zip(want).map(|(g, w)| f64::from(*g) - w).collect();
    deviation(&difference) / deviation(want).max(1e-12)
}

/// How far a row may be from the equation, and all of them on average.
fn bounds(products: Products) -> (f64, f64) {
    match products {
        Products::F32 => (1e-5, 2e-6),
        // A weight next to a tie may round the other way; weights that are not rounded at all are further off.
        Products::Bf16 => (2e-3, 1e-4),
    }
}

const PRODUCTS: [Products; 2] = [Products::F32, Products::Bf16];

/// `rows` positions in a scrambled order, the last one being that of the last of `keys` keys.
fn scrambled(rows: usize, keys: usize) -> Vec<u32> {
    (0..rows).map(|i| (keys - rows + (i * 7 + 3) % rows) as u32).collect()
}

#[test]
fn attention_equals_its_equation_for_every_level_mask_and_head() {
    let mut offs = PRODUCTS.map(|products| (products, Vec::new()));
    for (heads, kv_heads, head_dim) in
        [(6, 2, 20), (4, 4, 64), (3, 3, 80), (2, 1, 96), (12, 2, 128), (7, 1, 34), (1, 1, 33), (2, 2, 1)]
    {
        let shape = HeadShape { heads, kv_heads, head_dim };
        for (rows, keys) in [(1, 1), (1, 700), (5, 17), (40, 40), (150, 600)] {
            let cached = Cached::new(keys, shape, rows + keys);
            let q = Rows::from_vec(noise((rows + 3) * heads * head_dim, 5), heads * head_dim);
            // Rows · 7 visits every position if 7 does not divide the number of rows.
            let positions = scrambled(rows, keys);
            let window = Mask::Window { positions: &positions, width: 37 };
            for kv in cached.kinds() {
                for mask in [Mask::Full, Mask::Causal(&positions), window] {
                    let job = AttendJob { first_row: 2, rows, kv, mask };
                    for (products, offs) in &mut offs {
                        let products = *products;
                        let picked = [0, rows / 2, rows - 1];
                        let want = picked.map(|row| exact(&q, shape, products, &job, row));
                        for cpu in Cpu::levels() {
                            let y = attend(cpu, &q, shape, products, &[job]);
                            for (row, want) in picked.iter().zip(&want) {
                                let off = distance(y.row(2 + row), want);
                                assert!(
                                    off < bounds(products).0,
                                    "{off:e}: {shape:?}, row {row} of {rows}, {keys} keys, {products:?}, {}, {mask:?}",
                                    cpu.level()
                                );
                                offs.push(off);
                            }
                            let silent = [0, 1, rows + 2].map(|row| y.row(row).iter().all(|v| *v == 0.0));
                            assert_eq!(silent, [true; 3], "rows of no job");
                        }
                    }
                }
            }
        }
    }
    for (products, offs) in offs {
        let mean = offs.iter().sum::<f64>() / offs.len() as f64;
        assert!(mean < bounds(products).1, "{mean:e} on average, {products:?}");
    }
}

const GROUPED: HeadShape = HeadShape { heads: 6, kv_heads: 2, head_dim: 48 };

/// Bits of all rows computed at once.
fn whole(cpu: Cpu, q: &Rows, products: Products, job: AttendJob<'_>) -> Vec<u32> {
    bits(&attend(cpu, q, GROUPED, products, &[job]))
}

fn bits(y: &Rows) -> Vec<u32> {
    y.as_slice().iter().map(|v| v.to_bits()).collect()
}

fn part<'a>(job: AttendJob<'a>, rows: Range<usize>) -> AttendJob<'a> {
    let mask = match job.mask {
        Mask::Full => Mask::Full,
        Mask::Causal(positions) => Mask::Causal(&positions[rows.clone()]),
        Mask::Window { positions, width } => Mask::Window { positions: &positions[rows.clone()], width },
    };
    AttendJob { first_row: job.first_row + rows.start, rows: rows.len(), kv: job.kv, mask }
}

#[test]
fn bits_do_not_depend_on_threads_passes_order_or_other_jobs() {
    let (rows, keys) = (90, 1200);
    let cached = Cached::new(keys, GROUPED, 3);
    let q = Rows::from_vec(noise(rows * 288, 9), 288);
    let positions = scrambled(rows, keys);
    let window = Mask::Window { positions: &positions, width: 600 };
    let pools = [1, 2, 3, 5].map(|count| Threads::new(count).unwrap());
    for kv in cached.kinds() {
        for mask in [Mask::Full, Mask::Causal(&positions), window] {
            let job = AttendJob { first_row: 0, rows, kv, mask };
            for (cpu, products) in Cpu::levels().flat_map(|cpu| PRODUCTS.map(|products| (cpu, products))) {
                let want = pools[0].run(|| whole(cpu, &q, products, job));
                for pool in &pools[1..] {
                    assert!(pool.run(|| whole(cpu, &q, products, job)) == want, "{} threads", pool.count());
                }
                // Cut into passes of one row and of some, all in one call: what a batch of requests is.
                for cut in [1, 7, 33] {
                    let cuts = (0..rows).step_by(cut).map(|from| part(job, from..(from + cut).min(rows)));
                    let cuts: Vec<AttendJob<'_>> = cuts.collect();
                    let y = pools[1].run(|| attend(cpu, &q, GROUPED, products, &cuts));
                    assert!(bits(&y) == want, "cut into {cut}, {products:?}, {}, {mask:?}", cpu.level());
                }
                // One row alone: its spans are shared out.
                let y = pools[2].run(|| attend(cpu, &q, GROUPED, products, &[part(job, 41..42)]));
                assert!(bits(&y)[41 * 288..42 * 288] == want[41 * 288..42 * 288], "alone");
            }
        }
    }
}

#[test]
fn keys_that_come_later_change_nothing_that_was_seen() {
    let cached = Cached::new(700, GROUPED, 11);
    let mut few = cached.codes.clone();
    few.truncate(300);
    let q = Rows::from_vec(noise(288, 1), 288);
    for (cpu, products) in Cpu::levels().flat_map(|cpu| PRODUCTS.map(|products| (cpu, products))) {
        let with = |codes| {
            let kv = KeyValues::Codes(codes);
            whole(cpu, &q, products, AttendJob { first_row: 0, rows: 1, kv, mask: Mask::Causal(&[299]) })
        };
        assert_eq!(with(&few), with(&cached.codes));
    }
}

#[test]
fn wild_scores_stay_finite() {
    let shape = HeadShape { heads: 2, kv_heads: 1, head_dim: 4 };
    let values: Vec<f32> = (0..600 * 4).map(|i| (i % 5) as f32).collect();
    for (cpu, products) in Cpu::levels().flat_map(|cpu| PRODUCTS.map(|products| (cpu, products))) {
        let run = |q: f32, keys: &[f32]| {
            let kv = KeyValues::Float { keys, values: &values[..keys.len()] };
            let q = Rows::from_vec(vec![q; 8], 8);
            attend(cpu, &q, shape, products, &[AttendJob { first_row: 0, rows: 1, kv, mask: Mask::Full }])
        };
        // All scores equal, small and large: the mean of the values.
        for q in [0.0, 1.0, -1e15, 1e15] {
            let y = run(q, &[1e10; 2400]);
            let mean: f64 = (0..600).map(|i| f64::from(values[i * 4])).sum::<f64>() / 600.0;
            assert!((f64::from(y.row(0)[0]) - mean).abs() < 1e-5, "{q}: {} against {mean}", y.row(0)[0]);
        }
        // One score far above the others, first, in the middle and last: its value alone.
        for at in [0, 333, 599] {
            let mut keys = vec![-1e12; 2400];
            keys[at * 4..at * 4 + 4].fill(1e12);
            assert_eq!(run(1e12, &keys).row(0)[..4], values[at * 4..at * 4 + 4], "{products:?}, {}", cpu.level());
        }
        // Scores that overflow, and not-a-number: no panic, and other rows are not touched.
        let _ = run(f32::MAX, &[f32::MAX; 2400]);
        let _ = run(f32::MIN, &[f32::MAX; 2400]);
        let kv = KeyValues::Float { keys: &values, values: &values };
        let mut q = Rows::zeros(3, 8);
        q.row_mut(1).fill(f32::NAN);
        let y = attend(cpu, &q, shape, products, &[AttendJob { first_row: 0, rows: 3, kv, mask: Mask::Full }]);
        assert!(y.row(1).iter().all(|v| v.is_nan()) && y.row(0) == y.row(2) && y.row(0)[0].is_finite());
    }
}

#[test]
fn rows_that_see_nothing_are_zero() {
    let shape = HeadShape { heads: 1, kv_heads: 1, head_dim: 2 };
    let q = Rows::from_vec(vec![1.0; 4], 2);
    let none = KeyValues::Float { keys: &[], values: &[] };
    let some = KeyValues::Float { keys: &[1.0; 8], values: &[1.0; 8] };
    let width_0 = Mask::Window { positions: &[3], width: 0 };
    let empty = AttendJob { first_row: 1, rows: 0, kv: none, mask: Mask::Full };
    for products in PRODUCTS {
        for (kv, mask) in [(none, Mask::Full), (some, width_0)] {
            let job = AttendJob { first_row: 0, rows: 1, kv, mask };
            let y = attend(Cpu::detect(), &q, shape, products, &[job, empty]);
            assert_eq!(y.as_slice(), [0.0; 4]);
        }
        assert_eq!(attend(Cpu::detect(), &q, shape, products, &[]).as_slice(), [0.0; 4]);
    }
}

#[test]
#[should_panic(expected = "a query sees 5 keys of 4")]
fn a_mask_beyond_the_keys_is_refused() {
    let kv = KeyValues::Float { keys: &[1.0; 8], values: &[1.0; 8] };
    let job = AttendJob { first_row: 0, rows: 1, kv, mask: Mask::Causal(&[4]) };
    let shape = HeadShape { heads: 1, kv_heads: 1, head_dim: 2 };
    let _ = attend(Cpu::detect(), &Rows::zeros(1, 2), shape, Products::F32, &[job]);
}
