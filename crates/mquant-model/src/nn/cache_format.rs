//! How keys and values are remembered.

/// How keys and values are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheFormat {
    /// In f32.
    Float,
    /// In 8-bit codes, 32 of which share a scale.
    Codes,
}
