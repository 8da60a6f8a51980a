//! Random weights by position: element `i` of a tensor depends on seed, tensor name and `i` only, so that any stretch can be
//! made anywhere, by any number of threads.
//!
//! Linears have mean 0 and standard deviation `1/√fan_in`, so that activations keep their scale; norm gains lie around 1,
//! biases around 0. The distribution is the sum of four uniform 16-bit numbers: near a normal one, bounded at ±3.46 σ.

use half::bf16;
use rayon::prelude::*;

/// Elements one task makes.
const STRETCH: usize = 1 << 16;
/// Standard deviation of gains around 1.
const GAIN_DEVIATION: f64 = 0.1;
/// Standard deviation of biases around 0.
const BIAS_DEVIATION: f64 = 0.02;
/// Odd, from the golden ratio: consecutive counters land far apart.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The values of one tensor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    key: u64,
    mean: f32,
    /// Deviation of a value for each unit of the sum of 16-bit numbers.
    scale: f32,
}

impl Values {
    /// The values of a tensor under a seed.
    pub(super) fn of(name: &str, shape: &[usize], seed: u64) -> Self {
        let (mean, deviation) = match shape {
            [_] if name.ends_with(".bias") => (0.0, BIAS_DEVIATION),
            [_] => (1.0, GAIN_DEVIATION),
            shape => (0.0, 1.0 / (shape.iter().skip(1).product::<usize>().max(1) as f64).sqrt()),
        };
        // Variance of four independent uniform numbers of 2¹⁶ values.
        let unit = (4.0 * (65_536.0f64 * 65_536.0 - 1.0) / 12.0).sqrt();
        let key = name.bytes().fold(mixed(seed), |key, byte| mixed(key ^ u64::from(byte)));
        Self { key, mean, scale: (deviation / unit) as f32 }
    }

    /// Elements `start..` as little-endian bf16 into `bytes`, two for each.
    pub(super) fn fill(&self, start: u64, bytes: &mut [u8]) {
        bytes.par_chunks_mut(2 * STRETCH).enumerate().for_each(|(i, stretch)| {
            let first = start + (i * STRETCH) as u64;
            for (element, counter) in stretch.chunks_exact_mut(2).zip(first..) {
                element.copy_from_slice(&self.at(counter).to_le_bytes());
            }
        });
    }

    fn at(&self, counter: u64) -> bf16 {
        let bits = mixed(self.key.wrapping_add(counter.wrapping_mul(STEP)));
        let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
        let centred = sum as i32 - 2 * 0xffff;
        bf16::from_f32(self.mean + self.scale * centred as f32)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection whose every output bit depends on all input bits.
fn mixed(mut z: u64) -> u64 {
    z = z.wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(name: &str, shape: &[usize], seed: u64, start: u64, count: usize) -> Vec<f32> {
        let mut bytes = vec![0; 2 * count];
        Values::of(name, shape, seed).fill(start, &mut bytes);
        bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
    }

    fn moments(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        (mean, variance.sqrt())
    }

    #[test]
    fn scales_follow_the_kind_of_tensor() {
        let n = 200_000;
        for (name, shape, mean, deviation) in [
            ("a.weight", vec![n, 1600], 0.0, 0.025),
            ("patch.weight", vec![n, 4, 2, 5, 10], 0.0, 0.05),
            ("norm.weight", vec![n], 1.0, 0.1),
            ("a.bias", vec![n], 0.0, 0.02),
        ] {
            let values = drawn(name, &shape, 3, 0, n);
            let (m, s) = moments(&values);
            assert!((m - mean).abs() < 4.0 * deviation / (n as f64).sqrt(), "{name}: mean {m}");
            assert!((s / deviation - 1.0).abs() < 0.01, "{name}: deviation {s}");
            let neighbours = values.windows(2).map(|w| (f64::from(w[0]) - m) * (f64::from(w[1]) - m)).sum::<f64>();
            assert!((neighbours / n as f64 / s / s).abs() < 0.01, "{name}: neighbours are related");
        }
    }

    #[test]
    fn values_depend_on_seed_name_and_position_only() {
        let of = |name, seed, start, count| drawn(name, &[1000, 1000], seed, start, count);
        let whole = of("a.weight", 1, 0, 300_000);
        assert_eq!(whole[70_001..], of("a.weight", 1, 70_001, 229_999));
        assert_ne!(whole, of("a.weight", 2, 0, 300_000));
        assert_ne!(whole, of("b.weight", 1, 0, 300_000));
    }
}
