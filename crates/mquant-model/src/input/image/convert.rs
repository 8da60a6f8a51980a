//! Stored pixels to 8-bit RGB; the table is in the folder's contract.

use image::ColorType;

/// RGB of `values`, stored as `stored`; `None` for a kind that no decoder here yields.
pub(super) fn to_rgb(stored: ColorType, values: Vec<u8>) -> Option<Vec<u8>> {
    Some(match stored {
        ColorType::Rgb8 => values,
        ColorType::L8 => spread(&values, |[v]| [v; 3]),
        ColorType::La8 => spread(&values, |[v, a]| [over_white(v, a); 3]),
        ColorType::L16 => spread(&values, |[a, b]| [upper([a, b]); 3]),
        ColorType::La16 => spread(&values, |[a, b, c, d]| [over_white(upper([a, b]), upper([c, d])); 3]),
        ColorType::Rgba8 => narrow(values, |[r, g, b, a]| [r, g, b].map(|v| over_white(v, a))),
        ColorType::Rgb16 => narrow(values, |[a, b, c, d, e, f]| [upper([a, b]), upper([c, d]), upper([e, f])]),
        ColorType::Rgba16 => narrow(values, |[a, b, c, d, e, f, g, h]| {
            [upper([a, b]), upper([c, d]), upper([e, f])].map(|v| over_white(v, upper([g, h])))
        }),
        _ => return None,
    })
}

/// `v` with opacity `a` on a white ground, rounded to nearest.
pub(crate) fn over_white(v: u8, a: u8) -> u8 {
    let (v, a) = (u32::from(v), u32::from(a));
    let sum = v * a + 255 * (255 - a);
    u8::try_from((sum + 127) / 255).expect("a mean of two bytes is a byte")
}

/// Of a value in the machine's byte order, as decoders give it.
fn upper(value: [u8; 2]) -> u8 {
    u16::from_ne_bytes(value).to_be_bytes()[0]
}

fn spread<const N: usize>(values: &[u8], rgb: impl Fn([u8; N]) -> [u8; 3]) -> Vec<u8> {
    let (pixels, _) = values.as_chunks::<N>();
    pixels.iter().flat_map(|&pixel| rgb(pixel)).collect()
}

/// In place: three bytes never take more room than `N`.
fn narrow<const N: usize>(mut values: Vec<u8>, rgb: impl Fn([u8; N]) -> [u8; 3]) -> Vec<u8> {
    let count = values.len() / N;
    for i in 0..count {
        let pixel: [u8; N] = *values[i * N..].first_chunk().expect("i < count");
        values[i * 3..i * 3 + 3].copy_from_slice(&rgb(pixel));
    }
    values.truncate(count * 3);
    values.shrink_to_fit();
    values
}
