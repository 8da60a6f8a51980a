//! The order in which the rows of a pass are computed.
//!
//! Attention-invariant flexible switching (MQuant, section 3.1, equations 4 and 5, and appendix A.2): rows of one modality lie
//! together, so that a site sees one range for each. Positions, modalities and original indices move with the rows; masks and
//! caches go by the original index, so nothing that is computed changes.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use thiserror::Error;

use crate::excerpt::quoted;
use crate::input::{Modality, ModalitySpans};

/// The order in which the rows of a pass are computed. It changes no result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RowOrder {
    /// As in the prompt.
    #[default]
    Original,
    /// Of each sequence first the rows of media, then those of text; each modality in its original order.
    ModalityFirst,
}

/// A name of no row order.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected original or modality-first, found {found}")]
pub struct UnknownRowOrder {
    /// The name, in quotes.
    pub found: String,
}

impl RowOrder {
    /// Every order.
    pub const ALL: [RowOrder; 2] = [RowOrder::Original, RowOrder::ModalityFirst];

    /// Its name, as `FromStr` reads it.
    pub fn name(self) -> &'static str {
        match self {
            RowOrder::Original => "original",
            RowOrder::ModalityFirst => "modality-first",
        }
    }

    /// The runs of a sequence's rows in the order they are computed.
    pub(super) fn runs(self, spans: &ModalitySpans) -> Vec<(Modality, Range<usize>)> {
        let mut runs: Vec<_> = spans.iter().collect();
        if self == RowOrder::ModalityFirst {
            runs.sort_by_key(|(modality, _)| match modality {
                Modality::Vision => 0,
                Modality::Audio => 1,
                Modality::Text => 2,
            });
        }
        runs
    }
}

impl fmt::Display for RowOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RowOrder {
    type Err = UnknownRowOrder;

    fn from_str(name: &str) -> Result<Self, UnknownRowOrder> {
        let found = Self::ALL.into_iter().find(|order| order.name() == name);
        found.ok_or_else(|| UnknownRowOrder { found: quoted(name) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_come_first_and_each_modality_keeps_its_order() {
        let mut spans = ModalitySpans::default();
        for (modality, rows) in [
            (Modality::Text, 3),
            (Modality::Audio, 2),
            (Modality::Vision, 4),
            (Modality::Text, 1),
            (Modality::Vision, 2),
            (Modality::Text, 2),
        ] {
            spans.push(modality, rows);
        }
        let rows = |order: RowOrder| order.runs(&spans).into_iter().flat_map(|(_, rows)| rows).collect::<Vec<_>>();
        assert_eq!(rows(RowOrder::Original), (0..14).collect::<Vec<_>>());
        assert_eq!(rows(RowOrder::ModalityFirst), [5, 6, 7, 8, 10, 11, 3, 4, 0, 1, 2, 9, 12, 13]);
    }

    #[test]
    fn names_lead_back() {
        for order in RowOrder::ALL {
            assert_eq!(order.name().parse(), Ok(order));
        }
        assert_eq!(
            "media".parse::<RowOrder>().unwrap_err().to_string(),
            "expected original or modality-first, found \"media\""
        );
    }
}
