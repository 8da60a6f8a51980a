//! Where smoothing vectors start in tests; recipes begin with those of `transform::SmoothModalities` in mquant-quantize.

use std::collections::BTreeMap;

use mquant_model::nn::{Linear, Modality};

use super::Vectors;

/// Both magnitudes and their quotient are at least this.
const LEAST: f32 = 1e-5;

/// s_i = max|x_i|^alpha / max|W_i|^alpha over the rows of a modality and over all outputs of all `linears`, alpha = ½ in the
/// paper (section 4.1, equation 12). `absmax`: of each modality, the largest magnitude of each channel.
///
/// Weights that are not float, and channels that they do not have, count as 0.
pub(crate) fn initial(absmax: &BTreeMap<Modality, Vec<f32>>, linears: &[Linear], alpha: f32) -> Vectors {
    let channels = absmax.values().map(Vec::len).max().unwrap_or(0);
    let mut weights = vec![0f32; channels];
    for matrix in linears.iter().filter_map(|linear| linear.weight.float()) {
        let mut row = vec![0f32; matrix.cols()];
        for output in 0..matrix.rows() {
            matrix.read_rows(output..output + 1, &mut row);
            weights.iter_mut().zip(&row).for_each(|(most, w)| *most = most.max(w.abs()));
        }
    }
    let of = |rows: &Vec<f32>| {
        let pairs = rows.iter().zip(&weights);
        pairs.map(|(x, w)| (x.max(LEAST) / w.max(LEAST)).powf(alpha).max(LEAST)).collect()
    };
    absmax.iter().map(|(modality, rows)| (*modality, of(rows))).collect()
}
