//! Benchmark files in VLMEvalKit's form: tab-separated, fields quoted where needed, pictures as base64.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use csv::{ByteRecord, ReaderBuilder};

use super::record_budget::{Budget, Budgeted};
use super::{EvaluateError, METRICS, Metric, Question};

use crate::excerpt::quoted;
use crate::input::{Content, MediaSource, Message};

/// The columns that are read; others may be there.
pub const COLUMNS: [&str; 4] = ["index", "image", "question", "answer"];
/// Bytes of one row, about: a picture of 20 MiB as base64, and then some.
pub const RECORD_CAP: u64 = 32 << 20;

/// Questions about pictures.
#[derive(Clone, Debug)]
pub struct Benchmark {
    /// The file's name without `.tsv`.
    pub name: String,
    /// How answers are judged.
    pub metric: &'static dyn Metric,
    /// In the file's order.
    pub samples: Vec<Sample>,
}

/// One question with its picture.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What is asked.
    pub question: Question,
    /// The picture, encoded.
    pub image: Arc<[u8]>,
}

impl Sample {
    /// What the model is given: the picture, then the question alone.
    pub fn messages(&self) -> Vec<Message> {
        let image = Content::Image(MediaSource::Bytes(self.image.clone()));
        vec![Message::parts("user", vec![image, Content::Text(self.question.text.clone())])]
    }
}

impl Benchmark {
    /// Reads a file.
    ///
    /// # Errors
    /// One [`EvaluateError`] that names file, row and column.
    pub fn read(path: &Path) -> Result<Self, EvaluateError> {
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let source = File::open(path).map_err(|source| EvaluateError::Io { file: file.clone(), source })?;
        Self::parse(source, &file)
    }

    /// Reads the bytes of a file of that name.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn parse(source: impl Read, file: &str) -> Result<Self, EvaluateError> {
        let budget = Budget::new(RECORD_CAP);
        let inner = Budgeted { inner: source, budget: budget.clone() };
        // Rows of another length are told here, with the file's name.
        let mut reader = ReaderBuilder::new().delimiter(b'\t').has_headers(false).flexible(true).from_reader(inner);
        let mut record = ByteRecord::new();
        let mut next = |record: &mut ByteRecord, row: usize| {
            budget.renew();
            reader.read_byte_record(record).map_err(|e| match e.into_kind() {
                csv::ErrorKind::Io(_) if budget.is_spent() => {
                    EvaluateError::TooLong { file: file.to_owned(), row, limit: RECORD_CAP }
                }
                csv::ErrorKind::Io(source) => EvaluateError::Io { file: file.to_owned(), source },
                other => {
                    EvaluateError::Io { file: file.to_owned(), source: std::io::Error::other(format!("{other:?}")) }
                }
            })
        };
        if !next(&mut record, 0)? {
            return Err(EvaluateError::Empty { file: file.to_owned() });
        }
        let columns = Columns::find(&record, file)?;
        let mut samples = Vec::new();
        while next(&mut record, samples.len() + 1)? {
            samples.push(columns.sample(&record, file, samples.len() + 1)?);
        }
        if samples.is_empty() {
            return Err(EvaluateError::Empty { file: file.to_owned() });
        }
        let name = file.strip_suffix(".tsv").unwrap_or(file).to_owned();
        Ok(Self { name, metric: METRICS[0], samples })
    }
}

/// Where the columns are.
struct Columns {
    /// For each of [`COLUMNS`].
    at: [usize; COLUMNS.len()],
    fields: usize,
}

impl Columns {
    fn find(headings: &ByteRecord, file: &str) -> Result<Self, EvaluateError> {
        let mut at = [0; COLUMNS.len()];
        for (at, column) in at.iter_mut().zip(COLUMNS) {
            let mut places = headings.iter().enumerate().filter(|(_, h)| *h == column.as_bytes()).map(|(i, _)| i);
            let Some(place) = places.next() else {
                let all: Vec<_> = headings.iter().map(String::from_utf8_lossy).collect();
                return Err(EvaluateError::ColumnMissing {
                    file: file.to_owned(),
                    column,
                    found: quoted(&all.join(", ")),
                });
            };
            if places.next().is_some() {
                return Err(EvaluateError::ColumnTwice { file: file.to_owned(), column });
            }
            *at = place;
        }
        Ok(Self { at, fields: headings.len() })
    }

    fn sample(&self, record: &ByteRecord, file: &str, row: usize) -> Result<Sample, EvaluateError> {
        if record.len() != self.fields {
            let (expected, found) = (self.fields, record.len());
            return Err(EvaluateError::Fields { file: file.to_owned(), row, expected, found });
        }
        let wrong = |i: usize, expected, found| {
            let (file, column) = (file.to_owned(), COLUMNS[i]);
            Err(EvaluateError::Field { file, row, column, expected, found })
        };
        let mut texts = [""; COLUMNS.len()];
        for (i, text) in texts.iter_mut().enumerate() {
            let bytes = record.get(self.at[i]).unwrap_or_default();
            *text = match std::str::from_utf8(bytes) {
                Ok(found) => found,
                Err(e) => return wrong(i, "UTF-8 text", format!("another byte at {}", e.valid_up_to())),
            };
            if text.trim().is_empty() {
                return wrong(i, "something", "nothing".to_owned());
            }
        }
        let [index, image, question, answer] = texts;
        let image = match STANDARD.decode(image.trim()) {
            Ok(bytes) => bytes.into(),
            Err(e) => return wrong(1, "a picture in base64", format!("{} ({e})", quoted(image))),
        };
        let [index, text, answer] = [index, question, answer].map(str::to_owned);
        let question = Question { index, text, answers: vec![answer], ..Question::default() };
        Ok(Sample { question, image })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<Benchmark, EvaluateError> {
        Benchmark::parse(text, "Some.tsv")
    }

    #[test]
    fn columns_are_found_by_name_and_quotes_undone() {
        let text = "\u{feff}answer\tcategory\tquestion\timage\tindex\r\n\
                    \"a\tb\"\tx\t\"Say \"\"so\"\"?\nNow.\"\tAQID\t7\r\nné\ty\tAn inch is 1\"?\tAQIDBA==\tb-2\n";
        let read = parse(text.as_bytes()).unwrap();
        assert_eq!((read.name.as_str(), read.samples.len(), read.metric.name()), ("Some", 2, "exact_match"));
        let Sample { image, question: Question { index, text, answers, .. } } = &read.samples[0];
        assert_eq!([index, text, &answers[0]], ["7", "Say \"so\"?\nNow.", "a\tb"]);
        assert_eq!(**image, [1, 2, 3]);
        let Sample { image, question: Question { index, text, answers, .. } } = &read.samples[1];
        assert_eq!([index, text, &answers[0]], ["b-2", "An inch is 1\"?", "né"]);
        assert_eq!(**image, [1, 2, 3, 4]);
    }

    #[test]
    fn errors_name_file_row_and_column() {
        let head = "index\timage\tquestion\tanswer\n";
        let good = "0\tAQID\tq\ta\n";
        let long = "x".repeat(5000);
        for (text, expected) in [
            (String::new(), "Some.tsv: expected at least one sample, found none"),
            (head.to_owned(), "Some.tsv: expected at least one sample, found none"),
            (
                "index\timage\tprompt\n".to_owned(),
                "Some.tsv: expected a column \"question\", found \"index, image, prompt\"",
            ),
            (
                "index\timage\tquestion\tanswer\tanswer\n".to_owned(),
                "Some.tsv: expected one column \"answer\", found two",
            ),
            (format!("{head}{good}1\tAQID\tq\n"), "Some.tsv: row 2: expected 4 fields, found 3"),
            (format!("{head}{good}1\tAQID\tq\ta\tb\n"), "Some.tsv: row 2: expected 4 fields, found 5"),
            (
                format!("{head}{good}{good}1\tAQ*D\tq\ta\n"),
                "Some.tsv: row 3, column \"image\": expected a picture in base64, found \"AQ*D\" (Invalid symbol 42, offset 2.)",
            ),
            (format!("{head}1\t\tq\ta\n"), "Some.tsv: row 1, column \"image\": expected something, found nothing"),
            (format!("{head}1\tAQID\tq\t \n"), "Some.tsv: row 1, column \"answer\": expected something, found nothing"),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), expected);
        }
        let message = parse(format!("{head}1\t{long}!\tq\ta\n").as_bytes()).unwrap_err().to_string();
        assert!(message.len() < 400, "{message}");
        let bytes = [head.as_bytes(), b"1\tAQID\tq\xff\ta\n"].concat();
        let expected = "Some.tsv: row 1, column \"question\": expected UTF-8 text, found another byte at 1";
        assert_eq!(parse(&bytes).unwrap_err().to_string(), expected);
    }

    #[test]
    fn large_fields_are_read_and_endless_ones_refused() {
        let image = vec![5u8; 20 << 20];
        let text = format!("index\timage\tquestion\tanswer\n0\t{}\tq\ta\n", STANDARD.encode(&image));
        assert_eq!(*parse(text.as_bytes()).unwrap().samples[0].image, *image);
        let head = "index\timage\tquestion\tanswer\n0\tAQID\tq\ta\n1\t\"";
        let endless = head.as_bytes().chain(std::io::repeat(b'A'));
        let found = Benchmark::parse(endless, "Some.tsv");
        assert!(matches!(found, Err(EvaluateError::TooLong { row: 2, limit: RECORD_CAP, .. })), "{found:?}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let found = Benchmark::read(Path::new("no/Such.tsv")).unwrap_err();
        assert_eq!(found.to_string(), "Such.tsv: cannot be read");
    }
}
