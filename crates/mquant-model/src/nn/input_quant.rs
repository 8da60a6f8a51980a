//! How the activation of a site becomes 8-bit codes.

use mquant_kernels::RowScales;

use super::{Modality, ModalitySpans};

/// How the activation of a site becomes 8-bit codes; all kinds differ only in how the scale of a row comes about.
#[derive(Clone, Debug, PartialEq)]
pub enum InputQuant {
    /// It stays in f32.
    Float,
    /// One static scale.
    PerTensor(f32),
    /// One static scale for each modality (MQuant's modality-specific static quantisation, section 3.1).
    PerModality(ModalityScales),
    /// Each row by its own largest magnitude, found while running.
    PerToken,
    /// The same in 6 bits, which run as 8-bit codes from −31 to 31.
    PerTokenSix,
}

/// One static scale for each modality.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModalityScales {
    /// For everything that is no media placeholder.
    pub text: f32,
    /// For placeholders of images and videos, and rows of a vision tower.
    pub vision: f32,
    /// For placeholders of sound, and rows of an audio tower.
    pub audio: f32,
}

impl InputQuant {
    /// The static scale of each of `rows` rows; nothing where scales are not static.
    pub(super) fn fill(&self, rows: usize, spans: &ModalitySpans, out: &mut Vec<f32>) {
        match self {
            InputQuant::Float | InputQuant::PerToken | InputQuant::PerTokenSix => {}
            InputQuant::PerTensor(scale) => {
                out.clear();
                out.resize(rows, *scale);
            }
            InputQuant::PerModality(scales) => scales.of_rows(rows, spans, out),
        }
    }

    /// Where the scales of rows come from, `filled` being the static scale of each row where there are static ones.
    pub fn scales<'f>(&self, filled: &'f [f32]) -> RowScales<'f> {
        match self {
            InputQuant::Float | InputQuant::PerToken => RowScales::PerToken,
            InputQuant::PerTokenSix => RowScales::PerTokenSix,
            InputQuant::PerTensor(_) | InputQuant::PerModality(_) => RowScales::Static(filled),
        }
    }
}

impl ModalityScales {
    /// The scale for a modality.
    pub fn of(&self, modality: Modality) -> f32 {
        match modality {
            Modality::Text => self.text,
            Modality::Vision => self.vision,
            Modality::Audio => self.audio,
        }
    }

    /// One scale for each of `rows` rows.
    ///
    /// # Panics
    /// If `spans` does not cover exactly these rows.
    pub(super) fn of_rows(&self, rows: usize, spans: &ModalitySpans, out: &mut Vec<f32>) {
        assert_eq!(rows, spans.rows(), "rows of a site and of its modality spans");
        out.clear();
        for (modality, range) in spans.iter() {
            out.resize(range.end, self.of(modality));
        }
    }
}
