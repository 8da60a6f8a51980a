//! Weights changed row by row or column by column, in f64, and rounded to f32 once.

use mquant_kernels::Matrix;
use rayon::prelude::*;

use mquant_model::nn::{Linear, Output, Weight};

/// Columns gathered at once: neighbours in memory.
const COLUMNS: usize = 32;

/// The float weight of a linear.
///
/// # Panics
/// If it has codes: transforms come before quantisation.
pub(super) fn float(linear: &mut Linear) -> &mut Matrix {
    linear.weight.float_mut().expect("transforms come before quantisation")
}

/// Does `f` to every row of a matrix: to what an output has for all inputs, or to an entry of a table.
pub(super) fn map_rows(matrix: &mut Matrix, f: impl Fn(&mut [f64]) + Sync) {
    let cols = matrix.cols();
    matrix.make_mut().par_chunks_mut(cols).for_each_init(Vec::new, |wide, row| {
        wide.clear();
        wide.extend(row.iter().map(|v| f64::from(*v)));
        f(wide);
        row.iter_mut().zip(wide).for_each(|(to, from)| *to = *from as f32);
    });
}

/// Does `f` to every column of a linear's weight, and to its bias: to what leaves it, whatever enters.
pub(super) fn map_outputs(linear: &mut Linear, f: impl Fn(&mut [f64]) + Sync) {
    let matrix = float(linear);
    let (rows, cols) = (matrix.rows(), matrix.cols());
    let values = matrix.make_mut();
    let groups: Vec<(usize, Vec<f32>)> = (0..cols.div_ceil(COLUMNS))
        .into_par_iter()
        .map_init(
            || vec![0f64; rows],
            |wide, group| {
                let (first, end) = (group * COLUMNS, cols.min((group + 1) * COLUMNS));
                let mut done = vec![0f32; (end - first) * rows];
                for (col, done) in (first..end).zip(done.chunks_exact_mut(rows)) {
                    wide.iter_mut().enumerate().for_each(|(row, w)| *w = f64::from(values[row * cols + col]));
                    f(wide);
                    done.iter_mut().zip(&*wide).for_each(|(to, from)| *to = *from as f32);
                }
                (first, done)
            },
        )
        .collect();
    values.par_chunks_mut(cols).enumerate().for_each(|(row, values)| {
        for (first, done) in &groups {
            let columns = done.chunks_exact(rows);
            values[*first..].iter_mut().zip(columns).for_each(|(value, column)| *value = column[row]);
        }
    });
    if let Some(bias) = &mut linear.bias {
        let mut wide: Vec<f64> = bias.iter().map(|b| f64::from(*b)).collect();
        f(&mut wide);
        bias.iter_mut().zip(wide).for_each(|(to, from)| *to = from as f32);
    }
}

/// Does `f` to whatever a writer adds to its stream.
pub(super) fn map_stream(output: Output<'_>, f: impl Fn(&mut [f64]) + Sync) {
    match output {
        Output::Linear(linear) => map_outputs(linear, f),
        Output::Table(table) => map_rows(table, f),
        Output::Map { map, features } => map_outputs(map.get_or_insert_with(|| Linear::identity(features)), f),
    }
}

/// bias ← bias + W·x, with a bias of zeros where there was none.
pub(super) fn add_to_bias(linear: &mut Linear, x: &[f64]) {
    let matrix = float(linear);
    let (rows, cols) = (matrix.rows(), matrix.cols());
    assert_eq!(cols, x.len(), "inputs of a linear");
    let mut row = vec![0f32; cols];
    let sums: Vec<f64> = (0..rows)
        .map(|i| {
            matrix.read_rows(i..i + 1, &mut row);
            row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum()
        })
        .collect();
    let bias = linear.bias.get_or_insert_with(|| vec![0.0; rows]);
    bias.iter_mut().zip(sums).for_each(|(b, sum)| *b = (f64::from(*b) + sum) as f32);
}

/// Appends inputs whose weights are zero.
pub(super) fn pad_inputs(linear: &mut Linear, inputs: usize) {
    let matrix = float(linear);
    let (rows, cols) = (matrix.rows(), matrix.cols());
    if inputs == cols {
        return;
    }
    let mut wide = vec![0f32; rows * inputs];
    for (row, to) in wide.chunks_exact_mut(inputs).enumerate() {
        matrix.read_rows(row..row + 1, &mut to[..cols]);
    }
    linear.weight = Weight::Float(Matrix::from_f32(wide, rows, inputs));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linear(rows: usize, cols: usize) -> Linear {
        let values = (0..rows * cols).map(|i| ((i * 37) % 23) as f32 - 11.0).collect();
        let bias = Some((0..rows).map(|i| i as f32).collect());
        Linear::plain(Weight::Float(Matrix::from_f32(values, rows, cols)), bias)
    }

    #[test]
    fn columns_and_bias_are_mapped_alike() {
        let (rows, cols) = (5, 70);
        let mut changed = linear(rows, cols);
        // A running sum: what happens to a value depends on where it lies in its column.
        let sum = |v: &mut [f64]| (1..v.len()).for_each(|i| v[i] += v[i - 1]);
        map_outputs(&mut changed, sum);
        let before = linear(rows, cols).weight.float().unwrap().to_f32();
        let after = changed.weight.float().unwrap().to_f32();
        for col in 0..cols {
            let mut total = 0.0;
            for row in 0..rows {
                total += before[row * cols + col];
                assert_eq!(after[row * cols + col], total);
            }
        }
        assert_eq!(changed.bias.unwrap(), [0.0, 1.0, 3.0, 6.0, 10.0]);
    }

    #[test]
    fn padding_adds_inputs_that_count_for_nothing() {
        let mut padded = linear(3, 5);
        pad_inputs(&mut padded, 8);
        let (before, after) = (linear(3, 5).weight.float().unwrap().to_f32(), padded.weight.float().unwrap().to_f32());
        for row in 0..3 {
            assert_eq!(after[row * 8..row * 8 + 5], before[row * 5..row * 5 + 5]);
            assert_eq!(after[row * 8 + 5..row * 8 + 8], [0.0; 3]);
        }
    }

    #[test]
    fn a_bias_is_made_where_there_was_none() {
        let mut bare = Linear { bias: None, ..linear(2, 3) };
        add_to_bias(&mut bare, &[1.0, 0.0, -1.0]);
        let w = linear(2, 3).weight.float().unwrap().to_f32();
        assert_eq!(bare.bias.unwrap(), [w[0] - w[2], w[3] - w[5]]);
    }
}
