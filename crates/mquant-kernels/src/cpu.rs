//! The [`Backend`] of this CPU. Uses the threads of the pool it is called in.

use crate::activation::{self, Activation};
use crate::attention::{self, AttendJob, HeadShape};
use crate::backend::Backend;
use crate::data::{Matrix, Rows};
use crate::float_gemm::{self, Scratch};
use crate::norm;
use crate::rope::{self, RopeTable};

/// Computes on this CPU, with the best instructions it has.
#[derive(Debug, Default)]
pub struct CpuBackend {
    scratch: Scratch,
}

impl CpuBackend {
    /// A backend with empty scratch space.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Backend for CpuBackend {
    fn linear(&self, x: &Rows, w: &Matrix, bias: Option<&[f32]>) -> Rows {
        float_gemm::linear(x, w, bias, &self.scratch)
    }

    fn rms_norm(&self, x: &Rows, gain: &[f32], eps: f32) -> Rows {
        assert_eq!(x.features(), gain.len(), "features and norm gain");
        let mut y = Rows::zeros(x.rows(), x.features());
        norm::rms(x.as_slice(), x.features(), gain, eps, y.as_mut_slice());
        y
    }

    fn layer_norm(&self, x: &Rows, gain: &[f32], bias: &[f32], eps: f32) -> Rows {
        assert_eq!((x.features(), x.features()), (gain.len(), bias.len()), "features, norm gain and bias");
        let mut y = Rows::zeros(x.rows(), x.features());
        norm::layer(x.as_slice(), x.features(), gain, bias, eps, y.as_mut_slice());
        y
    }

    fn activate(&self, f: Activation, x: &mut Rows) {
        activation::apply(f, x.as_mut_slice());
    }

    fn activate_gated(&self, f: Activation, gate: &mut Rows, up: &Rows) {
        activation::apply_gated(f, gate.as_mut_slice(), up.as_slice());
    }

    fn rope(&self, x: &mut Rows, table: &RopeTable) {
        let features = x.features();
        rope::rotate(x.as_mut_slice(), features, table);
    }

    fn attend(&self, q: &Rows, shape: HeadShape, jobs: &[AttendJob<'_>]) -> Rows {
        attention::attend(q, shape, jobs)
    }

    fn gram(&self, x: &Rows, sum: &mut [f32]) {
        float_gemm::gram(x, sum);
    }
}
