//! How values in channels are spread: the largest magnitude of every channel, and the tails of them all together.
//!
//! Sums are of pieces of a fixed size, added up in order: the same with any threads.

use mquant_kernels::Rows;
use rayon::prelude::*;

use super::report::Spread;
use super::rounding::rounded;
use mquant_model::nn::Linear;

/// Rows of a piece.
const PIECE: usize = 128;
/// Where among the channels the quantiles are.
const AT: [f64; 6] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.99];
/// Parts of 1 that a kurtosis is rounded to.
const KURTOSIS_STEPS: f64 = 1e3;

/// Rows of channels, wherever they lie.
pub(super) trait Channels: Sync {
    /// Numbers of rows and of channels.
    fn shape(&self) -> (usize, usize);
    /// One row.
    fn read(&self, row: usize, out: &mut [f32]);
}

impl Channels for Rows {
    fn shape(&self) -> (usize, usize) {
        (self.rows(), self.features())
    }

    fn read(&self, row: usize, out: &mut [f32]) {
        out.copy_from_slice(self.row(row));
    }
}

/// Rows are outputs, channels inputs. Codes have none.
impl Channels for [Linear] {
    fn shape(&self) -> (usize, usize) {
        let floats = || self.iter().filter_map(|linear| linear.weight.float());
        (floats().map(|weight| weight.rows()).sum(), floats().map(|weight| weight.cols()).next().unwrap_or(0))
    }

    fn read(&self, row: usize, out: &mut [f32]) {
        let mut row = row;
        for weight in self.iter().filter_map(|linear| linear.weight.float()) {
            if row < weight.rows() {
                return weight.read_rows(row..row + 1, out);
            }
            row -= weight.rows();
        }
    }
}

/// The spread of values without the channels `excluded`.
pub(super) fn spread_of(values: &(impl Channels + ?Sized), excluded: &[u32]) -> Spread {
    let (rows, channels) = values.shape();
    let kept: Vec<u32> = (0..channels as u32).filter(|channel| !excluded.contains(channel)).collect();
    let count = (rows * kept.len()) as f64;
    if count == 0.0 {
        return Spread::default();
    }
    let pieces = 0..rows.div_ceil(PIECE);
    let each_row = |piece: usize, see: &mut dyn FnMut(&[f32])| {
        let mut row = vec![0f32; channels];
        for i in piece * PIECE..rows.min((piece + 1) * PIECE) {
            values.read(i, &mut row);
            if kept.len() < channels {
                kept.iter().enumerate().for_each(|(to, from)| row[to] = row[*from as usize]);
            }
            see(&row[..kept.len()]);
        }
    };
    let firsts: Vec<(Vec<f32>, f64)> = pieces
        .clone()
        .into_par_iter()
        .map(|piece| {
            let (mut largest, mut sum) = (vec![0f32; kept.len()], 0f64);
            each_row(piece, &mut |row| {
                largest.iter_mut().zip(row).for_each(|(most, v)| *most = most.max(v.abs()));
                sum += row.iter().map(|v| f64::from(*v)).sum::<f64>();
            });
            (largest, sum)
        })
        .collect();
    let mut largest = vec![0f32; kept.len()];
    for (of_piece, _) in &firsts {
        largest.iter_mut().zip(of_piece).for_each(|(most, v)| *most = most.max(*v));
    }
    let mean = firsts.iter().map(|(_, sum)| sum).sum::<f64>() / count;
    let moments: Vec<[f64; 2]> = pieces
        .into_par_iter()
        .map(|piece| {
            let mut moments = [0f64; 2];
            each_row(piece, &mut |row| {
                for v in row {
                    let square = (f64::from(*v) - mean).powi(2);
                    moments[0] += square;
                    moments[1] += square * square;
                }
            });
            moments
        })
        .collect();
    let moment = |i: usize| moments.iter().map(|of_piece| of_piece[i]).sum::<f64>() / count;
    let kurtosis = moment(1) / moment(0).powi(2);
    let at = (0..kept.len()).rev().max_by(|a, b| largest[*a].total_cmp(&largest[*b])).unwrap_or(0);
    let max = finite(largest[at]);
    largest.sort_by(f32::total_cmp);
    let quantile = |at: f64| finite(largest[((largest.len() - 1) as f64 * at).round() as usize]);
    Spread {
        max,
        quantiles: AT.map(quantile),
        kurtosis: if kurtosis.is_finite() { rounded(kurtosis, KURTOSIS_STEPS) } else { 0.0 },
        channel: kept[at],
    }
}

/// Weights that are not finite are refused when they are quantised; a report has to be JSON before.
fn finite(value: f32) -> f32 {
    value.min(f32::MAX)
}

#[cfg(test)]
mod tests {
    use mquant_kernels::Matrix;

    use super::*;
    use mquant_model::nn::Weight;

    /// 300 rows of 100 channels; channel c reaches c + 1 in row 7·c mod 300, else values are ±0.25; channel 40 reaches −500.
    fn outlier() -> Rows {
        let value = |row: usize, channel: usize| match (row, channel) {
            (280, 40) => -500.0,
            (row, channel) if row == 7 * channel % 300 => channel as f32 + 1.0,
            (row, channel) if (row + channel).is_multiple_of(2) => 0.25,
            _ => -0.25,
        };
        Rows::from_vec((0..30_000).map(|i| value(i / 100, i % 100)).collect(), 100)
    }

    /// As written in a textbook: one loop in f64 after the other.
    fn kurtosis(values: impl Iterator<Item = f32> + Clone) -> f64 {
        let count = values.clone().count() as f64;
        let mean = values.clone().map(f64::from).sum::<f64>() / count;
        let central = |power: i32| values.clone().map(|v| (f64::from(v) - mean).powi(power)).sum::<f64>() / count;
        central(4) / central(2).powi(2)
    }

    #[test]
    fn an_outlier_is_found_where_it_is() {
        let rows = outlier();
        let spread = spread_of(&rows, &[]);
        assert_eq!((spread.max, spread.channel), (500.0, 40));
        // Of the channels' largest 1, 2, … 100 without 41 and with 500: place round(q · 99).
        assert_eq!(spread.quantiles, [1.0, 26.0, 52.0, 76.0, 91.0, 100.0]);
        let expected = kurtosis(rows.as_slice().iter().copied());
        assert!((spread.kurtosis - expected).abs() <= 0.0005 + 1e-9 * expected, "{} {expected}", spread.kurtosis);
        assert!(expected > 1000.0, "{expected}");
    }

    #[test]
    fn channels_that_are_left_out_count_for_nothing() {
        let rows = outlier();
        let spread = spread_of(&rows, &[2, 40]);
        assert_eq!((spread.max, spread.channel), (100.0, 99));
        assert_eq!(spread.quantiles, [1.0, 26.0, 52.0, 76.0, 90.0, 99.0]);
        let left = rows.as_slice().iter().enumerate().filter(|(i, _)| ![2, 40].contains(&(i % 100)));
        let expected = kurtosis(left.map(|(_, v)| *v));
        assert!((spread.kurtosis - expected).abs() <= 0.0005 + 1e-9 * expected, "{} {expected}", spread.kurtosis);
    }

    #[test]
    fn weights_of_all_linears_count_and_many_threads_do_not() {
        let all = outlier();
        let linear = |rows: std::ops::Range<usize>| {
            let matrix = Matrix::from_f32(all.range(rows.clone()).to_vec(), rows.len(), 100);
            Linear::plain(Weight::Float(matrix), None)
        };
        let linears = [linear(0..3), linear(3..140), linear(140..300)];
        let expected = spread_of(&all, &[]);
        assert_eq!(spread_of(&linears[..], &[]), expected);
        for threads in [1, 2, 3, 5] {
            let pool = mquant_kernels::Threads::new(threads).unwrap();
            assert_eq!(pool.run(|| spread_of(&all, &[])), expected);
        }
    }

    #[test]
    fn nothing_and_the_same_everywhere_have_no_tails() {
        assert_eq!(spread_of(&Rows::zeros(0, 4), &[]), Spread::default());
        let same = spread_of(&Rows::from_vec(vec![2.5; 12], 4), &[]);
        assert_eq!(same, Spread { max: 2.5, quantiles: [2.5; 6], kurtosis: 0.0, channel: 0 });
        assert_eq!(spread_of(&Rows::from_vec(vec![f32::INFINITY, 0.0], 2), &[]).max, f32::MAX);
    }
}
