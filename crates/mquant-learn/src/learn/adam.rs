//! AdamW with a constant rate, without decay: state in f32.

use candle_core::backprop::GradStore;
use candle_core::{Result, Var};

use crate::tensor::{tensor, with_values};

const BETA: (f32, f32) = (0.9, 0.999);
const EPSILON: f32 = 1e-8;

/// Moments of the gradients of some variables. A variable without a gradient, as that of a modality without rows, stays as it
/// is.
#[derive(Debug)]
pub(super) struct Adam {
    rate: f32,
    /// No value becomes less.
    least: f32,
    state: Vec<State>,
}

#[derive(Debug, Default)]
struct State {
    steps: i32,
    mean: Vec<f32>,
    square: Vec<f32>,
}

impl Adam {
    pub(super) fn new(rate: f32, least: f32) -> Self {
        Self { rate, least, state: Vec::new() }
    }

    /// One step for all variables, which are the same ones in the same order each time.
    pub(super) fn step<'v>(&mut self, variables: impl Iterator<Item = &'v Var>, gradients: &GradStore) -> Result<()> {
        for (i, variable) in variables.enumerate() {
            if self.state.len() <= i {
                self.state.push(State::default());
            }
            let Some(gradient) = gradients.get(variable) else { continue };
            let state = &mut self.state[i];
            let mut values = with_values(variable, |v| Ok(v.to_vec()))?;
            with_values(gradient, |g| {
                state.step(&mut values, g, self.rate);
                Ok(())
            })?;
            values.iter_mut().for_each(|v| *v = v.max(self.least));
            variable.set(&tensor(values, variable.shape())?)?;
        }
        Ok(())
    }
}

impl State {
    fn step(&mut self, values: &mut [f32], gradient: &[f32], rate: f32) {
        self.mean.resize(values.len(), 0.0);
        self.square.resize(values.len(), 0.0);
        self.steps += 1;
        let corrections = (1.0 - BETA.0.powi(self.steps), 1.0 - BETA.1.powi(self.steps));
        for (((v, g), mean), square) in values.iter_mut().zip(gradient).zip(&mut self.mean).zip(&mut self.square) {
            *mean = BETA.0 * *mean + (1.0 - BETA.0) * g;
            *square = BETA.1 * *square + (1.0 - BETA.1) * g * g;
            *v -= rate * (*mean / corrections.0) / ((*square / corrections.1).sqrt() + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_rate_and_later_ones_follow_the_mean() {
        let mut state = State::default();
        let mut values = [1.0f32, -2.0, 0.5];
        state.step(&mut values, &[3.0, -0.01, 0.0], 0.05);
        assert!((values[0] - 0.95).abs() < 1e-6 && (values[1] + 1.95).abs() < 1e-6 && values[2] == 0.5);
        state.step(&mut values, &[-3.0, -0.01, 0.0], 0.05);
        // mean = 0.9·0.3 − 0.3 = −0.03, corrected −0.03/0.19; square 9.
        assert!((values[0] - (0.95 + 0.05 * 0.03 / 0.19 / 3.0)).abs() < 1e-5, "{values:?}");
    }
}
