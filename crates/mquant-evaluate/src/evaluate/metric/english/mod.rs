//! English as Whisper's own evaluation writes it, so that only what was heard counts: `EnglishTextNormalizer` of
//! openai-whisper and transformers (Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision",
//! appendix C). Fillers and what stands in brackets go, contractions become words, numbers become digits, punctuation
//! becomes space, diacritics go, British spellings become American.
//!
//! Enters: any text. Leaves: words with single spaces. Invariant: each step equals the published one, its oddities too
//! (`1.5` becomes `one.5`, `nineth` is an ordinal and `ninth` is none); tests compare both on a thousand texts.

mod brackets;
mod contractions;
mod digits;
mod number_words;
mod numbers;
mod signs;
mod spellings;
mod words;

/// `text` as two transcripts of one speech have it in common.
pub(super) fn normalised(text: &str) -> String {
    let text = brackets::without_brackets(&text.to_lowercase());
    let text = contractions::expanded(&text);
    let text = signs::without_signs(&text);
    let text = spellings::american(&numbers::in_digits(&text));
    signs::without_lone_signs(&text)
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn transcripts_of_one_speech_are_equal() {
        for (text, expected) in [
            ("Mr. Jones, uh, can't (laughs) go [noise].", "mister jones can not go"),
            ("He's been there; I'd gone.", "he has been there i had gone"),
            ("The colour of an aeroplane", "the color of an airplane"),
            ("twenty-one thousand and five", "21005"),
            ("two point five million dollars", "$2500000"),
            ("two dollars and seven cents", "$2.07"),
            ("forty percent, ten per cent", "40% 10%"),
            ("the nineteen sixties", "the 1960s"),
            ("one oh one double seven", "10177"),
            ("three and a half", "3.5"),
            ("minus twenty first", "-21st"),
            ("Café 1,000,000 naïve Straße", "cafe 1000000 naive strasse"),
            ("one", "one"),
            ("", ""),
        ] {
            assert_eq!(normalised(text).trim(), expected, "{text:?}");
        }
    }

    #[test]
    fn no_text_differs_from_that_of_transformers() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../mquant/tests/fixtures/metrics/wer.jsonl");
        let rows = std::fs::read_to_string(path).unwrap();
        let rows = rows.lines().skip(1).map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
        let mut compared = 0;
        for row in rows {
            for (text, expected) in [(&row[1][0], &row[3]), (&row[0], &row[4])] {
                let found = normalised(text.as_str().unwrap());
                let words: Vec<&str> = found.split_whitespace().collect();
                assert_eq!(words.join(" "), expected.as_str().unwrap(), "{text}");
                compared += 1;
            }
        }
        assert!(compared > 2000);
    }
}
