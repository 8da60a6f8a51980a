//! A processor's files to [`Settings`], every field checked.
//!
//! Which object counts is the reference's choice: for pictures `image_processor` of `processor_config.json`, else
//! `preprocessor_config.json`; for videos `video_processor` of the former, else `video_preprocessor_config.json`, else the
//! picture's `preprocessor_config.json` with its bounds. An absent or null field takes the reference's default, which differs
//! between pictures and videos. `do_convert_rgb` is true by construction here, and `do_sample_frames` is the caller's affair.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::error::ProcessorError;
use super::fields::Fields;
use super::smart_resize::{Target, smart_resize};
use super::{Grid, PixelBounds, VisionProcessor};

const PROCESSOR: &str = "processor_config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const VIDEO_PREPROCESSOR: &str = "video_preprocessor_config.json";

/// Published files are below 4 KiB.
const FILE_BYTES: u64 = 1 << 20;

const IMAGE_TYPES: &[&str] = &[
    "Qwen2VLImageProcessor",
    "Qwen2VLImageProcessorFast",
    "Qwen2VLImageProcessorPil",
    "Qwen2_5_VLImageProcessor",
    "Qwen2_5_VLImageProcessorFast",
];
const VIDEO_TYPES: &[&str] = &["Qwen2VLVideoProcessor"];

const CLIP_MEAN: [f64; 3] = [0.48145466, 0.4578275, 0.40821073];
const CLIP_STD: [f64; 3] = [0.26862954, 0.26130258, 0.27577711];

/// Most pixels that a small picture may be enlarged to: its patches take 24 bytes for each.
const MIN_PIXELS: u64 = 1 << 24;
const MAX_PIXELS: u64 = 1 << 40;

/// The files of a model folder that exist, parsed.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessorFiles<'a> {
    /// `processor_config.json`.
    pub processor: Option<&'a Value>,
    /// `preprocessor_config.json`.
    pub preprocessor: Option<&'a Value>,
    /// `video_preprocessor_config.json`.
    pub video_preprocessor: Option<&'a Value>,
}

/// How pictures, or a video's frames, are prepared.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Pixels on the side of a patch.
    pub(super) patch: usize,
    /// Frames in a patch.
    pub(super) temporal: usize,
    /// Patches on the side of a token.
    pub(super) merge: usize,
    /// Normalised value of each byte, per channel.
    pub(super) values: Box<[[f32; 256]; 3]>,
    sizing: Sizing,
    min_pixels: u64,
    max_pixels: u64,
    /// Tokens of a whole video that a frame's share of pixels is taken from.
    video_tokens: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sizing {
    Smart,
    Keep,
}

/// Videos of a model.
#[derive(Clone, Debug)]
pub(super) enum Video {
    Known(Settings),
    Unknown { file: &'static str, field: &'static str, found: String },
}

impl Video {
    pub(super) fn settings(&self) -> Result<&Settings, ProcessorError> {
        match self {
            Video::Known(settings) => Ok(settings),
            unknown => Err(unknown.refusal()),
        }
    }

    pub(super) fn settings_mut(&mut self) -> Result<&mut Settings, ProcessorError> {
        match self {
            Video::Known(settings) => Ok(settings),
            unknown => Err(unknown.refusal()),
        }
    }

    fn refusal(&self) -> ProcessorError {
        let (file, field, found) = match self {
            Video::Known(_) => (PROCESSOR, "video_processor", String::new()),
            Video::Unknown { file, field, found } => (*file, *field, found.clone()),
        };
        ProcessorError::Unsupported { file, field: field.to_owned(), expected: "Qwen2VLVideoProcessor", found }
    }
}

impl Settings {
    /// `frames` of a video, or 1 for a picture.
    pub(super) fn grid(&self, frames: usize, width: u32, height: u32) -> Result<Grid, ProcessorError> {
        if frames == 0 {
            return Err(ProcessorError::NoFrames);
        }
        let factor = (self.patch * self.merge) as u32;
        let (w, h) = match self.sizing {
            Sizing::Smart => {
                let max_pixels = self.frame_cap(frames, factor);
                smart_resize((width, height), Target { factor, min_pixels: self.min_pixels, max_pixels })?
            }
            Sizing::Keep if width == 0 || height == 0 => return Err(ProcessorError::Empty { width, height }),
            Sizing::Keep if !width.is_multiple_of(factor) || !height.is_multiple_of(factor) => {
                return Err(ProcessorError::Indivisible { width, height, factor });
            }
            Sizing::Keep => (width, height),
        };
        let t = frames.div_ceil(self.temporal);
        Ok(Grid { t, h: h as usize / self.patch, w: w as usize / self.patch })
    }

    pub(super) fn tokens(&self, grid: Grid) -> usize {
        grid.patches() / (self.merge * self.merge)
    }

    /// Most pixels of a frame: nine tenths of the tokens of a long video shared among its frames, yet never below the minimum.
    fn frame_cap(&self, frames: usize, factor: u32) -> u64 {
        let Some(tokens) = self.video_tokens else { return self.max_pixels };
        let factor = f64::from(factor);
        let total = (tokens as f64 * factor * factor * 0.9) as u64;
        let share = total.saturating_mul(self.temporal as u64) / frames as u64;
        self.max_pixels.min(share).max((self.min_pixels as f64 * 1.05) as u64)
    }

    pub(super) fn set_bounds(&mut self, bounds: PixelBounds) -> Result<(), ProcessorError> {
        let min = bounds.min.unwrap_or(self.min_pixels);
        let max = bounds.max.unwrap_or(self.max_pixels);
        check_bounds("option", min, max, self.patch * self.merge)?;
        if max < min {
            return Err(out_of_range("option", "max_pixels", format!("at least min_pixels, {min}"), max));
        }
        (self.min_pixels, self.max_pixels) = (min, max);
        Ok(())
    }
}

/// Published bounds may cross, as those of a file that sets one of them and takes the other's default: too many pixels are then
/// looked for first, as in the reference.
fn check_bounds(file: &'static str, min: u64, max: u64, factor: usize) -> Result<(), ProcessorError> {
    let token = (factor * factor) as u64;
    if !(1..=MIN_PIXELS).contains(&min) {
        Err(out_of_range(file, "min_pixels", format!("1 to {MIN_PIXELS}"), min))
    } else if !(token..=MAX_PIXELS).contains(&max) {
        Err(out_of_range(file, "max_pixels", format!("{token} (one token) to {MAX_PIXELS}"), max))
    } else {
        Ok(())
    }
}

fn out_of_range(file: &'static str, field: &str, expected: String, found: u64) -> ProcessorError {
    ProcessorError::Field { file, field: field.to_owned(), expected, found: found.to_string() }
}

pub(super) fn open(folder: &Path) -> Result<VisionProcessor, ProcessorError> {
    let processor = read(folder, PROCESSOR)?;
    let preprocessor = read(folder, PREPROCESSOR)?;
    let video_preprocessor = read(folder, VIDEO_PREPROCESSOR)?;
    from_json(ProcessorFiles {
        processor: processor.as_ref(),
        preprocessor: preprocessor.as_ref(),
        video_preprocessor: video_preprocessor.as_ref(),
    })
}

/// `None` if there is no such file.
fn read(folder: &Path, file: &'static str) -> Result<Option<Value>, ProcessorError> {
    let path = folder.join(file);
    let failed = |source| ProcessorError::Read { path: path.clone(), source };
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
        Ok(metadata) if !metadata.is_file() => return Err(failed(std::io::ErrorKind::IsADirectory.into())),
        Ok(metadata) if metadata.len() > FILE_BYTES => return Err(failed(std::io::ErrorKind::FileTooLarge.into())),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(&path).map_err(failed)?;
    opened.take(FILE_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    serde_json::from_slice(&bytes).map(Some).map_err(|source| ProcessorError::Json { file, source })
}

pub(super) fn from_json(files: ProcessorFiles<'_>) -> Result<VisionProcessor, ProcessorError> {
    let processor = files.processor.map(|value| Fields::root(PROCESSOR, value)).transpose()?;
    let preprocessor = files.preprocessor.map(|value| Fields::root(PREPROCESSOR, value)).transpose()?;
    let video_preprocessor =
        files.video_preprocessor.map(|value| Fields::root(VIDEO_PREPROCESSOR, value)).transpose()?;
    let nested = |name| processor.as_ref().map_or(Ok(None), |fields| fields.object(name));
    let image = nested("image_processor")?.or(preprocessor.clone()).ok_or(ProcessorError::Missing)?;
    let video = nested("video_processor")?.or(video_preprocessor).or(preprocessor);
    Ok(VisionProcessor { image: image_settings(&image)?, video: video_settings(video)? })
}

fn image_settings(fields: &Fields<'_>) -> Result<Settings, ProcessorError> {
    fields.one_of("image_processor_type", IMAGE_TYPES)?;
    settings(fields, (56 * 56, 28 * 28 * 1280))
}

fn video_settings(fields: Option<Fields<'_>>) -> Result<Video, ProcessorError> {
    let field = "video_processor_type";
    let Some(fields) = fields else {
        return Ok(Video::Unknown { file: PROCESSOR, field, found: "no video processor".to_owned() });
    };
    match fields.one_of(field, VIDEO_TYPES) {
        Err(ProcessorError::Unsupported { file, found, .. }) => return Ok(Video::Unknown { file, field, found }),
        other => other?,
    }
    let mut settings = settings(&fields, (128 * 28 * 28, 28 * 28 * 768))?;
    if fields.flag("cap_pixels_per_frame", false)? {
        settings.video_tokens = Some(fields.count("max_video_tokens", 1..=1 << 32, 128_000)?);
    }
    Ok(Video::Known(settings))
}

fn settings(fields: &Fields<'_>, default_bounds: (u64, u64)) -> Result<Settings, ProcessorError> {
    let patch = fields.count("patch_size", 1..=256, 14)? as usize;
    let temporal = fields.count("temporal_patch_size", 1..=16, 2)? as usize;
    let merge = fields.count("merge_size", 1..=16, 2)? as usize;
    let sizing = if fields.flag("do_resize", true)? { Sizing::Smart } else { Sizing::Keep };
    if sizing == Sizing::Smart {
        fields.only("resample", 3, "3 (bicubic)")?;
    }
    let (min_pixels, max_pixels) = bounds(fields, default_bounds)?;
    check_bounds(fields.file(), min_pixels, max_pixels, patch * merge)?;
    let values = Box::new(values(fields)?);
    Ok(Settings { patch, temporal, merge, values, sizing, min_pixels, max_pixels, video_tokens: None })
}

/// `min_pixels` and `max_pixels` win over `size`, whose keys have had two names.
fn bounds(fields: &Fields<'_>, default: (u64, u64)) -> Result<(u64, u64), ProcessorError> {
    let size = fields.object("size")?;
    let one = |name, edge, default| {
        let pixels = 0..=u64::MAX;
        let default = match &size {
            None => default,
            Some(size) if size.has(edge) => size.count(edge, pixels.clone(), default)?,
            Some(size) if size.has(name) => size.count(name, pixels.clone(), default)?,
            Some(_) if fields.has(name) => default,
            Some(size) => return Err(size.missing(edge)),
        };
        fields.count(name, pixels, default)
    };
    Ok((one("min_pixels", "shortest_edge", default.0)?, one("max_pixels", "longest_edge", default.1)?))
}

/// What each byte becomes, in the reference's f32 steps: mean and deviation are divided by the rescale factor first, then
/// subtracted and divided by.
fn values(fields: &Fields<'_>) -> Result<[[f32; 256]; 3], ProcessorError> {
    let rescale = fields.flag("do_rescale", true)?.then(|| fields.number("rescale_factor", 1e-6..=1.0, 1.0 / 255.0));
    let rescale = rescale.transpose()?;
    let normalize = fields.flag("do_normalize", true)?;
    let mean = fields.triple("image_mean", -1000.0..=1000.0, CLIP_MEAN)?;
    let std = fields.triple("image_std", 1e-6..=1000.0, CLIP_STD)?;
    let mut values = [[0.0; 256]; 3];
    for (channel, table) in values.iter_mut().enumerate() {
        let (mean, std) = (mean[channel] as f32, std[channel] as f32);
        for (byte, value) in table.iter_mut().enumerate() {
            let byte = byte as f32;
            *value = match (rescale, normalize) {
                (Some(factor), true) => {
                    let inverse = (1.0 / factor) as f32;
                    (byte - mean * inverse) / (std * inverse)
                }
                (Some(factor), false) => byte * factor as f32,
                (None, true) => (byte - mean) / std,
                (None, false) => byte,
            };
        }
    }
    Ok(values)
}
