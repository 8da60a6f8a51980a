//! From bytes within limits to upright RGB, decoder by decoder.

use std::io::Cursor;
use std::panic::catch_unwind;

use image::codecs::bmp::BmpDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{ImageDecoder, Limits};

use super::convert::to_rgb;
use super::error::{ImageError, Limit};
use super::exif::{orientation, upright};
use super::{Format, Header, ImageLimits, RgbImage, header, jpeg, le32};
use crate::excerpt::excerpt;

/// Passes over one picture that are still taken for honest.
const JPEG_SCANS: usize = 100;

/// Bytes that the chunks around a PNG's pixels may unpack to.
const PNG_CHUNKS: u64 = 8 << 20;

pub(super) fn decode(bytes: &[u8], limits: &ImageLimits) -> Result<RgbImage, ImageError> {
    let header = checked_header(bytes, limits)?;
    contain(header.format, || {
        let image = decode_pixels(bytes, header, limits)?;
        Ok(upright(image, orientation(bytes, header.format)))
    })
}

/// The header of bytes that pass every limit and whose container is complete.
pub fn checked_header(bytes: &[u8], limits: &ImageLimits) -> Result<Header, ImageError> {
    let found = bytes.len() as u64;
    if found > limits.encoded_bytes {
        return Err(ImageError::TooManyBytes { found, limit: limits.encoded_bytes });
    }
    let header = header(bytes)?;
    limits.check(header)?;
    check_container(bytes, header.format)?;
    Ok(header)
}

/// What decoders overlook.
fn check_container(bytes: &[u8], format: Format) -> Result<(), ImageError> {
    let cut = ImageError::Truncated { format, found: bytes.len() };
    match format {
        Format::WebP => {
            let declared = le32(bytes, 4).map_or(u64::MAX, |n| u64::from(n) + 8);
            if declared > bytes.len() as u64 { Err(cut) } else { Ok(()) }
        }
        Format::Jpeg => {
            let markers = jpeg::markers(bytes);
            let unsupported = |feature: &str| Err(ImageError::Unsupported { format, feature: feature.to_owned() });
            if markers.end == jpeg::End::Cut {
                Err(cut)
            } else if markers.components == 4 && markers.adobe.is_none() {
                unsupported("four components without an Adobe marker (nothing says whether the inks are inverted)")
            } else if markers.scans > JPEG_SCANS {
                unsupported(&format!("{} scans, more than {JPEG_SCANS},", markers.scans))
            } else {
                Ok(())
            }
        }
        Format::Png | Format::Gif | Format::Bmp => Ok(()),
    }
}

/// Runs a decoder so that its panic is an error of this picture only.
pub(crate) fn contain<T, E: From<ImageError>>(
    format: Format,
    decoder: impl FnOnce() -> Result<T, E> + std::panic::UnwindSafe,
) -> Result<T, E> {
    catch_unwind(decoder).unwrap_or_else(|_| Err(ImageError::Decoder { format }.into()))
}

fn decode_pixels(bytes: &[u8], header: Header, limits: &ImageLimits) -> Result<RgbImage, ImageError> {
    let format = header.format;
    let failed = |e| decoder_error(e, format, bytes.len());
    let input = Cursor::new(bytes);
    match format {
        Format::Png => {
            let mut bounds = decoder_limits(limits);
            // Charged for comments, colour profiles and a few rows; the pixels themselves are checked in `read`.
            bounds.max_alloc = Some(PNG_CHUNKS.min(limits.decoder_bytes));
            read(PngDecoder::with_limits(input, bounds).map_err(failed)?, bytes, header, limits)
        }
        Format::Jpeg => read(JpegDecoder::new(input).map_err(failed)?, bytes, header, limits),
        Format::WebP => read(WebPDecoder::new(input).map_err(failed)?, bytes, header, limits),
        Format::Gif => read(GifDecoder::new(input).map_err(failed)?, bytes, header, limits),
        Format::Bmp => read(BmpDecoder::new(input).map_err(failed)?, bytes, header, limits),
    }
}

fn read(
    mut decoder: impl ImageDecoder,
    bytes: &[u8],
    header: Header,
    limits: &ImageLimits,
) -> Result<RgbImage, ImageError> {
    let Header { format, width, height } = header;
    let failed = |e| decoder_error(e, format, bytes.len());
    decoder.set_limits(decoder_limits(limits)).map_err(failed)?;
    if decoder.dimensions() != (width, height) {
        let (w, h) = decoder.dimensions();
        return Err(ImageError::Decode { format, reason: format!("declares {width}×{height} and {w}×{h}") });
    }
    let (stored, total) = (decoder.color_type(), decoder.total_bytes());
    let too_large = || ImageError::TooLarge { format, width, height, limit: Limit::Bytes(limits.decoder_bytes) };
    if total > limits.decoder_bytes {
        return Err(too_large());
    }
    let total = usize::try_from(total).map_err(|_| too_large())?;
    let mut values = Vec::new();
    values.try_reserve_exact(total).map_err(|_| too_large())?;
    values.resize(total, 0);
    decoder.read_image(&mut values).map_err(failed)?;
    let pixels = to_rgb(stored, values)
        .ok_or_else(|| ImageError::Unsupported { format, feature: format!("pixels stored as {stored:?}") })?;
    RgbImage::new(width, height, pixels)
}

/// This project's limits in the decoders' form.
pub(crate) fn decoder_limits(limits: &ImageLimits) -> Limits {
    let mut decoder = Limits::no_limits();
    decoder.max_image_width = Some(limits.side);
    decoder.max_image_height = Some(limits.side);
    decoder.max_alloc = Some(limits.decoder_bytes);
    decoder
}

/// A decoder's error in this project's words.
pub(crate) fn decoder_error(error: image::ImageError, format: Format, found: usize) -> ImageError {
    match error {
        image::ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImageError::Truncated { format, found }
        }
        image::ImageError::Unsupported(e) => ImageError::Unsupported { format, feature: excerpt(&e.to_string()) },
        e => ImageError::Decode { format, reason: excerpt(&e.to_string()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Explain;

    #[test]
    fn a_panic_becomes_an_error() {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let result: Result<(), ImageError> = contain(Format::Gif, || panic!("as a decoder might"));
        std::panic::set_hook(hook);
        assert_eq!(result.unwrap_err().code(), "IMAGE_DECODER");
    }
}
