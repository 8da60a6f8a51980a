//! Some rows of what sites read, kept for a closer look: no more than their numbers bound, so measuring them costs the same
//! however many samples there are.

use std::collections::{BTreeMap, BTreeSet};

use mquant_kernels::Rows;

use crate::calibrate::statistics::Statistics;
use mquant_model::input::Modality;
use mquant_model::nn::{SiteId, SiteObserver, SiteRows};

/// What was kept of a site, by modality.
pub(super) type SampledByModality = BTreeMap<Modality, Rows>;

/// Keeps rows of the sites it is told of: of each modality some of the first batch that has it, equally far apart.
#[derive(Debug)]
pub(super) struct SampledRows {
    /// Rows of each modality.
    at_most: usize,
    wanted: BTreeSet<SiteId>,
    sites: BTreeMap<SiteId, SampledByModality>,
}

impl SampledRows {
    /// Nothing yet.
    pub(super) fn new(at_most: usize, wanted: impl IntoIterator<Item = SiteId>) -> Self {
        Self { at_most, wanted: wanted.into_iter().collect(), sites: BTreeMap::new() }
    }

    /// Those of a site, which are no longer kept.
    pub(super) fn take(&mut self, site: SiteId) -> SampledByModality {
        self.sites.remove(&site).unwrap_or_default()
    }
}

impl SiteObserver for SampledRows {
    fn observe(&mut self, site: SiteId, x: &Rows, rows: SiteRows<'_>) {
        if !self.wanted.contains(&site) {
            return;
        }
        let mut found: BTreeMap<Modality, Vec<usize>> = BTreeMap::new();
        for (modality, range) in rows.spans.iter() {
            found.entry(modality).or_default().extend(range);
        }
        let kept = self.sites.entry(site).or_default();
        found.retain(|modality, rows| !rows.is_empty() && !kept.contains_key(modality));
        for (modality, rows) in found {
            let count = rows.len().min(self.at_most);
            let mut values = Vec::with_capacity(count * x.features());
            (0..count).for_each(|i| values.extend_from_slice(x.row(rows[i * rows.len() / count])));
            kept.insert(modality, Rows::from_vec(values, x.features()));
        }
    }
}

/// Statistics of all rows, and rows kept.
pub(super) struct Both<'a, 'b>(pub(super) &'a mut Statistics<'b>, pub(super) &'a mut SampledRows);

impl SiteObserver for Both<'_, '_> {
    fn observe(&mut self, site: SiteId, x: &Rows, rows: SiteRows<'_>) {
        self.0.observe(site, x, rows);
        self.1.observe(site, x, rows);
    }
}

#[cfg(test)]
mod tests {
    use mquant_kernels::RopeTable;

    use super::*;
    use mquant_model::input::ModalitySpans;
    use mquant_model::nn::ForwardBatch;

    fn pass(spans: &[(Modality, usize)]) -> ForwardBatch {
        let mut all = ModalitySpans::default();
        spans.iter().for_each(|(modality, rows)| all.push(*modality, *rows));
        let rows = all.rows();
        ForwardBatch {
            sequences: std::iter::once(0..rows).collect(),
            order: (0..rows as u32).collect(),
            spans: all,
            rope: RopeTable::new(1, std::iter::repeat_n(0.0, rows)),
            ..ForwardBatch::default()
        }
    }

    /// Row i holds i, twice.
    fn rows(count: usize) -> Rows {
        Rows::from_vec((0..2 * count).map(|i| (i / 2) as f32).collect(), 2)
    }

    fn first_column(rows: &Rows) -> Vec<f32> {
        (0..rows.rows()).map(|i| rows.row(i)[0]).collect()
    }

    #[test]
    fn every_modality_is_kept_from_the_first_batch_that_has_it() {
        let other = SiteId::patch(mquant_model::nn::Tower::Vision);
        let mut kept = SampledRows::new(3, [SiteId::HEAD]);
        let text = Modality::Text;
        kept.observe(SiteId::HEAD, &rows(2), pass(&[(text, 2)]).rows());
        kept.observe(other, &rows(2), pass(&[(text, 2)]).rows());
        let mixed = pass(&[(text, 1), (Modality::Vision, 3), (text, 1), (Modality::Vision, 4)]);
        kept.observe(SiteId::HEAD, &rows(9), mixed.rows());
        kept.observe(SiteId::HEAD, &rows(9), mixed.rows());
        assert!(kept.take(other).is_empty());
        let found = kept.take(SiteId::HEAD);
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [text, Modality::Vision]);
        assert_eq!(first_column(&found[&text]), [0.0, 1.0]);
        // Of rows 1, 2, 3, 5, 6, 7, 8 those at 0, 2 and 4.
        assert_eq!(first_column(&found[&Modality::Vision]), [1.0, 3.0, 6.0]);
        assert!(kept.take(SiteId::HEAD).is_empty());
    }

    #[test]
    fn a_merger_makes_one_row_of_several() {
        let mut kept = SampledRows::new(8, [SiteId::HEAD]);
        let pass = pass(&[(Modality::Vision, 12)]);
        let spans = pass.spans.regrouped(4);
        kept.observe(SiteId::HEAD, &rows(3), SiteRows { spans: &spans, pass: &pass });
        assert_eq!(first_column(&kept.take(SiteId::HEAD)[&Modality::Vision]), [0.0, 1.0, 2.0]);
    }
}
