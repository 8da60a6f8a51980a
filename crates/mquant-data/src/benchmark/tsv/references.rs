//! Cells of pictures and sounds that name other rows.
//!
//! VLMEvalKit looks a reference up among all rows by their index, of several rows with one index the last; a reference to a row
//! that refers on itself works there if that row comes first, and here in any order.

use std::collections::HashMap;

use super::MediumAt;
use crate::benchmark::BenchmarkError;
use crate::benchmark::forms::Form;
use crate::benchmark::media::Kind;
use crate::benchmark::survey::{Kept, Problem, Survey};
use mquant_model::excerpt::quoted;

/// References that lead to references.
const DEPTH: usize = 16;
/// Pictures and sounds of one row.
const MAX_MEDIA: usize = 4096;

/// A picture or sound of a row before references are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Own(MediumAt),
    /// The index of another row, in that column.
    Reference {
        kind: Kind,
        column: usize,
        index: String,
    },
}

/// Every row with the places of its pictures and sounds; rows with references to nothing are left out.
pub(super) fn resolved(survey: Survey<Vec<Part>>, form: &Form) -> Result<Survey<Vec<MediumAt>>, BenchmarkError> {
    let Survey { kept, skipped, without_media, .. } = survey;
    let by_index: HashMap<&str, &[Part]> =
        kept.iter().map(|kept| (kept.question.index.as_str(), kept.place.as_slice())).collect();
    let places: Vec<Result<Vec<MediumAt>, Problem>> = kept
        .iter()
        .map(|kept| {
            let mut found = Vec::new();
            for part in &kept.place {
                let column = match part {
                    Part::Own(_) => None,
                    Part::Reference { column, .. } => Some(*column),
                };
                follow(part, &by_index, 0, &mut found).map_err(|reason| match column {
                    Some(column) => Problem::at(form, column, reason),
                    None => Problem(reason),
                })?;
            }
            Ok(found)
        })
        .collect();
    let mut survey = Survey::new(survey.file);
    (survey.skipped, survey.without_media) = (skipped, without_media);
    for (Kept { row, question, .. }, place) in kept.into_iter().zip(places) {
        match place {
            Ok(place) => survey.keep(row, question, place)?,
            Err(problem) => survey.skip(row, problem)?,
        }
    }
    Ok(survey)
}

fn follow(
    part: &Part,
    by_index: &HashMap<&str, &[Part]>,
    depth: usize,
    found: &mut Vec<MediumAt>,
) -> Result<(), String> {
    match part {
        Part::Own(at) => found.push(at.clone()),
        Part::Reference { kind, index, .. } => {
            let told = || {
                let name = kind.name();
                format!("expected a {name} in base64 or the index of a row that has one, found {}", quoted(index))
            };
            if depth == DEPTH {
                return Err(format!("{}: these rows refer to one another", told()));
            }
            let named = by_index.get(index.as_str()).ok_or_else(told)?;
            let mut there = named.iter().filter(|part| part.kind() == *kind).peekable();
            if there.peek().is_none() {
                return Err(told());
            }
            for part in there {
                follow(part, by_index, depth + 1, found)?;
            }
        }
    }
    if found.len() > MAX_MEDIA {
        return Err(format!("expected at most {MAX_MEDIA} pictures and sounds, found more"));
    }
    Ok(())
}

impl Part {
    fn kind(&self) -> Kind {
        match self {
            Part::Own(at) => at.kind,
            Part::Reference { kind, .. } => *kind,
        }
    }
}
