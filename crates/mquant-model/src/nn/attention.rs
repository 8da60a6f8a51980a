//! Attention between the `qkv` and the `out` site: the only place that knows heads.

use std::ops::Range;

use mquant_kernels::{AttendJob, HeadShape, KeyValues, Mask, NormOf, NormStep, Products, RowPrologue, Rows, SiteInput};

use super::ForwardContext;

/// Which rows of its sequence a row sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// All of them.
    Full,
    /// Those of its window.
    Window,
    /// Itself and those before, by original index; keys and values are remembered.
    Causal,
}

/// RMSNorm of every head of queries and of keys (Qwen3): x / √(mean(x²) + ε) · gain over the features of a head.
#[derive(Clone, Debug)]
pub struct HeadNorms {
    /// Gain of the queries' heads.
    pub q: Vec<f32>,
    /// Gain of the keys' heads.
    pub k: Vec<f32>,
    /// Added to the mean square.
    pub eps: f32,
}

/// Head norms, rotary embedding, cache, mask, softmax.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Numbers of heads and their width.
    pub shape: HeadShape,
    /// Norms of queries and keys, if they have any.
    pub head_norms: Option<HeadNorms>,
    /// Who sees whom.
    pub visibility: Visibility,
    /// How products are computed: in f32 for the float model.
    pub products: Products,
    /// Index of the block in its tower, and so in the cache.
    pub block: usize,
}

impl Attention {
    /// `q`: rows × (heads · head_dim); `k`, `v`: rows × (kv_heads · head_dim); result like `q`.
    ///
    /// # Panics
    /// If a causal pass does not carry one cache for each sequence.
    pub fn forward(&self, mut q: Rows, mut k: Rows, v: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        let pass = cx.pass;
        if let Some(norms) = &self.head_norms {
            q = norms.heads(q, &norms.q, cx);
            k = norms.heads(k, &norms.k, cx);
        }
        cx.backend.rope(&mut q, &pass.rope);
        cx.backend.rope(&mut k, &pass.rope);
        let jobs: Vec<AttendJob<'_>> = match self.visibility {
            Visibility::Full => within(&pass.sequences, &k, &v),
            Visibility::Window => within(&pass.windows, &k, &v),
            Visibility::Causal => {
                assert_eq!(cx.caches.len(), pass.sequences.len(), "caches and sequences");
                for (cache, rows) in cx.caches.iter_mut().zip(&pass.sequences) {
                    cache.store(cx.backend, self.block, (&k, &v), rows.clone(), &pass.order);
                }
                let rows = pass.sequences.iter().zip(&cx.caches);
                rows.map(|(r, cache)| AttendJob {
                    first_row: r.start,
                    rows: r.len(),
                    kv: cache.layer(self.block),
                    mask: Mask::Causal(&pass.order[r.clone()]),
                })
                .collect()
            }
        };
        cx.backend.attend(&q, self.shape, self.products, &jobs)
    }
}

impl HeadNorms {
    fn heads(&self, x: Rows, gain: &[f32], cx: &ForwardContext<'_>) -> Rows {
        let features = x.features();
        let heads = Rows::from_vec(x.into_vec(), gain.len());
        let norm = NormOf { kind: NormStep::Rms, gain, eps: self.eps, repeat: 1 };
        let steps = RowPrologue { norm: Some(norm), ..RowPrologue::default() };
        Rows::from_vec(cx.backend.row_prologue(SiteInput::Rows(&heads), steps).into_vec(), features)
    }
}

/// Attention among the rows of each range.
fn within<'a>(ranges: &[Range<usize>], k: &'a Rows, v: &'a Rows) -> Vec<AttendJob<'a>> {
    let job = |rows: &Range<usize>| AttendJob {
        first_row: rows.start,
        rows: rows.len(),
        kv: KeyValues::Float { keys: k.range(rows.clone()), values: v.range(rows.clone()) },
        mask: Mask::Full,
    };
    ranges.iter().map(job).collect()
}
