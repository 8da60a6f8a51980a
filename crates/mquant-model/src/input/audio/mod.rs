//! Sounds: encoded bytes enter, a mono [`Sound`] leaves; a [`FeatureExtractor`] turns it into the rows an audio tower reads.
//!
//! The format is told by content, never by name. Every limit is checked against the header before a decoder sees the bytes,
//! and again while decoding where a header does not say how long the sound is; a decoder runs contained, so that no input
//! can panic the caller.
//!
//! | container | read | refused by name |
//! |---|---|---|
//! | WAV | integers of 8, 16, 24, 32 bits, floats of 32 and 64 bits, A-law, µ-law | ADPCM and other codecs |
//! | FLAC | all; its checksum is verified | |
//! | MP3 | layer 3; the encoder's delay and padding are cut off where its tag tells them | layers 1 and 2 |
//! | OGG | one Vorbis stream | Opus, Speex, FLAC, several streams |
//! | M4A | AAC-LC of 1 or 2 channels in one track, one edit | HE-AAC, ALAC, fragments, files with pictures that move |
//! | AAC (ADTS) | AAC-LC of 1 or 2 channels | |
//!
//! Channels are averaged. A file that is cut is an error; of an MP3 without a count of frames and of ADTS nothing tells.

mod bytes;
mod codebooks;
mod decode;
mod error;
mod extractor;
mod format;
mod header;
mod log_mel;
mod mp4;
mod ogg;
mod read;
mod resample;
mod wav;

use std::fmt;
use std::path::Path;

pub use error::{AudioError, ExtractorError};
pub use extractor::{ExtractorFiles, FeatureExtractor, Features};
pub use read::read;

/// Fewest samples in a second: below it there is no speech.
pub const LOWEST_RATE: u32 = 4_000;

/// Largest magnitude of a sample. Full scale is 1, but files with floats on the scale of integers are common.
pub const LARGEST_SAMPLE: f32 = 4_294_967_296.0;

/// What a sound may cost. Exceeding any of these is an error before a sample is decoded if the header tells it, else before
/// the first sample too many is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioLimits {
    /// Bytes of the encoded sound.
    pub encoded_bytes: u64,
    /// Seconds.
    pub seconds: u32,
    /// Samples of a channel in a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
    /// Bytes of the decoded mono sound: 4 for each sample.
    pub decoded_bytes: u64,
}

impl Default for AudioLimits {
    /// 20 MiB (ten minutes of 16 kHz mono WAV), 600 s, 192 kHz, 8 channels, 256 MiB.
    fn default() -> Self {
        Self { encoded_bytes: 20 << 20, seconds: 600, sample_rate: 192_000, channels: 8, decoded_bytes: 256 << 20 }
    }
}

impl AudioLimits {
    /// # Errors
    /// The limit that the declared sound passes.
    fn check(&self, header: &Header) -> Result<(), AudioError> {
        let Header { sample_rate, channels, frames, .. } = *header;
        if channels == 0 || channels > self.channels {
            return Err(AudioError::Channels { found: channels, limit: self.channels });
        }
        if !(LOWEST_RATE..=self.sample_rate).contains(&sample_rate) {
            let (lowest, highest) = (LOWEST_RATE, self.sample_rate);
            return Err(AudioError::SampleRate { found: sample_rate, lowest, highest });
        }
        match frames {
            Some(0) => Err(AudioError::Empty),
            Some(frames) => self.check_frames(frames, sample_rate, true),
            None => Ok(()),
        }
    }

    /// Whether that many samples are allowed; `declared` by a header, or reached while decoding.
    fn check_frames(&self, frames: u64, sample_rate: u32, declared: bool) -> Result<(), AudioError> {
        if frames > u64::from(self.seconds) * u64::from(sample_rate) {
            let declared = declared.then(|| frames as f64 / f64::from(sample_rate));
            return Err(AudioError::TooLong { declared, limit: self.seconds });
        }
        if frames > self.decoded_bytes / 4 {
            return Err(AudioError::DecodedBytes { sample_rate, limit: self.decoded_bytes });
        }
        Ok(())
    }
}

/// Containers that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// RIFF WAVE.
    Wav,
    /// Free lossless audio codec, in its own container.
    Flac,
    /// MPEG audio, layer 3.
    Mp3,
    /// Vorbis in Ogg.
    Ogg,
    /// AAC in MPEG-4.
    M4a,
    /// AAC in ADTS.
    Adts,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Wav => "WAV",
            Format::Flac => "FLAC",
            Format::Mp3 => "MP3",
            Format::Ogg => "OGG",
            Format::M4a => "M4A",
            Format::Adts => "AAC",
        })
    }
}

/// What the first bytes of a sound declare. Of AAC the stream itself may say otherwise, as mono in a file for two channels; it
/// is checked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// By content.
    pub format: Format,
    /// Samples of a channel in a second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u32,
    /// Samples of a channel, where the header declares them.
    pub frames: Option<u64>,
}

/// A mono sound of at least one sample, every one a number; full scale is ±1.
#[derive(Clone, PartialEq)]
pub struct Sound {
    samples: Vec<f32>,
    sample_rate: u32,
}

impl Sound {
    /// Takes samples at `sample_rate` in a second.
    ///
    /// # Errors
    /// [`AudioError::Empty`] without samples, [`AudioError::Sample`] for NaN, infinity and magnitudes over
    /// [`LARGEST_SAMPLE`], [`AudioError::SampleRate`] below [`LOWEST_RATE`].
    pub fn new(samples: Vec<f32>, sample_rate: u32) -> Result<Self, AudioError> {
        if sample_rate < LOWEST_RATE {
            return Err(AudioError::SampleRate { found: sample_rate, lowest: LOWEST_RATE, highest: u32::MAX });
        }
        if samples.is_empty() {
            return Err(AudioError::Empty);
        }
        // NaN is in no range.
        let wrong = |v: &f32| !(-LARGEST_SAMPLE..=LARGEST_SAMPLE).contains(v);
        match samples.iter().position(wrong) {
            Some(index) => Err(AudioError::Sample { index, value: samples[index], limit: LARGEST_SAMPLE }),
            None => Ok(Self { samples, sample_rate }),
        }
    }

    /// The samples in order.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Samples in a second.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Its length.
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate)
    }

    /// The same sound at another rate, of `⌈samples · sample_rate / old rate⌉` samples and in step with the old one; a copy if
    /// the rate is the same. The passband is flat within 0.01 dB up to 0.93 of the lower half rate, and what would alias is
    /// below −100 dB (measured in `docs/decisions/012-audio-input.md`).
    ///
    /// # Errors
    /// [`AudioError::SampleRate`] below [`LOWEST_RATE`].
    pub fn resampled(&self, sample_rate: u32) -> Result<Self, AudioError> {
        if sample_rate < LOWEST_RATE {
            return Err(AudioError::SampleRate { found: sample_rate, lowest: LOWEST_RATE, highest: u32::MAX });
        }
        let samples = resample::resample(&self.samples, self.sample_rate, sample_rate)?;
        Ok(Self { samples, sample_rate })
    }
}

impl fmt::Debug for Sound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sound({} samples at {} Hz)", self.samples.len(), self.sample_rate)
    }
}

/// Format, rate, channels and, where it is declared, length from the header alone; nothing is decoded.
///
/// # Errors
/// Unknown formats, features that are not read, headers that are cut or wrong.
pub fn probe(bytes: &[u8]) -> Result<Header, AudioError> {
    header::header(bytes)
}

/// The same, checked against `limits`, as [`decode`] does before it decodes.
///
/// # Errors
/// As [`probe`]; too many bytes, and what the header declares beyond a limit.
pub fn checked_header(bytes: &[u8], limits: &AudioLimits) -> Result<Header, AudioError> {
    if bytes.len() as u64 > limits.encoded_bytes {
        return Err(AudioError::TooManyBytes { found: bytes.len() as u64, limit: limits.encoded_bytes });
    }
    let header = probe(bytes)?;
    limits.check(&header)?;
    Ok(header)
}

/// Decodes a sound and averages its channels.
///
/// # Errors
/// One [`AudioError`] per class of fault; a decoder's panic is one of them.
pub fn decode(bytes: &[u8], limits: &AudioLimits) -> Result<Sound, AudioError> {
    decode::decode(bytes, limits)
}

/// Reads and decodes a regular file.
///
/// # Errors
/// As [`decode`], with the path; and if the file cannot be read or is longer than the limit, found before it is read.
pub fn open(path: &Path, limits: &AudioLimits) -> Result<Sound, AudioError> {
    let bytes = read(path, limits.encoded_bytes)?;
    decode(&bytes, limits).map_err(|source| AudioError::InFile { path: path.to_owned(), source: Box::new(source) })
}
