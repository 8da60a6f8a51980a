//! Activation functions, elementwise, with the same bits at every level.

use crate::exp::sigmoid;
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
}

#[inline(always)]
fn silu_body(x: &mut [f32]) {
    x.iter_mut().for_each(|v| *v *= sigmoid::<false>(*v));
}

#[inline(always)]
fn quick_gelu_body(x: &mut [f32]) {
    x.iter_mut().for_each(|v| *v *= sigmoid::<false>(1.702 * *v));
}

#[inline(always)]
fn silu_times_body(gate: &[f32], up: &[f32], y: &mut [f32]) {
    gate.iter().zip(up).zip(y).for_each(|((g, u), y)| *y = g * sigmoid::<false>(*g) * u);
}

per_level! { fn silu(x: &mut [f32]) = silu_body }
per_level! { fn quick_gelu(x: &mut [f32]) = quick_gelu_body }
per_level! { fn silu_times(gate: &[f32], up: &[f32], y: &mut [f32]) = silu_times_body }

/// x ← f(x).
pub(crate) fn apply(cpu: Cpu, f: Activation, x: &mut [f32]) {
    match f {
        Activation::Silu => silu(cpu, x),
        Activation::QuickGelu => quick_gelu(cpu, x),
        Activation::Gelu => {
            x.iter_mut().for_each(|v| *v *= 0.5 * (1.0 + libm::erff(*v * std::f32::consts::FRAC_1_SQRT_2)));
        }
    }
}

/// y ← f(gate) · up.
pub(crate) fn apply_gated(cpu: Cpu, f: Activation, gate: &[f32], up: &[f32], y: &mut [f32]) {
    match f {
        Activation::Silu => silu_times(cpu, gate, up, y),
        _ => {
            y.copy_from_slice(gate);
            apply(cpu, f, y);
            y.iter_mut().zip(up).for_each(|(y, u)| *y *= u);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_follow_their_equations() {
        let x: Vec<f32> = (-4000..4000).map(|i| i as f32 * 5e-3).collect();
        let exact = |f: Activation, v: f64| match f {
            Activation::Silu => v / (1.0 + (-v).exp()),
            Activation::QuickGelu => v / (1.0 + (-1.702 * v).exp()),
            Activation::Gelu => v * 0.5 * libm::erfc(-v / std::f64::consts::SQRT_2),
        };
        for f in [Activation::Silu, Activation::QuickGelu, Activation::Gelu] {
            let (mut y, mut gated) = (x.clone(), x.clone());
            apply(Cpu::detect(), f, &mut y);
            apply_gated(Cpu::detect(), f, &x, &x, &mut gated);
            for (i, v) in x.iter().enumerate() {
                let want = exact(f, f64::from(*v));
                assert!(
                    (f64::from(y[i]) - want).abs() < 2e-6 * want.abs().max(1.0),
                    "{f:?}({v}) = {} not {want}",
                    y[i]
                );
                let want = want * f64::from(*v);
                assert!((f64::from(gated[i]) - want).abs() < 2e-6 * want.abs().max(1.0), "gated {f:?}({v})");
            }
        }
    }
}
