//! What a job found damaged and does again.

use std::fmt;

/// Something that was damaged on the disk, for the user to know; the job goes on without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A line of the journal does not have its checksum. Its unit counts as not done.
    JournalLine {
        /// Counted from 1.
        line: usize,
    },
    /// The content of a unit is not what was written. It counts as not done.
    Unit {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// `job.json` was damaged, and is written anew: the journal is that of this job.
    Header,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::JournalLine { line } => write!(f, "line {line} of the journal is damaged; its unit is done again"),
            Note::Unit { name, problem } => write!(f, "{name} is damaged ({problem}) and is done again"),
            Note::Header => write!(f, "job.json was damaged and is written anew"),
        }
    }
}
