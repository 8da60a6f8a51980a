//! The composed frames of an animated WebP.
//!
//! Only still pictures are left to the decoder: its own blending loses one step of brightness per frame where nothing is drawn.
//! Each `ANMF` chunk holds a picture, its place on the canvas, whether it is blended over what is there, and whether its
//! place is cleared before the next one.

use std::io::Cursor;

use image::codecs::webp::WebPDecoder;
use image::{DynamicImage, ImageDecoder, RgbaImage};

use crate::input::image::{Format, Header, ImageError, ImageLimits, decoder_error, decoder_limits, le32};

const CLEAR: u8 = 1;
const OVERWRITE: u8 = 2;

/// Calls `each` with the canvas after every frame, in order.
pub(super) fn composed<E: From<ImageError>>(
    bytes: &[u8],
    canvas: Header,
    limits: &ImageLimits,
    mut each: impl FnMut(&RgbaImage) -> Result<(), E>,
) -> Result<(), E> {
    let mut shown = RgbaImage::new(canvas.width, canvas.height);
    let mut stale: Option<Place> = None;
    for body in chunks(bytes, 12).filter(|chunk| chunk.kind == b"ANMF").map(|chunk| chunk.body) {
        let place = place(body, canvas)?;
        if let Some(stale) = stale.take() {
            fill(&mut shown, stale);
        }
        draw(&mut shown, place, &picture(body, place, limits)?);
        each(&shown)?;
        stale = (place.flags & CLEAR != 0).then_some(place);
    }
    Ok(())
}

/// Where a frame goes, in pixels; inside the canvas.
#[derive(Clone, Copy)]
struct Place {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
    flags: u8,
}

fn place(body: &[u8], canvas: Header) -> Result<Place, ImageError> {
    let field = |at: usize| {
        let [a, b, c] = *body.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes([a, b, c, 0]))
    };
    let read = || {
        let (x, y, width, height) = (field(0)? * 2, field(3)? * 2, field(6)? + 1, field(9)? + 1);
        Some(Place { x, y, width, height, flags: *body.get(15)? })
    };
    let place = read().ok_or_else(|| wrong("a frame is cut"))?;
    if place.x + place.width > canvas.width || place.y + place.height > canvas.height {
        return Err(wrong("a frame reaches beyond the canvas"));
    }
    Ok(place)
}

fn wrong(reason: &str) -> ImageError {
    ImageError::Decode { format: Format::WebP, reason: reason.to_owned() }
}

/// The picture of a frame, decoded as a file of its own.
fn picture(body: &[u8], place: Place, limits: &ImageLimits) -> Result<RgbaImage, ImageError> {
    let failed = |e| decoder_error(e, Format::WebP, body.len());
    let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
    let parts: Vec<Chunk<'_>> = chunks(body, 16).collect();
    if parts.iter().any(|part| part.kind == b"ALPH") {
        let mut extended = [0; 10];
        extended[0] = 0x10;
        extended[4..7].copy_from_slice(&(place.width - 1).to_le_bytes()[..3]);
        extended[7..10].copy_from_slice(&(place.height - 1).to_le_bytes()[..3]);
        append(&mut file, b"VP8X", &extended);
    }
    for part in parts.iter().filter(|part| [b"ALPH", b"VP8 ", b"VP8L"].contains(&part.kind)) {
        append(&mut file, part.kind, part.body);
    }
    let length = u32::try_from(file.len() - 8).map_err(|_| wrong("a frame is too long"))?;
    file[4..8].copy_from_slice(&length.to_le_bytes());
    let mut decoder = WebPDecoder::new(Cursor::new(file)).map_err(failed)?;
    decoder.set_limits(decoder_limits(limits)).map_err(failed)?;
    if decoder.dimensions() != (place.width, place.height) {
        return Err(wrong("a frame and its picture differ in size"));
    }
    Ok(DynamicImage::from_decoder(decoder).map_err(failed)?.into_rgba8())
}

fn append(file: &mut Vec<u8>, kind: &[u8; 4], body: &[u8]) {
    file.extend(kind);
    // A chunk's body was found by a length of 32 bits.
    file.extend((body.len() as u32).to_le_bytes());
    file.extend(body);
    file.extend(std::iter::repeat_n(0, body.len() % 2));
}

fn fill(canvas: &mut RgbaImage, place: Place) {
    for y in place.y..place.y + place.height {
        for x in place.x..place.x + place.width {
            canvas.get_pixel_mut(x, y).0 = [0; 4];
        }
    }
}

fn draw(canvas: &mut RgbaImage, place: Place, picture: &RgbaImage) {
    for (x, y, from) in picture.enumerate_pixels() {
        let to = canvas.get_pixel_mut(place.x + x, place.y + y);
        to.0 = if place.flags & OVERWRITE != 0 { from.0 } else { blend(from.0, to.0) };
    }
}

/// `from` over `to`, neither premultiplied, in the format's integer steps.
fn blend(from: [u8; 4], to: [u8; 4]) -> [u8; 4] {
    let [.., alpha] = from.map(u64::from);
    match alpha {
        0 => to,
        255 => from,
        _ => {
            let rest = (u64::from(to[3]) * (256 - alpha)) >> 8;
            let sum = alpha + rest;
            let scale = (1 << 24) / sum;
            let mix = |c: usize| (((u64::from(from[c]) * alpha + u64::from(to[c]) * rest) * scale) >> 24) as u8;
            [mix(0), mix(1), mix(2), sum as u8]
        }
    }
}

struct Chunk<'a> {
    kind: &'a [u8; 4],
    body: &'a [u8],
}

/// The chunks that are whole, from `at`.
fn chunks(bytes: &[u8], mut at: usize) -> impl Iterator<Item = Chunk<'_>> {
    std::iter::from_fn(move || {
        let kind = bytes.get(at..)?.first_chunk()?;
        let length = le32(bytes, at + 4)? as usize;
        let body = bytes.get(at + 8..(at + 8).checked_add(length)?)?;
        // Chunks are padded to an even length.
        at += 8 + length + length % 2;
        Some(Chunk { kind, body })
    })
}
