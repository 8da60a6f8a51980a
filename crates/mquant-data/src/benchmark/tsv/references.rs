//! Picture cells that name other rows.
//!
//! VLMEvalKit looks a reference up among all rows by their index, of several rows with one index the last; a reference to a row
//! that refers on itself works there if that row comes first, and here in any order.

use std::collections::HashMap;

use super::PictureAt;
use crate::benchmark::BenchmarkError;
use crate::benchmark::forms::Form;
use crate::benchmark::survey::{Kept, Problem, Survey};
use mquant_model::excerpt::quoted;

/// References that lead to references.
const DEPTH: usize = 16;
/// Pictures of one row.
const MAX_PICTURES: usize = 4096;

/// A picture of a row before references are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Own(PictureAt),
    /// The index of another row.
    Reference(String),
}

/// Every row with the places of its pictures; rows with references to nothing are left out.
pub(super) fn resolved(survey: Survey<Vec<Part>>, form: &Form) -> Result<Survey<Vec<PictureAt>>, BenchmarkError> {
    let Survey { kept, skipped, without_picture, .. } = survey;
    let by_index: HashMap<&str, &[Part]> =
        kept.iter().map(|kept| (kept.question.index.as_str(), kept.place.as_slice())).collect();
    let places: Vec<Result<Vec<PictureAt>, String>> = kept
        .iter()
        .map(|kept| {
            let mut found = Vec::new();
            follow(&kept.place, &by_index, 0, &mut found).map(|()| found)
        })
        .collect();
    let mut survey = Survey::new(survey.file);
    (survey.skipped, survey.without_picture) = (skipped, without_picture);
    let column = form.pictures.first().copied().unwrap_or_default();
    for (Kept { row, question, .. }, place) in kept.into_iter().zip(places) {
        match place {
            Ok(place) => survey.keep(row, question, place)?,
            Err(reason) => survey.skip(row, Problem::at(form, column, reason))?,
        }
    }
    Ok(survey)
}

fn follow(
    parts: &[Part],
    by_index: &HashMap<&str, &[Part]>,
    depth: usize,
    found: &mut Vec<PictureAt>,
) -> Result<(), String> {
    for part in parts {
        match part {
            Part::Own(at) => found.push(at.clone()),
            Part::Reference(index) => {
                let told = || {
                    format!("expected a picture in base64 or the index of a row that has one, found {}", quoted(index))
                };
                if depth == DEPTH {
                    return Err(format!("{}: these rows refer to one another", told()));
                }
                follow(by_index.get(index.as_str()).ok_or_else(told)?, by_index, depth + 1, found)?;
            }
        }
        if found.len() > MAX_PICTURES {
            return Err(format!("expected at most {MAX_PICTURES} pictures, found more"));
        }
    }
    Ok(())
}
