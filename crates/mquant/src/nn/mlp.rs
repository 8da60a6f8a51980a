//! The first half of an MLP: what leads to the `down` site.

use mquant_kernels::{Activation, Rows, Source};

use super::{Cx, Site};

/// Gated or plain.
#[derive(Clone, Debug)]
pub enum Up {
    /// f(gate·x) · (up·x); the site's linears are gate, up.
    Gated(Site<2>, Activation),
    /// f(up·x).
    Plain(Site<1>, Activation),
}

/// What the first half of an MLP leaves, its activation function still to be applied.
#[derive(Clone, Debug)]
pub enum Hidden {
    /// f(gate) · up.
    Gated(Activation, Rows, Rows),
    /// f(x).
    Plain(Activation, Rows),
}

impl Hidden {
    /// As a site reads it.
    pub fn source(&self) -> Source<'_> {
        match self {
            Hidden::Gated(f, gate, up) => Source::Gated(*f, gate, up),
            Hidden::Plain(f, x) => Source::Activated(*f, x),
        }
    }
}

impl Up {
    /// Rows × features in, rows × intermediate features out.
    pub fn forward(&self, x: &Rows, cx: &mut Cx<'_>) -> Hidden {
        match self {
            Up::Gated(site, f) => {
                let [gate, up] = site.forward(Source::Rows(x), cx);
                Hidden::Gated(*f, gate, up)
            }
            Up::Plain(site, f) => Hidden::Plain(*f, site.one(Source::Rows(x), cx)),
        }
    }
}
