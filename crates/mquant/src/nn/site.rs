//! A site: one activation tensor together with the linears that read it.

use std::borrow::Cow;
use std::fmt;

use mquant_kernels::Rows;

use super::{Cx, Linear, Norm};

/// A stack of blocks with a residual stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tower {
    /// Images and videos.
    Vision,
    /// Sound.
    Audio,
    /// The decoder.
    Language,
}

/// The four sites of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockSite {
    /// Read by the query, key and value projections.
    Qkv,
    /// What attention gives, read by the output projection.
    Out,
    /// Read by the MLP's first projections.
    Up,
    /// What the MLP's activation gives, read by its last projection.
    Down,
}

/// The sites of a projector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProjectorSite {
    /// Reads the tower's stream.
    Up,
    /// Writes the decoder's.
    Down,
}

/// The one name of a site, in recipes, reports and files: `vision.patch`, `vision.3.qkv`, `projector.up`, `head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SiteId {
    /// A tower's input.
    Patch(Tower),
    /// A block's.
    Block(Tower, usize, BlockSite),
    /// A projector's.
    Projector(ProjectorSite),
    /// The language model head's.
    Head,
}

impl fmt::Display for Tower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tower::Vision => "vision",
            Tower::Audio => "audio",
            Tower::Language => "language",
        })
    }
}

impl fmt::Display for BlockSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BlockSite::Qkv => "qkv",
            BlockSite::Out => "out",
            BlockSite::Up => "up",
            BlockSite::Down => "down",
        })
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SiteId::Patch(tower) => write!(f, "{tower}.patch"),
            SiteId::Block(tower, block, site) => write!(f, "{tower}.{block}.{site}"),
            SiteId::Projector(ProjectorSite::Up) => f.write_str("projector.up"),
            SiteId::Projector(ProjectorSite::Down) => f.write_str("projector.down"),
            SiteId::Head => f.write_str("head"),
        }
    }
}

/// One activation and the `N` linears that read it: normalise, then multiply.
#[derive(Clone, Debug)]
pub struct Site<const N: usize> {
    /// Its name.
    pub id: SiteId,
    /// The norm in front, if the activation comes from a residual stream.
    pub norm: Option<Norm>,
    /// What reads the activation; all have the same inputs.
    pub linears: [Linear; N],
}

impl<const N: usize> Site<N> {
    /// Rows × features in, rows × outputs of each linear out.
    pub fn forward(&self, x: &Rows, cx: &mut Cx<'_>) -> [Rows; N] {
        let x = match &self.norm {
            Some(norm) => Cow::Owned(norm.forward(x, cx.backend)),
            None => Cow::Borrowed(x),
        };
        cx.observe(self.id, &x);
        self.linears.each_ref().map(|linear| linear.on_rows(&x, cx.backend))
    }
}

impl Site<1> {
    /// [`Site::forward`] of the only linear.
    pub fn one(&self, x: &Rows, cx: &mut Cx<'_>) -> Rows {
        let [y] = self.forward(x, cx);
        y
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_have_the_documented_names() {
        let names = [
            (SiteId::Patch(Tower::Vision), "vision.patch"),
            (SiteId::Block(Tower::Vision, 3, BlockSite::Qkv), "vision.3.qkv"),
            (SiteId::Block(Tower::Language, 27, BlockSite::Down), "language.27.down"),
            (SiteId::Projector(ProjectorSite::Up), "projector.up"),
            (SiteId::Head, "head"),
        ];
        for (id, name) in names {
            assert_eq!(id.to_string(), name);
        }
    }
}
