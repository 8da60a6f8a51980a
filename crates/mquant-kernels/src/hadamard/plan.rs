//! Which factors make an order at the least cost.

use super::orders;

/// The factors of `order`, those multiplied out first and largest last among them, then a power of two; none if no product
/// of known orders is it.
pub(super) fn cheapest(order: usize) -> Option<Vec<usize>> {
    if order == 0 {
        return None;
    }
    let mut best = None;
    extend(order, order, &mut Vec::new(), &mut best);
    best.map(|(_, factors)| factors)
}

/// Additions for each value: an order K that is multiplied out takes about K/4, and as many again as sums of fours.
fn cost(factors: &[usize]) -> usize {
    factors.iter().map(|f| if f.is_power_of_two() { f.ilog2() as usize } else { f / 4 + 4 }).sum()
}

/// Tries every product of `chosen` and known orders of at most `most` that makes `rest`.
fn extend(rest: usize, most: usize, chosen: &mut Vec<usize>, best: &mut Option<(usize, Vec<usize>)>) {
    if rest.is_power_of_two() {
        let mut factors = chosen.clone();
        factors.reverse();
        if rest > 1 || factors.is_empty() {
            factors.push(rest);
        }
        if best.as_ref().is_none_or(|(least, _)| cost(&factors) < *least) {
            *best = Some((cost(&factors), factors));
        }
    }
    for factor in (12..=most.min(rest).min(super::LARGEST_DENSE)).step_by(4) {
        if rest.is_multiple_of(factor) && orders::is_known(factor) {
            chosen.push(factor);
            extend(rest / factor, factor, chosen, best);
            chosen.pop();
        }
    }
}
