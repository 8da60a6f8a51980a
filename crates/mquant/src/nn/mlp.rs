//! The first half of an MLP: what leads to the `down` site.

use mquant_kernels::{Activation, Rows};

use super::{Cx, Site};

/// Gated or plain.
#[derive(Clone, Debug)]
pub enum Up {
    /// f(gate·x) · (up·x); the site's linears are gate, up.
    Gated(Site<2>, Activation),
    /// f(up·x).
    Plain(Site<1>, Activation),
}

impl Up {
    /// Rows × features in, rows × intermediate features out.
    pub fn forward(&self, x: &Rows, cx: &mut Cx<'_>) -> Rows {
        match self {
            Up::Gated(site, f) => {
                let [mut gate, up] = site.forward(x, cx);
                cx.backend.activate_gated(*f, &mut gate, &up);
                gate
            }
            Up::Plain(site, f) => {
                let mut y = site.one(x, cx);
                cx.backend.activate(*f, &mut y);
                y
            }
        }
    }
}
