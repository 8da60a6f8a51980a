//! A site: one activation tensor together with the linears that read it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use mquant_kernels::{Hadamard, Product, QuantRows, RowScales, RowSteps, Rows, Sink, Source, Then};

use super::{Cx, InputQuant, Linear, Norm, Weight};

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

/// One activation and the `N` linears that read it: normalise, rotate, quantise, multiply.
#[derive(Clone, Debug)]
pub struct Site<const N: usize> {
    /// Its name.
    pub id: SiteId,
    /// The norm in front, if the activation comes from a residual stream.
    pub norm: Option<Norm>,
    /// Online rotation of what the linears read (QuaRot's R4).
    pub rotation: Option<Arc<Hadamard>>,
    /// How the activation is quantised; if it is, every linear has integer weights.
    pub input: InputQuant,
    /// What reads the activation; all have the same inputs.
    pub linears: [Linear; N],
}

/// An activation as the linears of a site read it.
enum Activation<'a> {
    Float(Cow<'a, Rows>),
    Codes(QuantRows),
}

impl<const N: usize> Site<N> {
    /// A site in f32 without rotation.
    pub fn float(id: SiteId, norm: Option<Norm>, linears: [Linear; N]) -> Self {
        Self { id, norm, rotation: None, input: InputQuant::Float, linears }
    }

    /// Rows × features in, rows × outputs of each linear out.
    pub fn forward(&self, source: Source<'_>, cx: &mut Cx<'_>) -> [Rows; N] {
        match self.read(source, cx) {
            Activation::Float(x) => self.linears.each_ref().map(|linear| on_rows(linear, &x, cx)),
            Activation::Codes(x) => {
                let mut out = self.linears.each_ref().map(|l| Rows::for_overwrite(x.rows(), l.weight.rows()));
                let mut sinks = out.iter_mut();
                let mut products = self
                    .linears
                    .each_ref()
                    .map(|linear| product(linear, Sink::Write(sinks.next().expect("one result for each linear"))));
                cx.backend.multiply(&x, &mut products);
                out
            }
        }
    }

    fn steps(&self) -> RowSteps<'_> {
        RowSteps { norm: self.norm.as_ref().map(Norm::step), rotation: self.rotation.as_deref() }
    }

    /// The activation as the linears read it.
    fn read<'s>(&self, source: Source<'s>, cx: &mut Cx<'_>) -> Activation<'s> {
        let steps = self.steps();
        if self.input == InputQuant::Float || cx.is_watched() {
            let x = match source {
                Source::Rows(x) if steps.norm.is_none() && steps.rotation.is_none() => Cow::Borrowed(x),
                _ => Cow::Owned(cx.backend.prepare(source, steps)),
            };
            cx.observe(self.id, &x);
            if self.input == InputQuant::Float {
                return Activation::Float(x);
            }
            return Activation::Codes(self.quantize(Source::Rows(&x), RowSteps::default(), cx));
        }
        Activation::Codes(self.quantize(source, steps, cx))
    }

    fn quantize(&self, source: Source<'_>, steps: RowSteps<'_>, cx: &mut Cx<'_>) -> QuantRows {
        let repeat = self.norm.as_ref().map_or(1, |norm| norm.repeat);
        let mut row_scales = std::mem::take(&mut cx.row_scales);
        match &self.input {
            InputQuant::Float | InputQuant::PerToken => {}
            InputQuant::PerTensor(scale) => {
                row_scales.clear();
                row_scales.resize(cx.pass.spans.rows() / repeat, *scale);
            }
            InputQuant::PerModality(scales) => scales.rows(&cx.pass.spans, repeat, &mut row_scales),
        }
        let scales = match self.input {
            InputQuant::PerToken => RowScales::PerToken,
            _ => RowScales::Static(&row_scales),
        };
        let codes = cx.backend.quantize(source, steps, scales);
        cx.row_scales = row_scales;
        codes
    }
}

impl Site<1> {
    /// [`Site::forward`] of the only linear.
    pub fn one(&self, source: Source<'_>, cx: &mut Cx<'_>) -> Rows {
        let [y] = self.forward(source, cx);
        y
    }

    /// Adds what [`one`](Self::one) gives to `sum`, a residual stream.
    pub fn add_to(&self, source: Source<'_>, sum: &mut Rows, cx: &mut Cx<'_>) {
        let [linear] = &self.linears;
        match self.read(source, cx) {
            Activation::Float(x) => sum.add(&on_rows(linear, &x, cx)),
            Activation::Codes(x) => cx.backend.multiply(&x, &mut [product(linear, Sink::Add(sum))]),
        }
    }
}

fn on_rows(linear: &Linear, x: &Rows, cx: &Cx<'_>) -> Rows {
    match &linear.weight {
        Weight::Float(w) => cx.backend.linear(x, w, linear.bias.as_deref()),
        Weight::Int(w) => cx.backend.linear_weight_only(x, w, linear.bias.as_deref()),
    }
}

fn product<'a>(linear: &'a Linear, sink: Sink<'a>) -> Product<'a> {
    match &linear.weight {
        Weight::Int(weight) => Product { weight, bias: linear.bias.as_deref(), then: Then::Nothing, sink },
        Weight::Float(_) => unreachable!("a site with a quantised input has integer weights"),
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
