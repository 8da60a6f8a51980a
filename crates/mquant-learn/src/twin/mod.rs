//! A float block as a differentiable function of its input and of what its sites do.

mod attention;
mod pass;
mod site;

use candle_core::Tensor;
use mquant_kernels::{Activation, Rows};
use mquant_model::nn::{Attention, Block, ForwardBatch, PartId, Up};

use crate::LearnError;
use crate::tensor::{tensor, with_values};

pub(crate) use pass::PassRows;
pub(crate) use site::{Floats, Sites, TwinLinear, TwinSite};

/// The block in f32: what [`Block::forward`](mquant_model::nn::Layer::forward) computes, step by step, on tensors that know
/// their gradients. Heads, masks, rotary angles and deepstack features are those of the block and of the pass.
#[derive(Debug)]
pub struct Twin {
    pub(crate) id: PartId,
    attention: Attention,
    qkv: TwinSite,
    out: TwinSite,
    up: TwinSite,
    /// The activation function, and whether the first output of `up` gates the second.
    activation: (Activation, bool),
    down: TwinSite,
    deepstack: Option<usize>,
}

impl Twin {
    /// The twin of a float block.
    ///
    /// # Errors
    /// If a site is quantised, or a norm joins rows.
    pub fn new(block: &Block) -> Result<Self, LearnError> {
        let stream = block.out.linears[0].weight.rows();
        let heads = block.attention.shape;
        let (up, activation, inner) = match &block.up {
            Up::Gated(site, f) => (TwinSite::new(site, stream)?, (*f, true), site.linears[1].weight.rows()),
            Up::Plain(site, f) => (TwinSite::new(site, stream)?, (*f, false), site.linears[0].weight.rows()),
        };
        Ok(Self {
            id: block.qkv.id.part,
            attention: block.attention.clone(),
            qkv: TwinSite::new(&block.qkv, stream)?,
            out: TwinSite::new(&block.out, heads.heads * heads.head_dim)?,
            up,
            activation,
            down: TwinSite::new(&block.down, inner)?,
            deepstack: block.deepstack,
        })
    }

    /// What leaves the float block: `x` rows × stream features, and so the result.
    ///
    /// # Errors
    /// If the rows are not those of the pass.
    pub fn forward(&self, x: &Rows, pass: &ForwardBatch) -> Result<Rows, LearnError> {
        let rows = self.pass(pass, (x.rows(), x.features()), 0)?;
        let y = self.run(&tensor(x.as_slice().to_vec(), (x.rows(), x.features()))?, &rows, &mut Floats)?;
        Ok(Rows::from_vec(with_values(&y, |y| Ok(y.to_vec()))?, x.features()))
    }

    /// What the block needs to know of a pass, checked against the shape of its rows; `sample` names it in errors.
    pub(crate) fn pass(
        &self,
        pass: &ForwardBatch,
        shape: (usize, usize),
        sample: usize,
    ) -> Result<PassRows, LearnError> {
        let what = if self.qkv.inputs() != shape.1 {
            Err(format!("rows of {} features; the block reads {}", shape.1, self.qkv.inputs()))
        } else {
            PassRows::new(pass, shape, &self.attention, self.deepstack)
        };
        match what {
            Ok(rows) => Ok(rows?),
            Err(what) => Err(LearnError::Sample { sample, what }),
        }
    }

    /// Its sites, in the order they run.
    pub(crate) fn sites(&self) -> [&TwinSite; 4] {
        [&self.qkv, &self.out, &self.up, &self.down]
    }

    pub(crate) fn attention(&self) -> &Attention {
        &self.attention
    }

    /// x += out(attend(qkv(norm x))); x += down(f(up(norm x))); x += deepstack, each site computed by `sites`.
    pub(crate) fn run(&self, x: &Tensor, rows: &PassRows, sites: &mut dyn Sites) -> Result<Tensor, LearnError> {
        let qkv = sites.apply(&self.qkv, &self.qkv.normed(x)?, rows)?;
        let a = attention::attend(&self.attention, &qkv, rows)?;
        let x = (x + only(sites.apply(&self.out, &self.out.normed(&a)?, rows)?)?)?;
        let up = sites.apply(&self.up, &self.up.normed(&x)?, rows)?;
        let (f, gated) = self.activation;
        let h = match &up[..] {
            [gate, up] if gated => (activate(f, gate)? * up)?,
            [up] if !gated => activate(f, up)?,
            _ => return Err(miscounted(up.len()).into()),
        };
        let x = (x + only(sites.apply(&self.down, &self.down.normed(&h)?, rows)?)?)?;
        match &rows.deepstack {
            Some(added) => Ok((x + added)?),
            None => Ok(x),
        }
    }
}

/// The result of a site with one linear.
fn only(results: Vec<Tensor>) -> candle_core::Result<Tensor> {
    match <[Tensor; 1]>::try_from(results) {
        Ok([y]) => Ok(y),
        Err(more) => Err(miscounted(more.len())),
    }
}

fn miscounted(found: usize) -> candle_core::Error {
    candle_core::Error::Msg(format!("{found} results of a site that has another number of linears"))
}

fn activate(f: Activation, x: &Tensor) -> candle_core::Result<Tensor> {
    match f {
        Activation::Silu => x.silu(),
        // x·σ(1.702·x) = SiLU(1.702·x) / 1.702.
        Activation::QuickGelu => x.affine(1.702, 0.0)?.silu()?.affine(1.0 / 1.702, 0.0),
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
    }
}
