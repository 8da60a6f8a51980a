//! What is asked of a picture, without the picture: small enough to keep all of a benchmark in memory.

/// Headings of the fields that are kept as text.
pub type ColumnNames = std::sync::Arc<[String]>;

/// One question of a benchmark.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Question {
    /// The file's own name of the sample.
    pub index: String,
    /// What is asked, as published: without options, hint or instructions.
    pub text: String,
    /// Every accepted answer, as published; of multiple choice one letter.
    pub answers: Vec<String>,
    /// Letter and text of each option, in order; empty unless multiple choice.
    pub options: Vec<(char, String)>,
    /// Said before the question, where the file has it.
    pub hint: Option<String>,
    /// The group the file counts it to, where it has any.
    pub category: Option<String>,
    /// Every field of the row but pictures, as text, in the order of [`ColumnNames`].
    pub fields: Vec<String>,
}

impl Question {
    /// A field by its heading.
    pub fn field<'a>(&'a self, columns: &ColumnNames, name: &str) -> Option<&'a str> {
        let at = columns.iter().position(|column| column == name)?;
        self.fields.get(at).map(String::as_str)
    }

    /// The accepted answer that occurs most often, the first of those.
    pub fn reference(&self) -> Option<&str> {
        let count = |answer: &str| self.answers.iter().filter(|other| *other == answer).count();
        self.answers.iter().rev().max_by_key(|answer| count(answer)).map(String::as_str)
    }
}
