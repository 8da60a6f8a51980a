//! A processor's files to [`Settings`], every field checked.
//!
//! Which object counts is the reference's choice: for pictures `image_processor` of `processor_config.json`, else
//! `preprocessor_config.json`; for videos `video_processor` of the former, else `video_preprocessor_config.json`, else the
//! picture's `preprocessor_config.json` with its bounds. An absent or null field takes the reference's default, which differs
//! between pictures and videos. `do_convert_rgb` is true by construction here, and `do_sample_frames` is the caller's affair but for the processors
//! that sample by themselves.

use std::ops::RangeInclusive;

use super::error::ProcessorError;
use super::sampling::Sampling;
use super::smart_resize::{Target, smart_resize, smart_resize_video};
use super::{Grid, Patching, PixelBounds, VisionProcessor};
use crate::checkpoint::{Checkpoint, FieldError, Fields};

const PROCESSOR: &str = "processor_config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const VIDEO_PREPROCESSOR: &str = "video_preprocessor_config.json";

const IMAGE_TYPES: [(&str, ()); 5] = [
    ("Qwen2VLImageProcessor", ()),
    ("Qwen2VLImageProcessorFast", ()),
    ("Qwen2VLImageProcessorPil", ()),
    ("Qwen2_5_VLImageProcessor", ()),
    ("Qwen2_5_VLImageProcessorFast", ()),
];
const VIDEO_TYPES: [(&str, VideoType); 2] =
    [("Qwen2VLVideoProcessor", VideoType::Qwen2), ("Qwen3VLVideoProcessor", VideoType::Qwen3)];

/// The number of the one resampling filter that is implemented.
const BICUBIC: usize = 3;

/// What stands in for absent fields.
struct Defaults {
    bounds: Bounds,
    patch: usize,
    mean: [f64; 3],
    std: [f64; 3],
}

const CLIP: Defaults = Defaults {
    bounds: Bounds { min_pixels: 56 * 56, max_pixels: 28 * 28 * 1280 },
    patch: 14,
    mean: [0.48145466, 0.4578275, 0.40821073],
    std: [0.26862954, 0.26130258, 0.27577711],
};

/// Most pixels that a small picture may be enlarged to: its patches take 24 bytes for each.
const MIN_PIXELS: u64 = 1 << 24;
const MAX_PIXELS: u64 = 1 << 40;

/// The files of a model folder that exist and say how pictures and videos are prepared.
#[derive(Clone, Debug, Default)]
pub struct ProcessorFiles {
    /// `processor_config.json`.
    pub processor: Option<Fields>,
    /// `preprocessor_config.json`.
    pub preprocessor: Option<Fields>,
    /// `video_preprocessor_config.json`.
    pub video_preprocessor: Option<Fields>,
}

/// Which processor a video has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VideoType {
    /// All frames; bounds on the pixels of a frame.
    Qwen2,
    /// Frames sampled by time; bounds on the pixels of all frames together.
    Qwen3,
}

/// How pictures, or a video's frames, are prepared.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Where they were read.
    fields: Fields,
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
    /// Which frames of a video are kept; None keeps all.
    sampling: Option<Sampling>,
}

/// The fewest and the most pixels.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    min_pixels: u64,
    max_pixels: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sizing {
    /// Bounds on a picture's pixels.
    Smart,
    /// Bounds on the pixels of all frames together.
    Whole,
    Keep,
}

/// Why a model's videos cannot be prepared, though its pictures can.
#[derive(Clone, Debug)]
pub(super) enum Unprepared {
    Undescribed,
    Unknown(FieldError),
}

impl From<Unprepared> for ProcessorError {
    fn from(reason: Unprepared) -> Self {
        match reason {
            Unprepared::Undescribed => ProcessorError::NoVideo,
            Unprepared::Unknown(e) => e.into(),
        }
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
            Sizing::Whole if frames < self.temporal => {
                return Err(ProcessorError::FewFrames { found: frames, expected: self.temporal });
            }
            Sizing::Whole => {
                let max_pixels = self.whole_cap(frames, factor);
                let target = Target { factor, min_pixels: self.min_pixels, max_pixels };
                smart_resize_video(frames, self.temporal, (width, height), target)?
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

    /// Which of `frames` frames that follow one another `fps` a second are used.
    pub(super) fn sampled(&self, frames: usize, fps: f32) -> Result<Vec<usize>, ProcessorError> {
        if frames == 0 {
            return Err(ProcessorError::NoFrames);
        }
        let all = || (0..frames).collect();
        Ok(self.sampling.map_or_else(all, |sampling| sampling.indices(frames, f64::from(fps))))
    }

    /// Most pixels of all frames together; where frames are capped, none has more than the tokens of a frame or its share.
    fn whole_cap(&self, frames: usize, factor: u32) -> u64 {
        let Some(tokens) = self.video_tokens else { return self.max_pixels };
        let of_frame = tokens.saturating_mul(u64::from(factor).pow(2)).min(self.max_pixels / frames as u64);
        of_frame.max((self.min_pixels as f64 * 1.05) as u64).saturating_mul(frames as u64)
    }

    /// Most pixels of a frame: nine tenths of the tokens of a long video shared among its frames, yet never below the minimum.
    fn frame_cap(&self, frames: usize, factor: u32) -> u64 {
        let Some(tokens) = self.video_tokens else { return self.max_pixels };
        let factor = f64::from(factor);
        let total = (tokens as f64 * factor * factor * 0.9) as u64;
        let share = total.saturating_mul(self.temporal as u64) / frames as u64;
        self.max_pixels.min(share).max((self.min_pixels as f64 * 1.05) as u64)
    }

    /// Whether pictures are cut as the model reads them.
    pub(super) fn check_patching(&self, model: &Patching) -> Result<(), ProcessorError> {
        let pairs = [
            ("patch_size", self.patch, model.patch),
            ("temporal_patch_size", self.temporal, model.temporal),
            ("merge_size", self.merge, model.merge),
        ];
        match pairs.into_iter().find(|(_, ours, theirs)| *ours != theirs.value) {
            None => Ok(()),
            Some((key, found, theirs)) => Err(ProcessorError::Mismatch {
                file: self.fields.file().to_owned(),
                field: self.fields.field(key),
                found,
                model_field: theirs.field,
                expected: theirs.value,
            }),
        }
    }

    pub(super) fn set_bounds(&mut self, bounds: PixelBounds) -> Result<(), ProcessorError> {
        let min = bounds.min.unwrap_or(self.min_pixels);
        let max = bounds.max.unwrap_or(self.max_pixels);
        let token = pixels_of_a_token(self.patch, self.merge);
        let refused = |option, found, expected| Err(ProcessorError::Option { option, found, expected });
        if !(1..=MIN_PIXELS).contains(&min) {
            return refused("min_pixels", min, format!("1 to {MIN_PIXELS}"));
        }
        if !(token..=MAX_PIXELS).contains(&max) {
            return refused("max_pixels", max, format!("{token} (one token) to {MAX_PIXELS}"));
        }
        if max < min {
            return refused("max_pixels", max, format!("at least min_pixels, {min}"));
        }
        (self.min_pixels, self.max_pixels) = (min, max);
        Ok(())
    }
}

fn pixels_of_a_token(patch: usize, merge: usize) -> u64 {
    let side = (patch * merge) as u64;
    side * side
}

pub(super) fn read(checkpoint: &Checkpoint) -> Result<VisionProcessor, ProcessorError> {
    from_fields(ProcessorFiles {
        processor: checkpoint.fields(PROCESSOR)?,
        preprocessor: checkpoint.fields(PREPROCESSOR)?,
        video_preprocessor: checkpoint.fields(VIDEO_PREPROCESSOR)?,
    })
}

pub(super) fn from_fields(files: ProcessorFiles) -> Result<VisionProcessor, ProcessorError> {
    let ProcessorFiles { processor, preprocessor, video_preprocessor } = files;
    let nested = |name| processor.as_ref().map_or(Ok(None), |fields| fields.opt_object(name));
    let image = nested("image_processor")?.or(preprocessor.clone()).ok_or(ProcessorError::Missing)?;
    let video = nested("video_processor")?.or(video_preprocessor).or(preprocessor);
    Ok(VisionProcessor { image: image_settings(image)?, video: video_settings(video)? })
}

fn image_settings(fields: Fields) -> Result<Settings, FieldError> {
    fields.opt_choice("image_processor_type", &IMAGE_TYPES)?;
    settings(fields, &CLIP)
}

fn video_settings(fields: Option<Fields>) -> Result<Result<Settings, Unprepared>, FieldError> {
    let Some(fields) = fields else { return Ok(Err(Unprepared::Undescribed)) };
    let kind = match fields.opt_choice("video_processor_type", &VIDEO_TYPES) {
        Err(unknown @ FieldError::Choice { .. }) => return Ok(Err(Unprepared::Unknown(unknown))),
        known => known?.unwrap_or(VideoType::Qwen2),
    };
    let default = match kind {
        VideoType::Qwen2 => {
            Defaults { bounds: Bounds { min_pixels: 128 * 28 * 28, max_pixels: 28 * 28 * 768 }, ..CLIP }
        }
        VideoType::Qwen3 => Defaults {
            bounds: Bounds { min_pixels: 128 * 32 * 32, max_pixels: 32 * 32 * 768 },
            patch: 16,
            mean: [0.5; 3],
            std: [0.5; 3],
        },
    };
    let mut settings = settings(fields, &default)?;
    let fields = &settings.fields;
    if fields.bool_or("cap_pixels_per_frame", false)? {
        let tokens = fields.opt_u64("max_video_tokens", 1..=1 << 32)?;
        settings.video_tokens = Some(tokens.unwrap_or(if kind == VideoType::Qwen3 { 768 } else { 128_000 }));
    }
    if kind == VideoType::Qwen3 {
        if fields.bool_or("do_sample_frames", true)? {
            settings.sampling = Some(Sampling {
                fps: fields.f64_or("fps", 2.0, 1e-3..=1e3)?,
                min_frames: fields.usize_or("min_frames", 4, 1..=1 << 20)?,
                max_frames: fields.usize_or("max_frames", 768, 1..=1 << 20)?,
            });
        }
        if settings.sizing == Sizing::Smart {
            settings.sizing = Sizing::Whole;
        }
    }
    Ok(Ok(settings))
}

fn settings(fields: Fields, default: &Defaults) -> Result<Settings, FieldError> {
    let patch = fields.usize_or("patch_size", default.patch, 1..=256)?;
    let temporal = fields.usize_or("temporal_patch_size", 2, 1..=16)?;
    let merge = fields.usize_or("merge_size", 2, 1..=16)?;
    let sizing = if fields.bool_or("do_resize", true)? { Sizing::Smart } else { Sizing::Keep };
    if sizing == Sizing::Smart && fields.opt_usize("resample", 0..=5)?.is_some_and(|filter| filter != BICUBIC) {
        return Err(fields.unsupported("resample", "3 (bicubic)"));
    }
    let Bounds { min_pixels, max_pixels } = bounds(&fields, &default.bounds, pixels_of_a_token(patch, merge))?;
    let values = Box::new(values(&fields, default)?);
    let (video_tokens, sampling) = (None, None);
    Ok(Settings { fields, patch, temporal, merge, values, sizing, min_pixels, max_pixels, video_tokens, sampling })
}

/// `min_pixels` and `max_pixels` win over `size`, whose keys have had two names. Published bounds may cross, as those of a file
/// that sets one of them and takes the other's default: too many pixels are then looked for first, as in the reference.
fn bounds(fields: &Fields, default: &Bounds, token: u64) -> Result<Bounds, FieldError> {
    let size = fields.opt_object("size")?;
    let one = |name, edge, range: RangeInclusive<u64>, default| {
        if let Some(pixels) = fields.opt_u64(name, range.clone())? {
            return Ok(pixels);
        }
        let Some(size) = &size else { return Ok(default) };
        let pixels = match size.opt_u64(edge, range.clone())? {
            None => size.opt_u64(name, range)?,
            found => found,
        };
        pixels.ok_or_else(|| size.missing(edge, "a number of pixels"))
    };
    Ok(Bounds {
        min_pixels: one("min_pixels", "shortest_edge", 1..=MIN_PIXELS, default.min_pixels)?,
        max_pixels: one("max_pixels", "longest_edge", token..=MAX_PIXELS, default.max_pixels)?,
    })
}

/// What each byte becomes, in the reference's f32 steps: mean and deviation are divided by the rescale factor first, then
/// subtracted and divided by.
fn values(fields: &Fields, default: &Defaults) -> Result<[[f32; 256]; 3], FieldError> {
    let factor = || fields.f64_or("rescale_factor", 1.0 / 255.0, 1e-6..=1.0);
    let rescale = fields.bool_or("do_rescale", true)?.then(factor).transpose()?;
    let normalize = fields.bool_or("do_normalize", true)?;
    let channels =
        |key, default: [f64; 3], range| Ok(fields.opt_f64_list(key, 3..=3, range)?.unwrap_or_else(|| default.to_vec()));
    let mean = channels("image_mean", default.mean, -1000.0..=1000.0)?;
    let std = channels("image_std", default.std, 1e-6..=1000.0)?;
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
