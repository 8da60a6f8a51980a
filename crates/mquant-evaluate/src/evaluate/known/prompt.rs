//! How a question is put to a model, word for word as VLMEvalKit does; to transcribe, as lmms-eval asks Qwen2.5-Omni.

use crate::evaluate::Question;

/// The words around a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptStyle {
    /// None. MME's questions bring their own "Please answer yes or no.".
    Alone,
    /// Asks for a word or phrase.
    ShortAnswer,
    /// Asks for yes or no.
    YesNo,
    /// Hint, question, options, and the request to select one; where there are no options no request.
    Choice,
    /// As [`Choice`](Self::Choice), with pictures where the text names them (`<image 1>`), as in MMMU.
    PlacedChoice,
    /// Asks for what is said, where the file has no question of its own.
    Transcript,
}

/// What lmms-eval asks Qwen2.5-Omni of LibriSpeech: the words for this model, and those for all.
const TRANSCRIBE: &str = "Transcribe the English audio into text without any punctuation marks.\
                          Please recognize the speech and only output the recognized content:";

/// A piece of what a model is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// One of the question's pictures, counted from 0.
    Picture(usize),
    /// One of its sounds, counted from 0.
    Sound(usize),
    /// Never empty.
    Text(String),
}

impl PromptStyle {
    /// The question in its words; places of pictures are still named in it.
    pub fn text(self, question: &Question) -> String {
        match self {
            PromptStyle::Alone => question.text.clone(),
            PromptStyle::ShortAnswer => {
                format!("{}\nAnswer the question using a single word or phrase.", question.text)
            }
            PromptStyle::YesNo => format!("{}\nPlease answer yes or no.", question.text),
            PromptStyle::Choice | PromptStyle::PlacedChoice => choice(question),
            PromptStyle::Transcript if question.text.is_empty() => TRANSCRIBE.to_owned(),
            PromptStyle::Transcript => question.text.clone(),
        }
    }

    /// What a model is given of a question with that many pictures and sounds: all pictures, all sounds, then the text; or
    /// each picture where it is named, if the style places them and any is. A picture that is named and not there stays a
    /// word.
    pub fn parts(self, question: &Question, pictures: usize, sounds: usize) -> Vec<Part> {
        let text = self.text(question);
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        if self == PromptStyle::PlacedChoice {
            while let Some(place) = Place::first(rest, pictures) {
                parts.push(Part::Text(rest[..place.at].to_owned()));
                parts.push(Part::Picture(place.picture));
                rest = &rest[place.at + PLACE.len() + 2..];
            }
        }
        if parts.is_empty() {
            parts.extend((0..pictures).map(Part::Picture));
        }
        let first = parts.iter().position(|part| matches!(part, Part::Text(_))).unwrap_or(parts.len());
        parts.splice(first..first, (0..sounds).map(Part::Sound));
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        parts
    }
}

fn choice(question: &Question) -> String {
    let hint = question.hint.as_ref().map(|hint| format!("Hint: {hint}\n")).unwrap_or_default();
    let options: String = question.options.iter().map(|(letter, text)| format!("{letter}. {text}\n")).collect();
    let request = match question.options.is_empty() {
        true => String::new(),
        false => format!("Options:\n{options}Please select the correct answer from the options above. \n"),
    };
    format!("{hint}Question: {}\n{request}", question.text)
}

/// What names a picture; its number, one digit from 1, and `>` follow.
const PLACE: &str = "<image ";

/// Where a text names a picture.
struct Place {
    at: usize,
    picture: usize,
}

impl Place {
    /// The first name of one of so many pictures.
    fn first(text: &str, pictures: usize) -> Option<Self> {
        text.match_indices(PLACE).find_map(|(at, _)| {
            let [digit @ b'1'..=b'9', b'>', ..] = text.as_bytes()[at + PLACE.len()..] else { return None };
            let picture = usize::from(digit - b'1');
            (picture < pictures).then_some(Self { at, picture })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_where_they_are_named() {
        let question = |text: &str| Question { text: text.to_owned(), ..Question::default() };
        let [first, second] = [0, 1].map(Part::Picture);
        let text = |text: &str| Part::Text(text.to_owned());
        let style = PromptStyle::PlacedChoice;
        let found = style.parts(&question("a <image 2><image 3> b <image 1>"), 2, 0);
        assert_eq!(found, [text("Question: a "), second.clone(), text("<image 3> b "), first.clone(), text("\n")]);
        let found = style.parts(&question("<image 9> <image"), 2, 0);
        assert_eq!(found, [first.clone(), second, text("Question: <image 9> <image\n")]);
        let found = PromptStyle::Alone.parts(&question("<image 1>"), 1, 0);
        assert_eq!(found, [first, text("<image 1>")]);
        assert_eq!(PromptStyle::Alone.parts(&question(""), 0, 0), []);
    }

    #[test]
    fn sounds_stand_between_pictures_and_text() {
        let question = |text: &str| Question { text: text.to_owned(), ..Question::default() };
        let text = |text: &str| Part::Text(text.to_owned());
        let found = PromptStyle::Alone.parts(&question("What is said?"), 1, 2);
        assert_eq!(found, [Part::Picture(0), Part::Sound(0), Part::Sound(1), text("What is said?")]);
        let found = PromptStyle::PlacedChoice.parts(&question("<image 1>?"), 1, 1);
        assert_eq!(found, [Part::Sound(0), text("Question: "), Part::Picture(0), text("?\n")]);
        let [asked, own] = ["", "What is said?"].map(|asked| PromptStyle::Transcript.text(&question(asked)));
        assert!(
            asked.ends_with("marks.Please recognize the speech and only output the recognized content:"),
            "{asked}"
        );
        assert_eq!(own, "What is said?");
    }
}
