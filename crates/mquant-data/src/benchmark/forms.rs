//! Which column of a published file means what.
//!
//! One table for all files, after what the evaluation kits read: VLMEvalKit's tables, and the tasks of lmms-eval for
//! TextVQA, VizWiz (`question_id`, `answers`), DocVQA, InfoVQA (`questionId`, `answers`), ChartQA (`type`), OCRBench
//! (`dataset`, `question_type`, a list as `answer`), MME (`question_id`, `category`), MMMU (`id`, `options` as a literal,
//! `image_1` to `image_7`), MMBench (`A` to `E`, `hint`, `category`), ScienceQA (`choices`, a number as `answer`),
//! MathVista (`decoded_image` beside a path as `image`) and LibriSpeech (`audio`, `gt`; on the Hub `text`), whose question is
//! the same everywhere and has no column.

use super::BenchmarkError;
use super::media::Kind;
use mquant_model::excerpt::quoted;

/// Headings of each meaning, the first that is there is taken.
const INDEX: &[&str] = &["index", "question_id", "questionId", "id", "pid"];
const QUESTION: &[&str] = &["question"];
const ANSWERS: &[&str] = &["answers", "answer"];
/// Of transcripts, where the file has sounds.
const TRANSCRIPTS: &[&str] = &["answers", "answer", "gt", "transcription", "transcript", "sentence", "text"];
const OPTIONS: &[&str] = &["options", "choices"];
const HINT: &[&str] = &["hint"];
const CATEGORY: &[&str] = &["category", "question_type", "type", "dataset"];

/// What columns of pictures or sounds are called.
struct Headings {
    own: &'static [&'static str],
    /// Before a number, where each has a column of its own.
    numbered: &'static str,
    paths: &'static [&'static str],
}

const PICTURES: Headings =
    Headings { own: &["decoded_image", "image", "images"], numbered: "image_", paths: &["image_path"] };
const SOUNDS: Headings = Headings { own: &["audio", "audios"], numbered: "audio_", paths: &["audio_path"] };

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
    /// Absent only where there are sounds.
    pub(super) question: Option<usize>,
    pub(super) index: Option<usize>,
    pub(super) answers: Option<usize>,
    pub(super) options: Option<usize>,
    /// Options with a column each.
    pub(super) letters: Vec<(char, usize)>,
    pub(super) hint: Option<usize>,
    pub(super) category: Option<usize>,
    /// Pictures, then sounds.
    pub(super) media: [Media; 2],
    pub(super) nothing: Nothing,
}

/// The columns of one kind of media.
#[derive(Clone, Debug)]
pub(super) struct Media {
    pub(super) kind: Kind,
    /// Media themselves, in order; empty where there are paths alone.
    pub(super) own: Vec<usize>,
    /// Their paths, where there are only those.
    pub(super) paths: Option<usize>,
}

impl Media {
    /// Every column of them.
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> {
        self.own.iter().copied().chain(self.paths)
    }

    fn is_absent(&self) -> bool {
        self.columns().next().is_none()
    }

    fn find(kind: Kind, names: &Headings, headings: &[String]) -> Self {
        let own = match place(names.own, headings) {
            Some(one) => vec![one],
            None => {
                let number = |heading: &String| heading.strip_prefix(names.numbered)?.parse::<u16>().ok();
                let all = headings.iter().enumerate().filter_map(|(i, heading)| Some((number(heading)?, i)));
                let mut all: Vec<(u16, usize)> = all.collect();
                all.sort_unstable();
                all.into_iter().map(|(_, i)| i).collect()
            }
        };
        let paths = if own.is_empty() { place(names.paths, headings) } else { None };
        Self { kind, own, paths }
    }
}

/// The column of the first of these names that is there.
fn place(names: &[&str], headings: &[String]) -> Option<usize> {
    names.iter().find_map(|name| headings.iter().position(|heading| heading == name))
}

impl Form {
    /// Finds the columns by their headings.
    ///
    /// # Errors
    /// Without questions, pictures or sounds, or with two columns of one name.
    pub(super) fn find(headings: Vec<String>, nothing: Nothing, file: &str) -> Result<Self, BenchmarkError> {
        for (i, heading) in headings.iter().enumerate() {
            if headings[..i].contains(heading) {
                return Err(BenchmarkError::ColumnTwice {
                    file: file.to_owned(),
                    column: mquant_model::excerpt::excerpt(heading),
                });
            }
        }
        let at = |names: &[&str]| place(names, &headings);
        let missing = |column| BenchmarkError::ColumnMissing {
            file: file.to_owned(),
            column,
            found: quoted(&headings.join(", ")),
        };
        let pictures = Media::find(Kind::Picture, &PICTURES, &headings);
        let sounds = Media::find(Kind::Sound, &SOUNDS, &headings);
        let hears = !sounds.is_absent();
        let question = match at(QUESTION) {
            None if !hears => return Err(missing(QUESTION[0])),
            found => found,
        };
        if pictures.is_absent() && !hears {
            return Err(missing("image"));
        }
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
        let answers = if hears { TRANSCRIPTS } else { ANSWERS };
        let [index, answers, hint, category] = [INDEX, answers, HINT, CATEGORY].map(at);
        let media = [pictures, sounds];
        Ok(Self { question, index, answers, options, letters, hint, category, media, nothing, headings })
    }

    /// Whether there are sounds.
    pub(super) fn hears(&self) -> bool {
        self.media.iter().any(|media| media.kind == Kind::Sound && !media.is_absent())
    }

    /// Whether a column holds media themselves.
    pub(super) fn is_media(&self, column: usize) -> bool {
        self.media.iter().any(|media| media.own.contains(&column))
    }

    /// A column's heading, fit for a message.
    pub(super) fn heading(&self, column: usize) -> String {
        self.headings.get(column).map_or_else(String::new, |heading| mquant_model::excerpt::excerpt(heading))
    }
}
