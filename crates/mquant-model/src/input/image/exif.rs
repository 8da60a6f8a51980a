//! The Exif orientation, found and undone.

use std::io::Cursor;

use image::ImageDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;

use super::header::be32;
use super::{Format, RgbImage};

/// How the stored pixels are turned; `NoTransforms` if there is no Exif, or none that can be read.
pub(crate) fn orientation(bytes: &[u8], format: Format) -> Orientation {
    let exif = match format {
        Format::Png => png_exif(bytes).map(<[u8]>::to_vec),
        Format::Jpeg => JpegDecoder::new(Cursor::new(bytes)).and_then(|mut d| d.exif_metadata()).ok().flatten(),
        Format::WebP => WebPDecoder::new(Cursor::new(bytes)).and_then(|mut d| d.exif_metadata()).ok().flatten(),
        Format::Gif | Format::Bmp => None,
    };
    // Some writers keep the prefix that only JPEG segments need.
    let exif = exif.as_deref().map(|e| e.strip_prefix(b"Exif\0\0").unwrap_or(e));
    exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms)
}

/// The `eXIf` chunk, which may stand behind the pixels, where the decoder does not look.
fn png_exif(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 8;
    loop {
        let length = be32(bytes, at)? as usize;
        let body = at + 8;
        if bytes.get(at + 4..body)? == b"eXIf" {
            return bytes.get(body..body.checked_add(length)?);
        }
        at = body.checked_add(length)?.checked_add(4)?;
    }
}

/// The picture as its camera was held.
pub(crate) fn upright(image: RgbImage, orientation: Orientation) -> RgbImage {
    let (w, h) = (image.width as usize, image.height as usize);
    match orientation {
        Orientation::NoTransforms => image,
        Orientation::FlipHorizontal => turn(&image, (w, h), |x, y| (w - 1 - x, y)),
        Orientation::Rotate180 => turn(&image, (w, h), |x, y| (w - 1 - x, h - 1 - y)),
        Orientation::FlipVertical => turn(&image, (w, h), |x, y| (x, h - 1 - y)),
        Orientation::Rotate90FlipH => turn(&image, (h, w), |x, y| (y, x)),
        Orientation::Rotate90 => turn(&image, (h, w), |x, y| (y, h - 1 - x)),
        Orientation::Rotate270FlipH => turn(&image, (h, w), |x, y| (w - 1 - y, h - 1 - x)),
        Orientation::Rotate270 => turn(&image, (h, w), |x, y| (w - 1 - y, x)),
    }
}

/// `source(x, y)` is where the pixel at `(x, y)` of the result of `size` is stored.
fn turn(image: &RgbImage, size: (usize, usize), source: impl Fn(usize, usize) -> (usize, usize)) -> RgbImage {
    let stride = image.width as usize;
    let (from, _) = image.pixels.as_chunks::<3>();
    let mut pixels = Vec::with_capacity(image.pixels.len());
    for y in 0..size.1 {
        for x in 0..size.0 {
            let (sx, sy) = source(x, y);
            pixels.extend_from_slice(&from[sy * stride + sx]);
        }
    }
    let [width, height] = if size.0 == stride { [image.width, image.height] } else { [image.height, image.width] };
    RgbImage { width, height, pixels }
}
