//! Every level against the definition, and the definition against arithmetic in f64.

use super::*;

/// Scales that meet denormals, ties, the smallest scale, and reciprocals that are no finite number.
const SCALES: [f32; 9] = [1.0, 0.5, 0.037, 3.0, SMALLEST_SCALE, 1e30, 1e-39, 0.0, f32::INFINITY];

/// Checks one stretch of values at every level.
fn check(x: &[f32], scale: f32, codes: &mut [i8]) {
    let inverse = 1.0 / scale;
    let codes = &mut codes[..x.len()];
    let want: Vec<i8> = x.iter().map(|x| quantize_scalar(*x, inverse, -127.0, 127.0)).collect();
    let want_sum: i32 = want.iter().map(|code| i32::from(*code)).sum();
    for cpu in Cpu::levels() {
        codes.fill(-128);
        let sum = quantize(cpu, x, inverse, codes);
        if *codes != want[..] {
            let at = codes.iter().zip(&want).position(|(a, b)| a != b).unwrap();
            panic!("{}: {:e} / {scale:e} is {}, not {}", cpu.level(), x[at], codes[at], want[at]);
        }
        assert_eq!(sum, want_sum, "{}: sum of {} codes", cpu.level(), x.len());
    }
}

/// A sequence of numbers that visits all residues: patterns of bits without pattern.
fn bits(seed: u32) -> impl Iterator<Item = u32> {
    let mut state = u64::from(seed) | 1 << 40;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    })
}

#[test]
fn a_million_patterns_of_bits_have_the_same_codes_at_every_level() {
    let x: Vec<f32> = bits(7).take(1 << 20).map(f32::from_bits).collect();
    let mut codes = vec![0; x.len()];
    for scale in SCALES {
        check(&x, scale, &mut codes);
        // Most patterns are far outside the range of codes: the same patterns with exponents near it.
        let near: Vec<f32> =
            x.iter().map(|x| f32::from_bits(x.to_bits() & 0x87ff_ffff | 0x3800_0000) * scale).collect();
        check(&near, scale, &mut codes);
    }
}

/// `cargo test --release -p mquant-kernels --lib every_f32 -- --ignored`
#[test]
#[ignore = "minutes: all 2^32 values at every level"]
fn every_f32_has_the_same_code_at_every_level() {
    const AT_ONCE: u32 = 1 << 20;
    let mut codes = vec![0; AT_ONCE as usize];
    for scale in [1.0, 0.037, SMALLEST_SCALE] {
        for block in 0..1 << 12 {
            let x: Vec<f32> = (0..AT_ONCE).map(|i| f32::from_bits(block * AT_ONCE + i)).collect();
            check(&x, scale, &mut codes);
        }
    }
}

#[test]
fn special_values_have_their_codes() {
    let cases = [
        (f32::NAN, 0),
        (-f32::NAN, 0),
        (f32::from_bits(0x7f80_0001), 0), // a signalling one
        (f32::INFINITY, 127),
        (f32::NEG_INFINITY, -127),
        (f32::MAX, 127),
        (f32::MIN, -127),
        (0.0, 0),
        (-0.0, 0),
        (f32::from_bits(1), 0),
        (0.5, 0),
        (1.5, 2),
        (2.5, 2),
        (-0.5, 0),
        (-1.5, -2),
        (-2.5, -2),
        (126.5, 126),
        (127.5, 127),
        (127.49, 127),
        (-127.5, -127),
        (-128.0, -127),
        (128.0, 127),
        (0.500_000_06, 1),
        (0.499_999_97, 0),
        (2_147_483_648.0, 127),
        (-2_147_483_904.0, -127),
        (4_294_967_296.0, 127),
    ];
    let x: Vec<f32> = cases.iter().map(|c| c.0).collect();
    for cpu in Cpu::levels() {
        // Each value in each lane of a vector, and in the tail.
        for shift in 0..x.len() {
            let turned: Vec<f32> = (0..x.len() * 2 + 5).map(|i| x[(i + shift) % x.len()]).collect();
            let mut codes = vec![99; turned.len()];
            quantize(cpu, &turned, 1.0, &mut codes);
            for (i, code) in codes.iter().enumerate() {
                let (x, want) = cases[(i + shift) % cases.len()];
                assert_eq!(*code, want, "{} of {x:e}", cpu.level());
            }
        }
    }
}

#[test]
fn codes_are_the_nearest_integers() {
    for (i, x) in bits(3).take(100_000).map(|b| (b as i32) as f32 * 1e-7).enumerate() {
        let scale = 0.25 + (i % 50) as f32;
        let exact = f64::from(x * (1.0 / scale));
        let code = f64::from(quantize_scalar(x, 1.0 / scale, -127.0, 127.0));
        assert!((code - exact.clamp(-127.0, 127.0)).abs() <= 0.5, "{x} / {scale} is {code}");
    }
}

#[test]
#[cfg(unix)]
fn every_length_and_start_stays_inside() {
    use crate::guard::{Edge, Guarded};
    for edge in [Edge::Begin, Edge::End] {
        for len in 0..=300 {
            let values: Vec<f32> = bits(len as u32).take(len).map(|b| (b as i32) as f32 * 1e-7).collect();
            let x = Guarded::copy_of(&values, edge);
            let mut codes = Guarded::<i8>::zeros(len, edge);
            check(&x, 0.7, &mut codes);
            let want = values.iter().fold(0f32, |most, v| most.max(v.abs()));
            Cpu::levels().for_each(|cpu| assert_eq!(absmax(cpu, &x), want));
        }
    }
    let x: Vec<f32> = bits(5).take(500).map(|b| (b as i32) as f32 * 1e-7).collect();
    let mut codes = vec![0i8; 500];
    for from in 0..64 {
        check(&x[from..from + 333], 0.7, &mut codes[63 - from..]);
    }
}

#[test]
fn scales_come_from_the_largest_number() {
    for cpu in Cpu::levels() {
        for len in [1usize, 15, 16, 63, 64, 65, 200] {
            for at in 0..len {
                let mut x = vec![f32::NAN; len];
                assert_eq!(absmax(cpu, &x), 0.0);
                x[at] = -3.5;
                assert_eq!(absmax(cpu, &x), 3.5, "{} at {at} of {len}", cpu.level());
                x[len - 1 - at] = f32::NEG_INFINITY;
                assert_eq!(absmax(cpu, &x), f32::INFINITY);
            }
        }
    }
    assert_eq!(scale_of(254.0, 127.0), 2.0);
    assert_eq!([0.0, 1e-30, f32::NAN].map(|v| scale_of(v, 127.0)), [SMALLEST_SCALE; 3]);
    assert!(scale_of(f32::INFINITY, 127.0).is_finite());
}
