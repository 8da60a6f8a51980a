//! An MLP: down(f(up(x))), gated or plain.

use mquant_kernels::{Activation, Epilogue, Gate, Output, QuantRows, Rows, SiteInput};

use super::site::{Read, codes_of, product};
use super::{ForwardContext, Linear, Site};

/// Gated or plain.
#[expect(clippy::large_enum_variant, reason = "a block has one, and it is as large as its site")]
#[derive(Clone, Debug)]
pub enum Up {
    /// f(gate·x) · (up·x); the site's linears are gate, up.
    Gated(Site<2>, Activation),
    /// f(up·x).
    Plain(Site<1>, Activation),
}

/// What the first half of an MLP leaves for the site of its second half.
pub(super) enum Hidden {
    /// f(gate) · up, still to be computed.
    Gated(Activation, Rows, Rows),
    /// f(x), still to be computed.
    Plain(Activation, Rows),
    /// The activation.
    Rows(Rows),
    /// The activation in the codes that the site reads.
    Codes(QuantRows),
}

impl Hidden {
    /// What site `up`, with activation function `f`, leaves for `down`: rows × intermediate features. Integer products
    /// apply `f` to their results, and quantise them where the scales are static and nothing lies in between.
    pub(super) fn of(up: &Up, down: &Site<1>, x: &Rows, cx: &mut ForwardContext<'_>) -> Self {
        let source = SiteInput::Rows(x);
        match up {
            Up::Gated(site, f) => match site.read(source, cx) {
                Read::Float(x) => {
                    let [gate, up] = site.of_rows(&x, cx);
                    Self::Gated(*f, gate, up)
                }
                // The two side products cannot be told apart in one gated product.
                Read::Codes(x) if site.split.is_some() => {
                    let [gate, up] = site.of_codes(&x, cx);
                    Self::Gated(*f, gate, up)
                }
                Read::Codes(x) => {
                    let [gate, up] = &site.linears;
                    let epilogue = Epilogue::Gate(
                        *f,
                        Gate { weight: codes_of(gate), bias: gate.bias.as_deref(), branches: &gate.branches },
                    );
                    Self::of_codes(&x, up, epilogue, down, cx)
                }
            },
            Up::Plain(site, f) => Self::plain(site, *f, down, source, cx),
        }
    }

    /// [`of`](Self::of) a plain first half.
    pub(super) fn plain(
        up: &Site<1>,
        f: Activation,
        down: &Site<1>,
        source: SiteInput<'_>,
        cx: &mut ForwardContext<'_>,
    ) -> Self {
        let [linear] = &up.linears;
        match up.read(source, cx) {
            Read::Float(x) => {
                let [y] = up.of_rows(&x, cx);
                Self::Plain(f, y)
            }
            Read::Codes(x) => Self::of_codes(&x, linear, Epilogue::Activate(f), down, cx),
        }
    }

    fn of_codes(
        x: &QuantRows,
        linear: &Linear,
        epilogue: Epilogue<'_>,
        down: &Site<1>,
        cx: &mut ForwardContext<'_>,
    ) -> Self {
        if down.takes_codes(cx) {
            let scales = down.row_scales(x.rows(), cx);
            let mut codes = QuantRows::for_overwrite(x.rows(), linear.weight.rows());
            cx.backend.multiply(x, &mut [product(linear, epilogue, Output::Quantize(&scales, &mut codes))]);
            cx.row_scales = scales;
            down.attach_branches(&mut codes, cx);
            return Self::Codes(codes);
        }
        let mut rows = Rows::for_overwrite(x.rows(), linear.weight.rows());
        cx.backend.multiply(x, &mut [product(linear, epilogue, Output::Write(&mut rows))]);
        Self::Rows(rows)
    }

    /// Adds what `down` makes of it to a residual stream.
    pub(super) fn add_through(&self, down: &Site<1>, sum: &mut Rows, cx: &mut ForwardContext<'_>) {
        match self {
            Self::Codes(x) => down.add_codes(x, sum, cx),
            _ => down.add_to(self.source(), sum, cx),
        }
    }

    /// What `down` makes of it.
    pub(super) fn through(&self, down: &Site<1>, cx: &mut ForwardContext<'_>) -> Rows {
        match self {
            Self::Codes(x) => down.forward_quantized(x, cx),
            _ => down.one(self.source(), cx),
        }
    }

    fn source(&self) -> SiteInput<'_> {
        match self {
            Self::Gated(f, gate, up) => SiteInput::Gated(*f, gate, up),
            Self::Plain(f, x) => SiteInput::Activated(*f, x),
            Self::Rows(x) => SiteInput::Rows(x),
            Self::Codes(_) => unreachable!("codes are read as they are"),
        }
    }
}
