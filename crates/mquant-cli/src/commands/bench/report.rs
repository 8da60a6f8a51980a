//! What `mquant bench --json` prints; the tables for people are made of it.

use mquant::kernels::Limits;
use mquant::measure::{Arithmetic, Figures, Kind, OrderedPrefill, Phase, Workload};
use mquant::run::RowOrder;
use serde::Serialize;

/// Everything that was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured<'a> {
    pub(super) workload: &'a Workload,
    pub(super) figures: &'a Figures,
    pub(super) row_order: RowOrder,
    pub(super) limits: Option<&'a Limits>,
    pub(super) load_s: f64,
    pub(super) peak_rss_bytes: Option<u64>,
}

/// The object `mquant.bench/2`.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    pub(super) model: &'a str,
    pub(super) threads: usize,
    pub(super) cpu: &'static str,
    pub(super) row_order: &'static str,
    pub(super) prompt_tokens: usize,
    pub(super) image: Option<ImageReport>,
    pub(super) generate: usize,
    pub(super) batch: usize,
    pub(super) repeat: usize,
    pub(super) load_s: f64,
    pub(super) vision_s: Option<f64>,
    pub(super) first_token_s: f64,
    pub(super) prefill_tokens_per_s: f64,
    /// Of picture and text, with rows in each order.
    pub(super) prefill_by_row_order: Option<RowOrderReport>,
    pub(super) decode_tokens_per_s: Option<f64>,
    /// Of one sequence of the batch.
    pub(super) decode_sequence_tokens_per_s: Option<f64>,
    pub(super) peak_rss_bytes: Option<u64>,
    pub(super) limits: Option<LimitsReport>,
    pub(super) phases: Vec<PhaseReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct RowOrderReport {
    pub(super) original_tokens_per_s: f64,
    pub(super) modality_first_tokens_per_s: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct ImageReport {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) tokens: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct LimitsReport {
    pub(super) int8_ops_per_s: f64,
    pub(super) bf16_ops_per_s: Option<f64>,
    pub(super) f32_ops_per_s: f64,
    pub(super) read_bytes_per_s: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct PhaseReport {
    pub(super) name: &'static str,
    pub(super) total_s: f64,
    pub(super) arithmetic: &'static str,
    pub(super) ops_per_s: f64,
    /// Of the limit for this arithmetic.
    pub(super) ops_fraction: Option<f64>,
    pub(super) product_ops_per_s: f64,
    pub(super) product_ops_fraction: Option<f64>,
    pub(super) bytes_per_s: f64,
    pub(super) bytes_fraction: Option<f64>,
    pub(super) kinds: Vec<KindReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct KindReport {
    pub(super) name: &'static str,
    pub(super) total_s: f64,
    /// Of the phase's time.
    pub(super) fraction: f64,
    pub(super) ops: f64,
    pub(super) bytes: f64,
}

impl<'a> Report<'a> {
    pub(super) fn new(model: &'a str, measured: Measured<'_>) -> Self {
        let Measured { workload, figures, row_order, limits, load_s, peak_rss_bytes } = measured;
        let phases = [
            ("vision", figures.vision.as_ref()),
            ("prefill", Some(&figures.prefill)),
            ("decode", figures.decode.as_ref()),
        ];
        let phase = |(name, phase): (&'static str, Option<&Phase>)| Some(PhaseReport::new(name, phase?, limits));
        Self {
            model,
            threads: figures.threads,
            cpu: figures.level.name(),
            row_order: row_order.name(),
            prompt_tokens: workload.prompt_tokens,
            image: workload.image.map(|(width, height)| ImageReport { width, height, tokens: figures.image_tokens }),
            generate: workload.generate,
            batch: workload.batch,
            repeat: workload.repeat,
            load_s,
            vision_s: figures.vision_s,
            first_token_s: figures.first_token_s,
            prefill_tokens_per_s: figures.prefill_tokens_per_s,
            prefill_by_row_order: figures.row_orders.map(RowOrderReport::new),
            decode_tokens_per_s: figures.decode_tokens_per_s,
            decode_sequence_tokens_per_s: figures.decode_tokens_per_s.map(|rate| rate / workload.batch as f64),
            peak_rss_bytes,
            limits: limits.map(LimitsReport::new),
            phases: phases.into_iter().filter_map(phase).collect(),
        }
    }
}

impl RowOrderReport {
    fn new(prefill: OrderedPrefill) -> Self {
        let OrderedPrefill { original_tokens_per_s, modality_first_tokens_per_s } = prefill;
        Self { original_tokens_per_s, modality_first_tokens_per_s }
    }
}

impl LimitsReport {
    fn new(limits: &Limits) -> Self {
        let Limits { int8_ops_per_s, bf16_ops_per_s, f32_ops_per_s, read_bytes_per_s, .. } = *limits;
        Self { int8_ops_per_s, bf16_ops_per_s, f32_ops_per_s, read_bytes_per_s }
    }
}

impl PhaseReport {
    fn new(name: &'static str, phase: &Phase, limits: Option<&Limits>) -> Self {
        let rates = phase.rates();
        let (arithmetic, most) = match rates.arithmetic {
            Arithmetic::Int8 => ("int8", limits.map(|limits| limits.int8_ops_per_s)),
            Arithmetic::F32 => ("f32", limits.map(|limits| limits.f32_ops_per_s)),
        };
        // Without room to measure in there is no limit.
        let read = limits.map(|limits| limits.read_bytes_per_s).filter(|read| *read > 0.0);
        let kind = |kind: Kind| {
            let spent = phase.spent(kind);
            let fraction = spent.seconds / phase.seconds;
            KindReport { name: kind.name(), total_s: spent.seconds, fraction, ops: spent.ops, bytes: spent.bytes }
        };
        Self {
            name,
            total_s: phase.seconds,
            arithmetic,
            ops_per_s: rates.ops_per_s,
            ops_fraction: most.map(|most| rates.ops_per_s / most),
            product_ops_per_s: rates.product_ops_per_s,
            product_ops_fraction: most.map(|most| rates.product_ops_per_s / most),
            bytes_per_s: rates.bytes_per_s,
            bytes_fraction: read.map(|read| rates.bytes_per_s / read),
            kinds: Kind::ALL.into_iter().map(kind).collect(),
        }
    }
}
