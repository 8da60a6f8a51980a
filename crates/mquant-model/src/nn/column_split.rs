//! Input channels of a site that are computed beside the main product.

use super::InputQuant;

/// Rotation magnitude suppression (MQuant, section 3.2): the channels whose rotated weights or activations stand out have
/// zeros in the main product, so that they stretch neither its weight scales nor its activation scales. Their own product of
/// 8-bit codes is added to the main one, bias included, before an activation function or a residual stream sees the result.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSplit {
    /// Which channels of what the linears read, after the rotation; ascending.
    pub channels: Vec<u32>,
    /// How their activation becomes codes; never `Float`.
    pub input: InputQuant,
}
