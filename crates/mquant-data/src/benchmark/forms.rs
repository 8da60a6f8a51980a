//! Which column of a published file means what.
//!
//! One table for all files, after what the evaluation kits read: VLMEvalKit's tables, and the tasks of lmms-eval for
//! TextVQA, VizWiz (`question_id`, `answers`), DocVQA, InfoVQA (`questionId`, `answers`), ChartQA (`type`), OCRBench
//! (`dataset`, `question_type`, a list as `answer`), MME (`question_id`, `category`), MMMU (`id`, `options` as a literal,
//! `image_1` to `image_7`), MMBench (`A` to `E`, `hint`, `category`), ScienceQA (`choices`, a number as `answer`) and
//! MathVista (`decoded_image` beside a path as `image`).

use super::BenchmarkError;
use mquant_model::excerpt::quoted;

/// Headings of each meaning, the first that is there is taken.
const INDEX: &[&str] = &["index", "question_id", "questionId", "id", "pid"];
const QUESTION: &[&str] = &["question"];
const ANSWERS: &[&str] = &["answers", "answer"];
const OPTIONS: &[&str] = &["options", "choices"];
const HINT: &[&str] = &["hint"];
const CATEGORY: &[&str] = &["category", "question_type", "type", "dataset"];
const PICTURES: &[&str] = &["decoded_image", "image", "images"];
/// Before a number, where each picture has a column of its own.
const NUMBERED_PICTURE: &str = "image_";
const PICTURE_PATHS: &[&str] = &["image_path"];

/// What stands for nothing in a text cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// As pandas reads tables.
    Pandas,
    /// As tables were stored after pandas had read them.
    Nan,
}

/// Words that pandas takes for nothing.
const PANDAS_NOTHING: &[&str] = &[
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
];

impl Nothing {
    /// Whether a cell of that text is taken for empty.
    pub(super) fn is(self, text: &str) -> bool {
        match self {
            Nothing::Pandas => PANDAS_NOTHING.contains(&text),
            Nothing::Nan => matches!(text, "" | "nan"),
        }
    }
}

/// Where the columns of one file are.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) headings: Vec<String>,
    pub(super) question: usize,
    pub(super) index: Option<usize>,
    pub(super) answers: Option<usize>,
    pub(super) options: Option<usize>,
    /// Options with a column each.
    pub(super) letters: Vec<(char, usize)>,
    pub(super) hint: Option<usize>,
    pub(super) category: Option<usize>,
    /// Pictures themselves, in order; empty where there are paths alone.
    pub(super) pictures: Vec<usize>,
    /// Paths of pictures, where there are no pictures.
    pub(super) paths: Option<usize>,
    pub(super) nothing: Nothing,
}

impl Form {
    /// Finds the columns by their headings.
    ///
    /// # Errors
    /// Without questions or pictures, or with two columns of one name.
    pub(super) fn find(headings: Vec<String>, nothing: Nothing, file: &str) -> Result<Self, BenchmarkError> {
        for (i, heading) in headings.iter().enumerate() {
            if headings[..i].contains(heading) {
                return Err(BenchmarkError::ColumnTwice {
                    file: file.to_owned(),
                    column: mquant_model::excerpt::excerpt(heading),
                });
            }
        }
        let at = |names: &[&str]| names.iter().find_map(|name| headings.iter().position(|heading| heading == name));
        let missing = |column| BenchmarkError::ColumnMissing {
            file: file.to_owned(),
            column,
            found: quoted(&headings.join(", ")),
        };
        let numbered = |heading: &String| heading.strip_prefix(NUMBERED_PICTURE)?.parse::<u16>().ok();
        let pictures = match at(PICTURES) {
            Some(one) => vec![one],
            None => {
                let mut all: Vec<(u16, usize)> =
                    headings.iter().enumerate().filter_map(|(i, heading)| Some((numbered(heading)?, i))).collect();
                all.sort_unstable();
                all.into_iter().map(|(_, i)| i).collect()
            }
        };
        let question = at(QUESTION).ok_or_else(|| missing(QUESTION[0]))?;
        let paths = if pictures.is_empty() { Some(at(PICTURE_PATHS).ok_or_else(|| missing("image"))?) } else { None };
        let letter = |(i, heading): (usize, &String)| match heading.as_bytes() {
            [letter @ b'A'..=b'Z'] => Some((char::from(*letter), i)),
            _ => None,
        };
        let options = at(OPTIONS);
        let mut letters: Vec<(char, usize)> = match options {
            Some(_) => Vec::new(),
            None => headings.iter().enumerate().filter_map(letter).collect(),
        };
        letters.sort_unstable();
        let [index, answers, hint, category] = [INDEX, ANSWERS, HINT, CATEGORY].map(at);
        Ok(Self { question, index, answers, options, letters, hint, category, pictures, paths, nothing, headings })
    }

    /// A column's heading, fit for a message.
    pub(super) fn heading(&self, column: usize) -> String {
        self.headings.get(column).map_or_else(String::new, |heading| mquant_model::excerpt::excerpt(heading))
    }
}
