//! Some samples to look at: those that tell most first, each with a small picture.

use std::io::Cursor;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;

use super::{AnswerLine, Example, Graded, MediumKind};
use mquant_model::input::image::{ImageLimits, checked_header, decode};

/// Longer side of a picture, in pixels.
const SIDE: u32 = 320;
/// Encoded pictures of at most this many bytes are shown as they are.
const SMALL: usize = 8 << 10;
/// JPEG quality of the others.
const QUALITY: u8 = 80;
/// Bytes of a text that is shown.
const TEXT: usize = 2000;

/// At most `most` samples: those that only the baseline answered rightly, then those that only the model did, then others
/// answered differently, then wrong ones, then the first right ones.
pub(super) fn examples(graded: &Graded<'_>, most: usize) -> Vec<Example> {
    let theirs = |line: &AnswerLine| {
        let lines = graded.baseline?;
        Some(&lines[lines.binary_search_by_key(&line.doc_id, |line: &AnswerLine| line.doc_id).ok()?])
    };
    let rank = |line: &AnswerLine| match theirs(line) {
        Some(base) if base.score > line.score => 0,
        Some(base) if base.score < line.score => 1,
        Some(base) if base.prediction != line.prediction => 2,
        _ if line.score < 1.0 => 3,
        _ => 4,
    };
    let mut chosen: Vec<&AnswerLine> = graded.model.iter().filter(|line| line.problem.is_none()).collect();
    chosen.sort_by_key(|line| (rank(line), line.doc_id));
    chosen.truncate(most);
    let example = |line: &AnswerLine| {
        let question = &graded.exam.questions()[line.doc_id];
        let base = theirs(line);
        let media = graded.exam.benchmark.media(line.doc_id).unwrap_or_default();
        let picture = media.iter().find(|medium| medium.kind == MediumKind::Picture);
        Example {
            index: line.index.clone(),
            question: cut(&match question.text.as_str() {
                "" => graded.exam.known.prompt.text(question),
                text => text.to_owned(),
            }),
            expected: question.answers.iter().take(3).map(|answer| cut(answer)).collect(),
            answer: cut(&line.prediction),
            score: line.score,
            baseline_answer: base.map(|base| cut(&base.prediction)),
            baseline_score: base.map(|base| base.score),
            picture: picture.and_then(|picture| address(&picture.bytes)),
            sounds: media.iter().filter(|medium| medium.kind == MediumKind::Sound).count(),
        }
    };
    chosen.into_iter().map(example).collect()
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end == text.len() { text.to_owned() } else { format!("{}…", &text[..end]) }
}

/// A picture as a `data:` address, made small; None if it cannot be shown.
fn address(bytes: &Arc<[u8]>) -> Option<String> {
    let limits = ImageLimits::default();
    let of = |kind: &str, bytes: &[u8]| format!("data:image/{kind};base64,{}", STANDARD.encode(bytes));
    checked_header(bytes, &limits).ok()?;
    if bytes.len() <= SMALL {
        match image::guess_format(bytes).ok()? {
            image::ImageFormat::Png => return Some(of("png", bytes)),
            image::ImageFormat::Jpeg => return Some(of("jpeg", bytes)),
            _ => {}
        }
    }
    let picture = decode(bytes, &limits).ok()?;
    let picture = image::RgbImage::from_raw(picture.width(), picture.height(), picture.pixels().to_vec())?;
    let share = f64::from(SIDE) / f64::from(picture.width().max(picture.height()));
    let side = |side: u32| ((f64::from(side) * share).round() as u32).max(1);
    let small = if share < 1.0 {
        image::imageops::resize(&picture, side(picture.width()), side(picture.height()), FilterType::Triangle)
    } else {
        picture
    };
    let mut encoded = Cursor::new(Vec::new());
    small.write_with_encoder(JpegEncoder::new_with_quality(&mut encoded, QUALITY)).ok()?;
    Some(of("jpeg", encoded.get_ref()))
}
