//! Pictures: encoded bytes enter, an upright 8-bit [`RgbImage`] leaves.
//!
//! The format is told by content, never by name. Every limit is checked against the header before a decoder sees the bytes;
//! a decoder runs contained, so that no input can panic the caller. The picture is turned upright by its Exif orientation
//! (1–8; JPEG, PNG, WebP) before anything measures it; Exif that cannot be read is ignored, as viewers do.
//!
//! # Conversion to RGB
//!
//! | stored as | becomes |
//! |---|---|
//! | grey of 1, 2, 4, 8 bits | the grey scaled to 0..=255 in all channels |
//! | 16 bits a channel | the upper byte; the reference clips 16-bit *grey* to 255 instead, which turns most of it white |
//! | palette, with or without transparency | its colours |
//! | anything with alpha or a transparent colour | laid over white, `round((v·a + 255·(255 − a)) / 255)` |
//! | CMYK and YCCK JPEG with an Adobe marker (inverted inks) | `ink·black / 255`; without the marker refused, for nothing tells its polarity |
//! | animation | the first composed frame |
//!
//! Colour profiles and gamma are not applied, as in the reference.

mod convert;
mod decode;
mod error;
mod exif;
mod header;
mod jpeg;
mod read;

use std::fmt;
use std::path::Path;

pub use error::{ImageError, Limit};

pub(crate) use convert::over_white;
pub use decode::checked_header;
pub(crate) use decode::{contain, decoder_error, decoder_limits};
pub(crate) use exif::{orientation, upright};
pub(crate) use header::{format, header, le32};
pub use read::read;

/// What a picture may cost. Exceeding any of these is an error before a pixel is decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    /// Bytes of the encoded picture.
    pub encoded_bytes: u64,
    /// Pixels of the decoded picture.
    pub pixels: u64,
    /// Pixels on one side.
    pub side: u32,
    /// Bytes that decoding may take at once.
    pub decoder_bytes: u64,
}

impl Default for ImageLimits {
    /// 20 MiB, 33.2 million pixels (8K), 16 384 on a side, 512 MiB.
    fn default() -> Self {
        Self { encoded_bytes: 20 << 20, pixels: 33_200_000, side: 16_384, decoder_bytes: 512 << 20 }
    }
}

impl ImageLimits {
    /// # Errors
    /// The limit that the declared size passes.
    fn check(&self, header: Header) -> Result<(), ImageError> {
        let Header { format, width, height } = header;
        let too_large = |limit| Err(ImageError::TooLarge { format, width, height, limit });
        if width.max(height) > self.side {
            return too_large(Limit::Side(self.side));
        }
        if u64::from(width) * u64::from(height) > self.pixels {
            return too_large(Limit::Pixels(self.pixels));
        }
        Ok(())
    }
}

/// Encodings that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Portable network graphics.
    Png,
    /// Baseline and progressive.
    Jpeg,
    /// Lossy, lossless, animated.
    WebP,
    /// Still and animated.
    Gif,
    /// Windows bitmap.
    Bmp,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Png => "PNG",
            Format::Jpeg => "JPEG",
            Format::WebP => "WebP",
            Format::Gif => "GIF",
            Format::Bmp => "BMP",
        })
    }
}

/// What the first bytes of a picture declare, before orientation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// By content.
    pub format: Format,
    /// Pixels; at least 1.
    pub width: u32,
    /// Pixels; at least 1.
    pub height: u32,
}

/// An upright picture of at least one pixel: 8-bit RGB, rows from the top, pixels from the left, channels interleaved.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl RgbImage {
    /// Takes `height · width · 3` bytes.
    ///
    /// # Errors
    /// [`ImageError::Shape`] if a side is 0 or the number of bytes is another.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self, ImageError> {
        let bytes = u128::from(width) * u128::from(height) * 3;
        if bytes == 0 || bytes != pixels.len() as u128 {
            return Err(ImageError::Shape { width, height, found: pixels.len() });
        }
        Ok(Self { width, height, pixels })
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// `height × width × 3`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

impl fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RgbImage({}×{})", self.width, self.height)
    }
}

/// Format and size from the header alone; nothing is decoded or allocated.
///
/// # Errors
/// Unknown formats, headers that are cut or wrong, empty pictures.
pub fn probe(bytes: &[u8]) -> Result<Header, ImageError> {
    header(bytes)
}

/// Decodes a picture, upright.
///
/// # Errors
/// One [`ImageError`] per class of fault; a decoder's panic is one of them.
pub fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<RgbImage, ImageError> {
    decode::decode(bytes, limits)
}

/// Reads and decodes a regular file.
///
/// # Errors
/// As [`decode`], with the path; and if the file cannot be read or is longer than the limit, found before it is read.
pub fn open(path: &Path, limits: &ImageLimits) -> Result<RgbImage, ImageError> {
    let bytes = read(path, limits.encoded_bytes)?;
    decode(&bytes, limits).map_err(|source| ImageError::InFile { path: path.to_owned(), source: Box::new(source) })
}
