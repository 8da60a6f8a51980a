//! Which modality each row of a sequence belongs to.

use std::fmt;
use std::ops::Range;

/// What a row stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Modality {
    /// Everything that is not a media placeholder.
    Text,
    /// Image and video placeholders, and all rows of a vision tower.
    Vision,
    /// Audio placeholders, and all rows of an audio tower.
    Audio,
}

impl fmt::Display for Modality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Modality::Text => "text",
            Modality::Vision => "vision",
            Modality::Audio => "audio",
        })
    }
}

/// Runs of rows of one modality: sorted, gapless, covering all rows; neighbours differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModalitySpans(Vec<(Modality, Range<usize>)>);

impl ModalitySpans {
    /// All `rows` of one modality.
    pub fn uniform(modality: Modality, rows: usize) -> Self {
        let mut spans = Self::default();
        spans.push(modality, rows);
        spans
    }

    /// Adds `rows` rows at the end.
    pub fn push(&mut self, modality: Modality, rows: usize) {
        let start = self.rows();
        match self.0.last_mut() {
            _ if rows == 0 => {}
            Some((last, range)) if *last == modality => range.end += rows,
            _ => self.0.push((modality, start..start + rows)),
        }
    }

    /// Adds the rows `range` of `other` at the end.
    pub fn extend(&mut self, other: &Self, range: Range<usize>) {
        for (modality, rows) in &other.0 {
            let (start, end) = (rows.start.max(range.start), rows.end.min(range.end));
            self.push(*modality, end.saturating_sub(start));
        }
    }

    /// The spans where `merged` consecutive rows have become one.
    ///
    /// # Panics
    /// If a run is not whole groups: a merged row has one modality.
    pub fn regrouped(&self, merged: usize) -> Self {
        let mut out = Self::default();
        for (modality, rows) in &self.0 {
            assert!(rows.len().is_multiple_of(merged), "{} {modality} rows in groups of {merged}", rows.len());
            out.push(*modality, rows.len() / merged);
        }
        out
    }

    /// Rows covered.
    pub fn rows(&self) -> usize {
        self.0.last().map_or(0, |(_, range)| range.end)
    }

    /// The runs.
    pub fn iter(&self) -> impl Iterator<Item = (Modality, Range<usize>)> + '_ {
        self.0.iter().cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_join_and_cut() {
        let mut spans = ModalitySpans::default();
        for (m, n) in [
            (Modality::Text, 2),
            (Modality::Text, 1),
            (Modality::Vision, 4),
            (Modality::Text, 0),
            (Modality::Vision, 1),
        ] {
            spans.push(m, n);
        }
        assert_eq!(spans.iter().collect::<Vec<_>>(), [(Modality::Text, 0..3), (Modality::Vision, 3..8)]);
        let mut part = ModalitySpans::uniform(Modality::Vision, 1);
        part.extend(&spans, 2..6);
        let want = [(Modality::Vision, 0..1), (Modality::Text, 1..2), (Modality::Vision, 2..5)];
        assert_eq!(part.iter().collect::<Vec<_>>(), want);
        assert_eq!(part.rows(), 5);
    }

    #[test]
    fn merged_rows_keep_their_modality() {
        let mut spans = ModalitySpans::uniform(Modality::Vision, 8);
        spans.push(Modality::Audio, 4);
        let merged: Vec<_> = spans.regrouped(4).iter().collect();
        assert_eq!(merged, [(Modality::Vision, 0..2), (Modality::Audio, 2..3)]);
    }

    #[test]
    #[should_panic(expected = "6 vision rows in groups of 4")]
    fn a_group_of_two_modalities_is_refused() {
        ModalitySpans::uniform(Modality::Vision, 6).regrouped(4);
    }
}
