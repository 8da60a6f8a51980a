//! A feature extractor's file to its settings, every field checked, and a sound to the rows that an audio tower reads.
//!
//! `feature_extractor` of `processor_config.json` counts, else `preprocessor_config.json` if it names one. An absent or null
//! field takes the reference's default. The reference pads a sound with zeros to `chunk_length` seconds and tells the model
//! which frames are of the sound; those are what is computed here. It would cut a longer sound without a word: here that is
//! an error.

use mquant_kernels::Rows;

use super::log_mel::{HOP, LogMel, SAMPLE_RATE, WINDOW};
use super::{AudioError, ExtractorError, Sound};
use crate::checkpoint::{Checkpoint, FieldError, Fields};

const PROCESSOR: &str = "processor_config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";

const TYPES: [(&str, ()); 1] = [("WhisperFeatureExtractor", ())];
const SIDES: [(&str, ()); 1] = [("right", ())];

/// Features of a frame in the models that Whisper's extractor was published with.
const MELS: [usize; 2] = [80, 128];

/// The files of a model folder that exist and may say how sounds are prepared.
#[derive(Clone, Debug, Default)]
pub struct ExtractorFiles {
    /// `processor_config.json`.
    pub processor: Option<Fields>,
    /// `preprocessor_config.json`.
    pub preprocessor: Option<Fields>,
}

/// What an audio tower reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// `frames × mels`: one frame every 10 ms, all of them valid.
    pub rows: Rows,
}

/// How a model wants its sounds prepared: log-mel features as Whisper's extractor computes them.
#[derive(Clone)]
pub struct FeatureExtractor {
    log_mel: LogMel,
    /// Seconds.
    longest: u32,
}

impl FeatureExtractor {
    /// Reads a model folder.
    ///
    /// # Errors
    /// No file describes sounds; files that are unreadable or no JSON; fields out of range or not handled, with file and field.
    pub fn read(checkpoint: &Checkpoint) -> Result<Self, ExtractorError> {
        Self::from_fields(ExtractorFiles {
            processor: checkpoint.fields(PROCESSOR)?,
            preprocessor: checkpoint.fields(PREPROCESSOR)?,
        })
    }

    /// The same from files that were read already.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_fields(files: ExtractorFiles) -> Result<Self, ExtractorError> {
        let nested = match &files.processor {
            Some(fields) => fields.opt_object("feature_extractor")?,
            None => None,
        };
        let flat = || files.preprocessor.filter(|fields| fields.has("feature_extractor_type"));
        let fields = nested.or_else(flat).ok_or(ExtractorError::Missing)?;
        Ok(settings(&fields)?)
    }

    /// Features of a frame.
    pub fn mels(&self) -> usize {
        self.log_mel.mels()
    }

    /// Most seconds of a sound.
    pub fn longest_seconds(&self) -> u32 {
        self.longest
    }

    /// Seconds from one frame to the next.
    pub fn seconds_per_frame(&self) -> f32 {
        HOP as f32 / SAMPLE_RATE as f32
    }

    /// Frames that `samples` samples at 16 kHz will take: one for every 160, the last one begun.
    pub fn frames(&self, samples: usize) -> usize {
        samples.div_ceil(HOP)
    }

    /// Prepares a sound, resampled to 16 kHz if it has another rate.
    ///
    /// # Errors
    /// [`AudioError::TooLong`] for more than [`longest_seconds`](Self::longest_seconds).
    pub fn features(&self, sound: &Sound) -> Result<Features, ExtractorError> {
        let too_long = || AudioError::TooLong { declared: Some(sound.seconds()), limit: self.longest };
        if sound.seconds() > f64::from(self.longest) {
            return Err(too_long().into());
        }
        let resampled = (sound.sample_rate() != SAMPLE_RATE).then(|| sound.resampled(SAMPLE_RATE)).transpose()?;
        let samples = resampled.as_ref().unwrap_or(sound).samples();
        let padded = self.longest as usize * SAMPLE_RATE as usize;
        if samples.len() > padded {
            return Err(too_long().into());
        }
        Ok(Features { rows: self.log_mel.rows(samples, padded) })
    }
}

impl std::fmt::Debug for FeatureExtractor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FeatureExtractor({} mels, at most {} s)", self.mels(), self.longest)
    }
}

fn settings(fields: &Fields) -> Result<FeatureExtractor, FieldError> {
    fields.opt_choice("feature_extractor_type", &TYPES)?;
    fields.opt_choice("padding_side", &SIDES)?;
    let only = |key, default, handled: &[usize]| {
        let found = fields.usize_or(key, default, 1..=1 << 24)?;
        if handled.contains(&found) { Ok(found) } else { Err(fields.unsupported(key, words(handled))) }
    };
    only("sampling_rate", SAMPLE_RATE as usize, &[SAMPLE_RATE as usize])?;
    only("n_fft", WINDOW, &[WINDOW])?;
    only("hop_length", HOP, &[HOP])?;
    let mels = only("feature_size", 80, &MELS)?;
    for key in ["padding_value", "dither"] {
        if fields.f64_or(key, 0.0, -1e6..=1e6)? != 0.0 {
            return Err(fields.unsupported(key, "0"));
        }
    }
    let seconds = fields.usize_or("chunk_length", 30, 1..=3600)?;
    let samples = seconds * SAMPLE_RATE as usize;
    for (key, expected) in [("n_samples", samples), ("nb_max_frames", samples / HOP)] {
        if fields.opt_usize(key, 1..=1 << 40)?.is_some_and(|found| found != expected) {
            return Err(fields.conflict(key, format!("{expected} for {seconds} seconds")));
        }
    }
    Ok(FeatureExtractor { log_mel: LogMel::new(mels), longest: seconds as u32 })
}

fn words(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ")
}
