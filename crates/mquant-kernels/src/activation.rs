//! Activation functions, elementwise, with the same bits at every level: nothing is fused, nothing calls a library.

use crate::exp::{exp, sigmoid};
use crate::features::{Cpu, per_level};

/// Which activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x·σ(x).
    Silu,
    /// x·σ(1.702·x), CLIP's approximation of GELU.
    QuickGelu,
    /// x·Φ(x), with the exact error function.
    Gelu,
    /// ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))), the approximation of GELU that PyTorch calls `tanh`.
    GeluTanh,
}

/// x·σ(x) is less than 1e-36 below this, and `exp` reaches no further.
const LEAST: f32 = -88.0;

#[inline(always)]
fn silu_of(x: f32) -> f32 {
    let x = if x < LEAST { LEAST } else { x };
    x * sigmoid::<false>(x)
}

#[inline(always)]
fn quick_gelu_of(x: f32) -> f32 {
    let x = if x < LEAST { LEAST } else { x };
    x * sigmoid::<false>(1.702 * x)
}

/// ½·(1 + tanh u) = σ(2u).
#[inline(always)]
fn gelu_tanh_of(x: f32) -> f32 {
    const TWICE_ROOT: f32 = 1.595_769;
    // Below, the result is less than 1e-36, and the cube would overflow.
    let near = if x < -10.0 { -10.0 } else { x };
    let u = TWICE_ROOT * (near + 0.044_715 * near * near * near);
    let u = if u < LEAST { LEAST } else { u };
    near * sigmoid::<false>(u)
}

/// Φ(−u)·e^(u²/2) for u >= 0 is a polynomial in 1 / (1 + NEAR·u), highest power first; fitted, within 7e-8 of the value.
const NEAR: f32 = 0.4;
const TAIL: [f32; 9] = [
    -0.040_010_37,
    0.202_364_64,
    -0.376_876_38,
    0.254_136_4,
    -0.014_253_343,
    0.159_087_3,
    0.155_643_96,
    0.159_920_58,
    -1.276_63e-5,
];
/// Φ(−u) is 0 in f32 from here on.
const FAR: f32 = 14.0;

/// x·Φ(x) = max(x, 0) − |x|·Φ(−|x|), where nothing cancels.
#[inline(always)]
fn gelu_of(x: f32) -> f32 {
    let u = if x.abs() > FAR { FAR } else { x.abs() };
    let t = 1.0 / (1.0 + NEAR * u);
    let mut p = TAIL[0];
    for c in &TAIL[1..] {
        p = p * t + c;
    }
    let tail = p * exp::<false>(-0.5 * u * u);
    (if x > 0.0 { x } else { 0.0 }) - u * tail
}

macro_rules! elementwise {
    ($f:ident, $in_place:ident, $body:ident, $gated:ident, $gated_body:ident) => {
        #[inline(always)]
        fn $body(x: &mut [f32]) {
            x.iter_mut().for_each(|x| *x = $f(*x));
        }
        #[inline(always)]
        fn $gated_body(gate: &[f32], up: &[f32], y: &mut [f32]) {
            gate.iter().zip(up).zip(y).for_each(|((gate, up), y)| *y = $f(*gate) * up);
        }
        per_level! { fn $in_place(x: &mut [f32]) = $body }
        per_level! { fn $gated(gate: &[f32], up: &[f32], y: &mut [f32]) = $gated_body }
    };
}

elementwise!(silu_of, silu, silu_body, silu_times, silu_times_body);
elementwise!(quick_gelu_of, quick_gelu, quick_gelu_body, quick_gelu_times, quick_gelu_times_body);
elementwise!(gelu_tanh_of, gelu_tanh, gelu_tanh_body, gelu_tanh_times, gelu_tanh_times_body);
elementwise!(gelu_of, gelu, gelu_body, gelu_times, gelu_times_body);

/// x ← f(x).
pub(crate) fn apply(cpu: Cpu, f: Activation, x: &mut [f32]) {
    match f {
        Activation::Silu => silu(cpu, x),
        Activation::QuickGelu => quick_gelu(cpu, x),
        Activation::Gelu => gelu(cpu, x),
        Activation::GeluTanh => gelu_tanh(cpu, x),
    }
}

/// y ← f(gate) · up, as far as the shortest reaches.
pub(crate) fn apply_gated(cpu: Cpu, f: Activation, gate: &[f32], up: &[f32], y: &mut [f32]) {
    match f {
        Activation::Silu => silu_times(cpu, gate, up, y),
        Activation::QuickGelu => quick_gelu_times(cpu, gate, up, y),
        Activation::Gelu => gelu_times(cpu, gate, up, y),
        Activation::GeluTanh => gelu_tanh_times(cpu, gate, up, y),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Activation; 4] = [Activation::Silu, Activation::QuickGelu, Activation::Gelu, Activation::GeluTanh];

    fn exact(f: Activation, v: f64) -> f64 {
        match f {
            Activation::Silu => v / (1.0 + (-v).exp()),
            Activation::QuickGelu => v / (1.0 + (-1.702 * v).exp()),
            Activation::GeluTanh => {
                let u = (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044715 * v.powi(3));
                v / (1.0 + (-2.0 * u).exp())
            }
            Activation::Gelu => v * 0.5 * libm::erfc(-v / std::f64::consts::SQRT_2),
        }
    }

    fn apply_to(cpu: Cpu, f: Activation, x: &[f32]) -> Vec<f32> {
        let mut y = x.to_vec();
        apply(cpu, f, &mut y);
        y
    }

    #[test]
    fn activations_follow_their_equations() {
        let x: Vec<f32> = (-400_000..400_000).map(|i| i as f32 * 5e-5).collect();
        for f in ALL {
            let y = apply_to(Cpu::detect(), f, &x);
            let mut gated = x.clone();
            apply_gated(Cpu::detect(), f, &x, &x, &mut gated);
            for (i, v) in x.iter().enumerate() {
                let want = exact(f, f64::from(*v));
                let bound = 5e-7 * f64::from(v.abs()).max(1.0);
                assert!((f64::from(y[i]) - want).abs() < bound, "{f:?}({v}) = {} not {want}", y[i]);
                assert_eq!(gated[i].to_bits(), (y[i] * v).to_bits(), "gated {f:?}({v})");
            }
        }
    }

    #[test]
    fn gelu_keeps_its_precision_where_it_is_small() {
        let x: Vec<f32> = (-4000..=4000).map(|i| i as f32 * 1e-3).collect();
        for (x, y) in x.iter().zip(apply_to(Cpu::detect(), Activation::Gelu, &x)) {
            let want = exact(Activation::Gelu, f64::from(*x));
            assert!((f64::from(y) - want).abs() <= 2e-6 * want.abs(), "gelu({x}) = {y} not {want}");
        }
    }

    #[test]
    fn far_values_and_no_numbers_stay_what_they_are() {
        let x = [0.0, -0.0, 1e-40, 1e30, -1e30, f32::MAX, f32::MIN, f32::INFINITY, f32::NAN];
        for cpu in Cpu::levels() {
            for f in ALL {
                for (x, y) in x.iter().zip(apply_to(cpu, f, &x)) {
                    let want = exact(f, f64::from(*x));
                    let same =
                        if x.is_nan() { y.is_nan() } else { (f64::from(y) - want).abs() <= 1e-6 * want.abs().max(1.0) };
                    assert!(same || f64::from(y) == want, "{f:?}({x}) = {y} not {want}");
                }
            }
            for f in ALL {
                assert!(apply_to(cpu, f, &[f32::NEG_INFINITY])[0].abs() < 1e-36, "{f:?}");
            }
        }
    }

    #[test]
    fn every_level_gives_the_same_bits() {
        let scalar = Cpu::detect().capped(crate::features::Level::Scalar).unwrap();
        for len in (0..70).chain([1000, 4099]) {
            let gate: Vec<f32> = (0..len).map(|i| ((i * 7919 % 4001) as f32 - 2000.0) * 0.0071).collect();
            let up: Vec<f32> = (0..len).map(|i| ((i * 104_729 % 997) as f32 - 400.0) * 0.013).collect();
            for f in ALL {
                let bits = |cpu| {
                    let mut gated = vec![0.0; len];
                    apply_gated(cpu, f, &gate, &up, &mut gated);
                    gated.extend(apply_to(cpu, f, &gate));
                    gated.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
                };
                let want = bits(scalar);
                Cpu::levels().for_each(|cpu| assert_eq!(bits(cpu), want, "{f:?} of {len} at {}", cpu.level()));
            }
        }
    }
}
