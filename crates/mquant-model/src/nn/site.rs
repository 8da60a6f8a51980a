//! A site: one activation tensor together with the linears that read it.

use std::borrow::Cow;
use std::sync::Arc;

use mquant_kernels::{
    Epilogue, Hadamard, OutlierColumns, Output, PackedWeight, Product, QuantRows, RowBranch, RowGains, RowPrologue,
    Rows, SiteInput,
};

use super::{Branch, ColumnSplit, ForwardContext, InputQuant, Linear, ModalityGains, Norm, SiteId, Weight};

/// One activation and the `N` linears that read it: normalise, rotate, quantise, multiply.
#[derive(Clone, Debug)]
pub struct Site<const N: usize> {
    /// Its name.
    pub id: SiteId,
    /// The norm in front, if the activation comes from a residual stream.
    pub norm: Option<Norm>,
    /// What rows of some modalities are multiplied by, behind the norm and in front of the rotation; only with an RMSNorm that
    /// regroups nothing, or without a norm.
    pub gains: Option<ModalityGains>,
    /// Online rotation of what the linears read (QuaRot's R4). If it has more features than the activation, rows are filled up
    /// with zeros, and the linears have as many inputs.
    pub rotation: Option<Arc<Hadamard>>,
    /// Input channels computed beside the main product; only where the activation is quantised. Every linear then has side
    /// codes for them, and they are nothing in its main product.
    pub split: Option<ColumnSplit>,
    /// What is added to the results of some rows; every linear has a second half for each. Only where weights are codes.
    pub branches: Vec<Branch>,
    /// How the activation is quantised; if it is, every linear has integer weights.
    pub input: InputQuant,
    /// What reads the activation; all have the same inputs.
    pub linears: [Linear; N],
}

/// An activation as the linears of a site read it.
pub(super) enum Read<'a> {
    Float(Cow<'a, Rows>),
    Codes(QuantRows),
}

impl<const N: usize> Site<N> {
    /// A site in f32 without rotation.
    pub fn float(id: SiteId, norm: Option<Norm>, linears: [Linear; N]) -> Self {
        Self {
            id,
            norm,
            gains: None,
            rotation: None,
            split: None,
            branches: Vec::new(),
            input: InputQuant::Float,
            linears,
        }
    }

    /// Rows × features in, rows × outputs of each linear out.
    pub fn forward(&self, source: SiteInput<'_>, cx: &mut ForwardContext<'_>) -> [Rows; N] {
        match self.read(source, cx) {
            Read::Float(x) => self.of_rows(&x, cx),
            Read::Codes(x) => self.of_codes(&x, cx),
        }
    }

    /// Results of an activation that came as codes.
    pub(super) fn of_codes(&self, x: &QuantRows, cx: &ForwardContext<'_>) -> [Rows; N] {
        let mut out = self.linears.each_ref().map(|l| Rows::for_overwrite(x.rows(), l.weight.rows()));
        let mut outputs = out.iter_mut();
        let mut products = self.linears.each_ref().map(|linear| {
            product(linear, Epilogue::Nothing, Output::Write(outputs.next().expect("one result for each linear")))
        });
        cx.backend.multiply(x, &mut products);
        out
    }

    /// Results of an activation that is in f32 and has passed all steps.
    pub(super) fn of_rows(&self, x: &Rows, cx: &ForwardContext<'_>) -> [Rows; N] {
        let mut results = self.linears.each_ref().map(|linear| on_rows(linear, x, cx));
        for (i, branch) in self.branches.iter().enumerate() {
            for rows in branch.rows(cx.spans()) {
                let own = Rows::from_vec(x.range(rows.clone()).to_vec(), x.features());
                let hidden = cx.backend.linear_weight_only(&own, &branch.weight, None);
                for (linear, result) in self.linears.iter().zip(&mut results) {
                    let added = cx.backend.linear_weight_only(&hidden, &linear.branches[i], None);
                    for (row, added) in rows.clone().zip((0..added.rows()).map(|row| added.row(row))) {
                        result.row_mut(row).iter_mut().zip(added).for_each(|(y, added)| *y += added);
                    }
                }
            }
        }
        results
    }

    /// The activation as the linears read it.
    pub(super) fn read<'s>(&self, source: SiteInput<'s>, cx: &mut ForwardContext<'_>) -> Read<'s> {
        let (norm, rotation) = (self.norm.as_ref().map(Norm::step), self.rotation.as_deref());
        let Some(gains) = self.gains.as_ref().filter(|gains| gains.has_some(cx.spans())) else {
            return self.read_through(source, RowPrologue { norm, gains: None, rotation }, cx);
        };
        let mut of_row = std::mem::take(&mut cx.gain_rows);
        ModalityGains::fill(cx.spans(), &mut of_row);
        let gains = Some(RowGains { vectors: &gains.vectors(), of_row: &of_row });
        let read = self.read_through(source, RowPrologue { norm, gains, rotation }, cx);
        cx.gain_rows = of_row;
        read
    }

    fn read_through<'s>(&self, source: SiteInput<'s>, steps: RowPrologue<'_>, cx: &mut ForwardContext<'_>) -> Read<'s> {
        if self.input == InputQuant::Float || cx.is_watched() {
            let x = match source {
                SiteInput::Rows(x) if steps.is_empty() => Cow::Borrowed(x),
                _ => Cow::Owned(cx.backend.row_prologue(source, steps)),
            };
            cx.observe(self.id, &x);
            if self.input == InputQuant::Float {
                return Read::Float(x);
            }
            return Read::Codes(self.quantize(SiteInput::Rows(&x), RowPrologue::default(), cx));
        }
        Read::Codes(self.quantize(source, steps, cx))
    }

    fn quantize(&self, source: SiteInput<'_>, steps: RowPrologue<'_>, cx: &mut ForwardContext<'_>) -> QuantRows {
        let rows = source.rows() / steps.norm.map_or(1, |norm| norm.repeat);
        let row_scales = self.row_scales(rows, cx);
        let mut side_scales = std::mem::take(&mut cx.side_scales);
        let split = self.split.as_ref().map(|ColumnSplit { channels, input }| {
            input.fill(rows, cx.spans(), &mut side_scales);
            OutlierColumns { channels, scales: input.scales(&side_scales) }
        });
        let mut codes = cx.backend.quantize(source, steps, self.input.scales(&row_scales), split);
        (cx.row_scales, cx.side_scales) = (row_scales, side_scales);
        self.attach_branches(&mut codes, cx);
        codes
    }

    /// Computes the first halves of the branches that have rows.
    pub(super) fn attach_branches(&self, x: &mut QuantRows, cx: &ForwardContext<'_>) {
        if !Branch::any_of(&self.branches, cx.spans()) {
            return;
        }
        let rows: Vec<_> = self.branches.iter().map(|branch| branch.rows(cx.spans())).collect();
        let branches = self.branches.iter().zip(&rows);
        let branches: Vec<_> = branches.map(|(branch, rows)| RowBranch { weight: &branch.weight, rows }).collect();
        cx.backend.branch(x, &branches);
    }

    /// The static scale of each of the `rows` the linears read, in room taken from `cx`; nothing where scales are not static.
    pub(super) fn row_scales(&self, rows: usize, cx: &mut ForwardContext<'_>) -> Vec<f32> {
        let mut row_scales = std::mem::take(&mut cx.row_scales);
        self.input.fill(rows, cx.spans(), &mut row_scales);
        row_scales
    }

    /// Whether the codes its linears read can be made by whoever makes the activation: static scales, nothing in between.
    pub(super) fn takes_codes(&self, cx: &ForwardContext<'_>) -> bool {
        let is_static = matches!(self.input, InputQuant::PerTensor(_) | InputQuant::PerModality(_));
        let is_plain = self.norm.is_none() && self.rotation.is_none() && self.split.is_none();
        let is_plain = is_plain && self.gains.as_ref().is_none_or(|gains| !gains.has_some(cx.spans()));
        is_static && is_plain && !cx.is_watched()
    }
}

impl Site<1> {
    /// [`Site::forward`] of the only linear.
    pub fn one(&self, source: SiteInput<'_>, cx: &mut ForwardContext<'_>) -> Rows {
        let [y] = self.forward(source, cx);
        y
    }

    /// Adds what [`one`](Self::one) gives to `sum`, a residual stream.
    pub fn add_to(&self, source: SiteInput<'_>, sum: &mut Rows, cx: &mut ForwardContext<'_>) {
        match self.read(source, cx) {
            Read::Float(x) => {
                let [y] = self.of_rows(&x, cx);
                sum.add(&y);
            }
            Read::Codes(x) => self.add_codes(&x, sum, cx),
        }
    }

    /// [`one`](Self::one) of an activation that came as codes.
    pub(super) fn forward_quantized(&self, x: &QuantRows, cx: &ForwardContext<'_>) -> Rows {
        let [y] = self.of_codes(x, cx);
        y
    }

    /// [`add_to`](Self::add_to) of an activation that came as codes.
    pub(super) fn add_codes(&self, x: &QuantRows, sum: &mut Rows, cx: &ForwardContext<'_>) {
        let [linear] = &self.linears;
        cx.backend.multiply(x, &mut [product(linear, Epilogue::Nothing, Output::Add(sum))]);
    }
}

fn on_rows(linear: &Linear, x: &Rows, cx: &ForwardContext<'_>) -> Rows {
    match &linear.weight {
        Weight::Float(w) => cx.backend.linear(x, w, linear.bias.as_deref()),
        Weight::Int(w) => cx.backend.linear_weight_only(x, w, linear.bias.as_deref()),
    }
}

pub(super) fn product<'a>(linear: &'a Linear, epilogue: Epilogue<'a>, output: Output<'a>) -> Product<'a> {
    let (bias, outliers, branches) = (linear.bias.as_deref(), linear.side.as_ref(), &linear.branches);
    Product { weight: codes_of(linear), bias, outliers, branches, epilogue, output }
}

pub(super) fn codes_of(linear: &Linear) -> &PackedWeight {
    match &linear.weight {
        Weight::Int(weight) => weight,
        Weight::Float(_) => unreachable!("a site with a quantised input has integer weights"),
    }
}
