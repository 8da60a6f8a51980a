//! The parts a model is made of. Rows enter, rows leave; heads and images exist only inside attention and patchify.
//!
//! A matmul happens only inside a [`Site`]: one activation tensor together with the linears that read it. What happens
//! there follows from the data in the site, so one `forward` serves every precision. Every [`Part`] restates its `forward`
//! as readers, writers and pairs; a law test proves that they tell the truth.

mod spans;
mod linear;
mod norm;
mod input_quant;
mod column_split;
mod modality_gains;
mod branch;
mod site_id;
mod site;
mod forward_batch;
mod rope;
mod cache_format;
mod kv_cache;
mod attention;
mod mlp;
mod block;
mod projector;
mod part;
mod patch_embed;
mod audio_embed;
mod pooled_projector;
mod encoder;
mod decoder;

pub use attention::{Attention, HeadNorms, Visibility};
pub use audio_embed::AudioEmbed;
pub use block::Block;
pub use branch::Branch;
pub use cache_format::CacheFormat;
pub use column_split::ColumnSplit;
pub use decoder::{Decoder, Embedding, Head};
pub use encoder::{Encoder, side_by_side};
pub use forward_batch::{Deepstack, ForwardBatch, ForwardContext, ObserverRef, SiteObserver, SiteRows, reborrow};
pub use input_quant::{InputQuant, ModalityScales};
pub use kv_cache::KvCache;
pub use linear::{Linear, Weight};
pub use mlp::Up;
pub use modality_gains::ModalityGains;
pub use norm::{Norm, NormKind};
pub use part::{Layer, Output, Part, Reader, ScalePair, SiteMut, Stream, Writer};
pub use patch_embed::PatchEmbed;
pub use pooled_projector::PooledProjector;
pub use projector::Projector;
pub use rope::{Position, Rope};
pub use site::Site;
pub use site_id::{PartId, SiteId, SiteKind, Stage, Tower};
pub use spans::{Modality, ModalitySpans};
