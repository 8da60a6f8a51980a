//! Attention between the `qkv` and the `out` site: the only place that knows heads.

use std::ops::Range;

use mquant_kernels::{AttendJob, HeadShape, KeyValues, Mask, Products, Rows};

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

/// Rotary embedding, cache, mask, softmax.
#[derive(Clone, Debug)]
pub struct Attention {
    /// Numbers of heads and their width.
    pub shape: HeadShape,
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
