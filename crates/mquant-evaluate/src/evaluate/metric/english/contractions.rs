//! Fillers, contractions and titles as whole words.

use super::words::{Begin, replaced};
use crate::evaluate::metric::python_text::is_space;

/// What is no word.
const FILLERS: [&str; 6] = ["hmm", "mm", "mhm", "mmm", "uh", "um"];

/// What stands for what, in this order.
const WORDS: [(&str, &str); 35] = [
    ("won't", "will not"),
    ("can't", "can not"),
    ("let's", "let us"),
    ("ain't", "aint"),
    ("y'all", "you all"),
    ("wanna", "want to"),
    ("gotta", "got to"),
    ("gonna", "going to"),
    ("i'ma", "i am going to"),
    ("imma", "i am going to"),
    ("woulda", "would have"),
    ("coulda", "could have"),
    ("shoulda", "should have"),
    ("ma'am", "madam"),
    ("mr", "mister "),
    ("mrs", "missus "),
    ("st", "saint "),
    ("dr", "doctor "),
    ("prof", "professor "),
    ("capt", "captain "),
    ("gov", "governor "),
    ("ald", "alderman "),
    ("gen", "general "),
    ("sen", "senator "),
    ("rep", "representative "),
    ("pres", "president "),
    ("rev", "reverend "),
    ("hon", "honorable "),
    ("asst", "assistant "),
    ("assoc", "associate "),
    ("lt", "lieutenant "),
    ("col", "colonel "),
    ("jr", "junior "),
    ("sr", "senior "),
    ("esq", "esquire "),
];

/// What ends of words stand for, in this order.
const ENDS: [(&str, &str); 14] = [
    ("'d been", " had been"),
    ("'s been", " has been"),
    ("'d gone", " had gone"),
    ("'s gone", " has gone"),
    ("'d done", " had done"),
    ("'s got", " has got"),
    ("n't", " not"),
    ("'re", " are"),
    ("'s", " is"),
    ("'d", " would"),
    ("'ll", " will"),
    ("'t", " not"),
    ("'ve", " have"),
    ("'m", " am"),
];

/// `text`, in lower case, without fillers and contractions.
pub(super) fn expanded(text: &str) -> String {
    let text = without_fillers(text);
    let text = joined_apostrophes(&text);
    let text = WORDS.iter().fold(text, |text, (word, other)| replaced(&text, Begin::Word, word, other));
    ENDS.iter().fold(text, |text, (end, other)| replaced(&text, Begin::Anywhere, end, other))
}

fn without_fillers(text: &str) -> String {
    // Fillers do not overlap, and none of them makes another where it is taken out of whole words.
    FILLERS.iter().fold(text.to_owned(), |text, filler| replaced(&text, Begin::Word, filler, ""))
}

/// Takes out white space before apostrophes.
fn joined_apostrophes(text: &str) -> String {
    let mut parts = text.split('\'').peekable();
    let mut out = String::with_capacity(text.len());
    while let Some(part) = parts.next() {
        match parts.peek() {
            Some(_) => {
                out.push_str(part.trim_end_matches(is_space));
                out.push('\'');
            }
            None => out.push_str(part),
        }
    }
    out
}
