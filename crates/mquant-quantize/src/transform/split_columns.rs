//! Which input channels are computed beside the main product (MQuant's rotation magnitude suppression, section 3.2).
//!
//! The first row of a Walsh matrix is constant, so a rotated weight or activation with a mean that is not zero has one
//! channel (several, for orders such as 156 or 172) far larger than the others, which then sets the scale for all. The
//! criterion looks at the rotated weight and the rotated activation as they are, and finds any set of channels.

/// How far a channel may stand out, and how many may be split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ColumnLimits {
    /// A channel is split if it is this many times as large as the largest that stays; more than 1.
    pub ratio: f64,
    /// Channels split at most for their weights, and as many for their activations.
    pub at_most: usize,
}

/// The channels that stand out among the largest magnitudes of the weights' or of the activations' channels, ascending.
///
/// # Panics
/// If there are not as many of both.
pub fn columns_to_split(weights: &[f32], activations: &[f32], limits: ColumnLimits) -> Vec<u32> {
    assert_eq!(weights.len(), activations.len(), "channels of weights and activations");
    let mut channels = standing_out(weights, limits);
    channels.extend(standing_out(activations, limits));
    channels.sort_unstable();
    channels.dedup();
    channels
}

/// The longest run of largest channels, at most as many as allowed, that ends in a fall by the ratio.
fn standing_out(magnitudes: &[f32], limits: ColumnLimits) -> Vec<u32> {
    let mut order: Vec<u32> = (0..magnitudes.len() as u32).collect();
    order.sort_by(|a, b| magnitudes[*b as usize].total_cmp(&magnitudes[*a as usize]).then(a.cmp(b)));
    let at = |i: usize| f64::from(magnitudes[order[i] as usize]);
    let most = limits.at_most.min(order.len().saturating_sub(1));
    let base = if most == 0 { return Vec::new() } else { at(most) };
    // Everything that stands out against what would stay if as many as allowed were taken.
    let count = (0..most).take_while(|i| at(*i) > 0.0 && at(*i) >= limits.ratio * base).count();
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ColumnLimits = ColumnLimits { ratio: 2.0, at_most: 4 };

    #[test]
    fn channels_that_stand_out_are_found_wherever_they_are() {
        let flat: Vec<f32> = (0..64).map(|i| 1.0 + (i % 7) as f32 * 0.05).collect();
        let with = |outliers: &[(usize, f32)]| {
            let mut values = flat.clone();
            outliers.iter().for_each(|(i, v)| values[*i] = *v);
            values
        };
        assert_eq!(columns_to_split(&flat, &flat, LIMITS), Vec::<u32>::new());
        assert_eq!(columns_to_split(&with(&[(0, 9.0)]), &flat, LIMITS), [0]);
        assert_eq!(columns_to_split(&flat, &with(&[(63, 3.0)]), LIMITS), [63]);
        assert_eq!(columns_to_split(&with(&[(5, 4.0), (40, 8.0)]), &with(&[(5, 30.0), (9, 3.0)]), LIMITS), [5, 9, 40]);
    }

    #[test]
    fn many_large_channels_are_no_outliers() {
        // As many again as may be split: taking some leaves the scale where it is.
        let values: Vec<f32> = (0..64).map(|i| if i < 8 { 10.0 } else { 1.0 }).collect();
        assert_eq!(columns_to_split(&values, &values, LIMITS), Vec::<u32>::new());
        assert_eq!(columns_to_split(&[0.0; 8], &[0.0; 8], LIMITS), Vec::<u32>::new());
        assert_eq!(columns_to_split(&[5.0], &[5.0], LIMITS), Vec::<u32>::new());
    }
}
