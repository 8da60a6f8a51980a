//! The first layer of an encoder.

use mquant_kernels::{Matrix, Rows, SiteInput};

use super::part::{Layer, Output, Part, SiteMut, Stream, Writer};
use super::{ForwardContext, PartId, Site};

/// The linear that turns pixels of a patch into a row of the tower's stream (a convolution whose stride is its size), and rows of
/// a table of positions that are added to it.
#[derive(Clone, Debug)]
pub struct PatchEmbed {
    /// Which stream it begins.
    pub stream: Stream,
    /// The linear.
    pub site: Site<1>,
    /// Positions × stream features, if there are any.
    pub positions: Option<Matrix>,
}

impl Layer for PatchEmbed {
    /// Rows × pixel values in, rows × stream features out.
    fn forward(&self, x: Rows, cx: &mut ForwardContext<'_>) -> Rows {
        let mut x = self.site.one(SiteInput::Rows(&x), cx);
        if let Some(table) = &self.positions {
            let mut position = vec![0.0; x.features()];
            for (row, of_table) in cx.pass.table_rows.iter().enumerate() {
                for (from, weight) in of_table.iter().filter(|(_, weight)| *weight != 0.0) {
                    table.read_rows(*from as usize..*from as usize + 1, &mut position);
                    x.row_mut(row).iter_mut().zip(&position).for_each(|(x, p)| *x += weight * p);
                }
            }
        }
        x
    }

    fn boxed(&self) -> Box<dyn Layer> {
        Box::new(self.clone())
    }
}

impl Part for PatchEmbed {
    fn id(&self) -> PartId {
        self.site.id.part
    }

    fn sites(&mut self) -> Vec<SiteMut<'_>> {
        vec![SiteMut::of(&mut self.site)]
    }

    fn writers(&mut self) -> Vec<Writer<'_>> {
        let [linear] = &mut self.site.linears;
        let table = self.positions.as_mut().map(|table| Writer { stream: self.stream, output: Output::Table(table) });
        std::iter::once(Writer::linear(self.stream, linear)).chain(table).collect()
    }
}
