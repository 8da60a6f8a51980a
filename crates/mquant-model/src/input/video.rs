//! Videos: a folder of frames, an animated GIF or an animated WebP enters, upright frames of one size leave.
//!
//! Frames are counted and measured in the container before the first one is decoded. An animation yields every composed
//! frame (disposal and blending done, laid over white), in order, whatever its timing; sampling is the caller's. A folder
//! yields its files in natural order (`2.png` before `10.png`); dotfiles are skipped, anything else that is no picture is
//! an error, for a frame that is dropped silently would change what the model sees.

use std::cmp::Ordering;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, ImageDecoder, RgbaImage};

use super::image::{self as picture, Format, Header, ImageError, ImageLimits, RgbImage};
use crate::error::{Class, Explain, io_class};

mod count;
mod webp;

/// What a video may cost. Exceeding any of these is an error before a frame is decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoLimits {
    /// Of every frame; of an animation as a whole: its encoded bytes.
    pub image: ImageLimits,
    /// Frames.
    pub frames: usize,
    /// Pixels of all frames together.
    pub pixels: u64,
}

impl Default for VideoLimits {
    /// 256 frames, 178.9 million pixels in all (512 MiB of RGB).
    fn default() -> Self {
        Self { image: ImageLimits::default(), frames: 256, pixels: (512 << 20) / 3 }
    }
}

/// Why a video was refused.
#[derive(Debug, thiserror::Error)]
pub enum VideoError {
    /// The folder cannot be listed.
    #[error("{}: {source}", path.display())]
    Open {
        /// As the user gave it.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A fault of a frame or of the file that holds them.
    #[error(transparent)]
    Frame(#[from] ImageError),
    /// A still picture or a container of another kind.
    #[error("expected a folder of frames, an animated GIF or an animated WebP, found {found}")]
    Container {
        /// What it is.
        found: String,
    },
    /// Something in a folder that is no frame.
    #[error("{}: expected only frames in this folder, found {found}", path.display())]
    Stranger {
        /// The entry.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// None, or more than the limit.
    #[error("expected 1 to {limit} frames, found {found}")]
    Frames {
        /// As counted in the container; counting stops at the first one too many.
        found: usize,
        /// [`VideoLimits::frames`].
        limit: usize,
    },
    /// A container holds another number of frames than it declares.
    #[error("{format}: expected {declared} frames, found {found}")]
    Lost {
        /// By content.
        format: Format,
        /// As counted in the container.
        declared: usize,
        /// As decoded.
        found: usize,
    },
    /// Frames of a folder differ in size.
    #[error("{}: expected a frame of {}×{} like the first, found {}×{}", path.display(), expected.0, expected.1, found.0, found.1)]
    Size {
        /// The frame.
        path: PathBuf,
        /// Width and height of the first frame.
        expected: (u32, u32),
        /// Width and height of this one.
        found: (u32, u32),
    },
    /// More pixels in all than the limit.
    #[error("{frames} frames of {width}×{height}: expected at most {limit} pixels in all")]
    TooLarge {
        /// Their number.
        frames: usize,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// [`VideoLimits::pixels`].
        limit: u64,
    },
}

impl Explain for VideoError {
    fn class(&self) -> Class {
        match self {
            Self::Open { source, .. } => io_class(source, Class::Input),
            Self::Frame(source) => source.class(),
            Self::Container { .. } => Class::Unsupported,
            _ => Class::Input,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "VIDEO_OPEN",
            Self::Frame(source) => source.code(),
            Self::Container { .. } => "VIDEO_FORMAT",
            Self::Stranger { .. } => "VIDEO_FOLDER",
            Self::Frames { .. } => "VIDEO_FRAMES",
            Self::Lost { .. } => "VIDEO_DECODE",
            Self::Size { .. } => "VIDEO_SIZE",
            Self::TooLarge { .. } => "VIDEO_TOO_LARGE",
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Frame(source) => return source.hint(),
            Self::Container { .. } => {
                "extract frames first, for example `ffmpeg -i clip.mp4 -vf fps=2 frames/%05d.png`, and give the folder with `--fps 2`"
            }
            Self::Frames { found, .. } if *found > 0 => "take fewer frames a second",
            Self::Size { .. } => "extract all frames at one size",
            Self::TooLarge { .. } => "take fewer or smaller frames",
            Self::Stranger { .. } => "move it elsewhere",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// All frames of a folder or an animated file.
///
/// # Errors
/// See [`VideoError`]; at most one frame more than allowed is ever looked at.
pub fn open(path: &Path, limits: &VideoLimits) -> Result<Vec<RgbImage>, VideoError> {
    let failed = |source| VideoError::Open { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.is_dir() {
        return folder(path, limits);
    }
    let bytes = picture::read(path, limits.image.encoded_bytes)?;
    decode(&bytes, limits)
}

/// All composed frames of an animated GIF or WebP; a GIF of one picture is a video of one frame.
///
/// # Errors
/// See [`VideoError`]; nothing is decoded when the container declares too many frames or pixels.
pub fn decode(bytes: &[u8], limits: &VideoLimits) -> Result<Vec<RgbImage>, VideoError> {
    let format = match picture::format(bytes) {
        Ok(format @ (Format::Gif | Format::WebP)) => format,
        Ok(format) => return Err(VideoError::Container { found: format!("{format}, a still picture") }),
        Err(ImageError::UnknownFormat { found }) => return Err(VideoError::Container { found: found.to_owned() }),
        Err(e) => return Err(e.into()),
    };
    let header = picture::checked_header(bytes, &limits.image)?;
    let stop = limits.frames.saturating_add(1);
    let declared = if format == Format::Gif { count::gif(bytes, stop) } else { count::webp(bytes, stop) };
    check_total(declared, (header.width, header.height), limits)?;
    picture::contain(format, || {
        let frames = composed_frames(bytes, header, limits)?;
        match frames.len() {
            found if found == declared => Ok(frames),
            found => Err(VideoError::Lost { format, declared, found }),
        }
    })
}

fn check_total(frames: usize, (width, height): (u32, u32), limits: &VideoLimits) -> Result<(), VideoError> {
    if frames == 0 || frames > limits.frames {
        return Err(VideoError::Frames { found: frames, limit: limits.frames });
    }
    let pixels = u128::from(width) * u128::from(height) * frames as u128;
    if pixels > u128::from(limits.pixels) {
        return Err(VideoError::TooLarge { frames, width, height, limit: limits.pixels });
    }
    Ok(())
}

fn composed_frames(bytes: &[u8], header: Header, limits: &VideoLimits) -> Result<Vec<RgbImage>, VideoError> {
    let format = header.format;
    let orientation = picture::orientation(bytes, format);
    let mut images = Vec::new();
    let mut keep = |rgba: &RgbaImage| -> Result<(), VideoError> {
        let (width, height) = rgba.dimensions();
        let (pixels, _) = rgba.as_raw().as_chunks::<4>();
        let rgb = pixels.iter().flat_map(|&[r, g, b, a]| [r, g, b].map(|v| picture::over_white(v, a))).collect();
        images.push(picture::upright(RgbImage::new(width, height, rgb)?, orientation));
        Ok(())
    };
    if format == Format::WebP {
        webp::composed(bytes, header, &limits.image, keep)?;
    } else {
        let failed = |e| picture::decoder_error(e, format, bytes.len());
        let mut decoder = GifDecoder::new(Cursor::new(bytes)).map_err(failed)?;
        decoder.set_limits(picture::decoder_limits(&limits.image)).map_err(failed)?;
        for frame in decoder.into_frames() {
            keep(frame.map_err(failed)?.buffer())?;
        }
    }
    Ok(images)
}

fn folder(path: &Path, limits: &VideoLimits) -> Result<Vec<RgbImage>, VideoError> {
    let mut files = frame_files(path, limits)?;
    files.sort_by(|a, b| natural_order(&a.to_string_lossy(), &b.to_string_lossy()).then_with(|| a.cmp(b)));
    let mut frames: Vec<RgbImage> = Vec::with_capacity(files.len());
    for file in &files {
        let frame = match picture::open(file, &limits.image) {
            Err(ImageError::InFile { path, source }) => match *source {
                ImageError::UnknownFormat { found } => return Err(VideoError::Stranger { path, found }),
                _ => return Err(ImageError::InFile { path, source }.into()),
            },
            frame => frame?,
        };
        let found = (frame.width(), frame.height());
        match frames.first().map(|first| (first.width(), first.height())) {
            None => check_total(files.len(), found, limits)?,
            Some(expected) if expected != found => {
                return Err(VideoError::Size { path: file.clone(), expected, found });
            }
            Some(_) => {}
        }
        frames.push(frame);
    }
    Ok(frames)
}

/// All entries but dotfiles, in no order; refuses folders, and counts as it lists.
fn frame_files(path: &Path, limits: &VideoLimits) -> Result<Vec<PathBuf>, VideoError> {
    let failed = |source| VideoError::Open { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.path().is_dir() {
            return Err(VideoError::Stranger { path: entry.path(), found: "a folder" });
        }
        files.push(entry.path());
        if files.len() > limits.frames {
            break;
        }
    }
    match files.len() {
        found if found == 0 || found > limits.frames => Err(VideoError::Frames { found, limit: limits.frames }),
        _ => Ok(files),
    }
}

/// Runs of digits compare as numbers, everything else as characters.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        match (a.chars().next(), b.chars().next()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (number_a, rest_a) = leading_number(a);
                let (number_b, rest_b) = leading_number(b);
                match number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b)) {
                    Ordering::Equal => (a, b) = (rest_a, rest_b),
                    order => return order,
                }
            }
            (Some(x), Some(y)) if x == y => (a, b) = (&a[x.len_utf8()..], &b[y.len_utf8()..]),
            (Some(x), Some(y)) => return x.cmp(&y),
        }
    }
}

/// The digits in front, without leading zeros, and what follows.
fn leading_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].trim_start_matches('0'), &text[end..])
}
