//! Activation functions, elementwise.

use rayon::prelude::*;

use crate::exp::sigmoid;
use crate::features::per_level;

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

// A task's share: large enough to outweigh its start.
const TASK: usize = 1 << 14;

#[inline(always)]
fn silu_body<const FMA: bool>(x: &mut [f32]) {
    x.iter_mut().for_each(|v| *v *= sigmoid::<FMA>(*v));
}

#[inline(always)]
fn quick_gelu_body<const FMA: bool>(x: &mut [f32]) {
    x.iter_mut().for_each(|v| *v *= sigmoid::<FMA>(1.702 * *v));
}

#[inline(always)]
fn silu_times_body<const FMA: bool>(gate: &mut [f32], up: &[f32]) {
    gate.iter_mut().zip(up).for_each(|(g, u)| *g *= sigmoid::<FMA>(*g) * u);
}

per_level! { fn silu(x: &mut [f32]) = silu_body }
per_level! { fn quick_gelu(x: &mut [f32]) = quick_gelu_body }
per_level! { fn silu_times(gate: &mut [f32], up: &[f32]) = silu_times_body }

fn one(f: Activation, x: &mut [f32]) {
    match f {
        Activation::Silu => silu(x),
        Activation::QuickGelu => quick_gelu(x),
        Activation::Gelu => {
            x.iter_mut().for_each(|v| *v *= 0.5 * (1.0 + libm::erff(*v * std::f32::consts::FRAC_1_SQRT_2)));
        }
    }
}

/// x ← f(x).
pub(crate) fn apply(f: Activation, x: &mut [f32]) {
    x.par_chunks_mut(TASK).for_each(|x| one(f, x));
}

/// gate ← f(gate) · up.
pub(crate) fn apply_gated(f: Activation, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "gate and up of different sizes");
    gate.par_chunks_mut(TASK).zip(up.par_chunks(TASK)).for_each(|(gate, up)| match f {
        Activation::Silu => silu_times(gate, up),
        _ => {
            one(f, gate);
            gate.iter_mut().zip(up).for_each(|(g, u)| *g *= u);
        }
    });
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
            apply(f, &mut y);
            apply_gated(f, &mut gated, &x);
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
