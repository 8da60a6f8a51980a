//! Time of a step of learning on a random decoder block: `step_time [STREAM INNER HEADS KV_HEADS HEAD_DIM ROWS]`.
//!
//! Without arguments: the block of the demo model, and the block of a model of 2 B parameters with 1000 rows.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Instant;

use mquant_kernels::{Activation, HeadShape, Matrix, Products, RopeTable, Rows};
use mquant_learn::{
    ActivationQuantization, Form, Options, Sample, SiteQuantization, Twin, Vectors, WeightQuantization, learn,
};
use mquant_model::nn::{
    Attention, Block, ForwardBatch, Linear, Modality, ModalitySpans, Norm, NormKind, Site, SiteId, SiteKind, Stream,
    Tower, Up, Visibility, Weight,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DEMO: [usize; 6] = [192, 576, 6, 2, 32, 200];
const LARGE: [usize; 6] = [1536, 8960, 12, 2, 128, 1000];

fn main() -> Result<(), Box<dyn Error>> {
    let given = std::env::args().skip(1).map(|word| word.parse()).collect::<Result<Vec<usize>, _>>()?;
    let shapes = match given[..] {
        [] => vec![DEMO, LARGE],
        [stream, inner, heads, kv_heads, head_dim, rows] => vec![[stream, inner, heads, kv_heads, head_dim, rows]],
        _ => return Err("expected STREAM INNER HEADS KV_HEADS HEAD_DIM ROWS".into()),
    };
    for shape in shapes {
        measure(shape)?;
    }
    Ok(())
}

fn measure([stream, inner, heads, kv_heads, head_dim, rows]: [usize; 6]) -> Result<(), Box<dyn Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let block = block(&mut rng, stream, inner, HeadShape { heads, kv_heads, head_dim });
    let mut spans = ModalitySpans::uniform(Modality::Text, rows / 4);
    spans.push(Modality::Vision, rows - rows / 4);
    let angles = (0..rows).flat_map(|row| (0..head_dim / 2).map(move |j| row as f32 * 0.8f32.powi(j as i32)));
    let pass = ForwardBatch {
        sequences: std::iter::once(0..rows).collect(),
        order: (0..rows as u32).collect(),
        spans,
        rope: RopeTable::new(head_dim / 2, angles),
        ..ForwardBatch::default()
    };
    let input = Rows::from_vec((0..rows * stream).map(|_| rng.random::<f32>() - 0.5).collect(), stream);
    let start = Instant::now();
    let target = Twin::new(&block)?.forward(&input, &pass)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{stream} × {inner}, {rows} rows: float twin {:.3} s", start.elapsed().as_secs_f64())?;
    let w4a8 = SiteQuantization {
        weight: Some(WeightQuantization { bits: 4, group: None }),
        activation: ActivationQuantization::PerToken { bits: 8 },
    };
    let sites = SiteKind::OF_BLOCK.map(|kind| (SiteId::block(Tower::Language, 0, kind), w4a8)).into();
    let vectors = |channels| [Modality::Text, Modality::Vision].map(|modality| (modality, vec![1.0; channels])).into();
    let initial: BTreeMap<SiteId, Vectors> = [SiteKind::Qkv, SiteKind::Out, SiteKind::Up]
        .map(|kind| (SiteId::block(Tower::Language, 0, kind), vectors(stream)))
        .into();
    for form in [Form::Published, Form::Deployed { rank_ratio: 0.05 }] {
        let options = Options { form, epochs: 1, ..Options::default() };
        let samples = [Sample { input: &input, target: &target, pass: &pass }; 2];
        let mut times = vec![Instant::now()];
        let note = &mut |_| {
            times.push(Instant::now());
            ControlFlow::Continue(())
        };
        learn(&block, &sites, &initial, &samples, &options, note)?;
        let took = |i: usize| (times[i + 1] - times[i]).as_secs_f64();
        writeln!(
            out,
            "  {form:?}: preparation and first evaluation {:.3} s, evaluation {:.3} s, step {:.3} s, branches and evaluation {:.3} s",
            took(0),
            took(1),
            took(3),
            took(4)
        )?;
    }
    Ok(())
}

fn block(rng: &mut ChaCha8Rng, stream: usize, inner: usize, heads: HeadShape) -> Block {
    let mut linear = |outputs: usize, inputs: usize| {
        let scale = 3.4 / (inputs as f32).sqrt();
        let values = (0..outputs * inputs).map(|_| scale * (rng.random::<f32>() - 0.5)).collect();
        Linear {
            weight: Weight::Float(Matrix::from_f32(values, outputs, inputs)),
            bias: None,
            side: None,
            branches: Vec::new(),
        }
    };
    let norm = || Some(Norm { kind: NormKind::Rms, gain: vec![1.0; stream], eps: 1e-6, repeat: 1 });
    let id = |kind| SiteId::block(Tower::Language, 0, kind);
    let (q, kv) = (heads.heads * heads.head_dim, heads.kv_heads * heads.head_dim);
    Block {
        stream: Stream(Tower::Language),
        qkv: Site::float(id(SiteKind::Qkv), norm(), [linear(q, stream), linear(kv, stream), linear(kv, stream)]),
        attention: Attention {
            shape: heads,
            head_norms: None,
            visibility: Visibility::Causal,
            products: Products::F32,
            block: 0,
        },
        out: Site::float(id(SiteKind::Out), None, [linear(stream, q)]),
        up: Up::Gated(
            Site::float(id(SiteKind::Up), norm(), [linear(inner, stream), linear(inner, stream)]),
            Activation::Silu,
        ),
        down: Site::float(id(SiteKind::Down), None, [linear(stream, inner)]),
        deepstack: None,
    }
}
