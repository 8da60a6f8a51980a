//! Resampling against the reference's bytes on pictures of noise, the hardest for rounding (tools/fixtures/image_reference.py).

use crate::vision::picture::{columns, fixture, hash, noise_picture};
use mquant::input::resize::resize;

#[test]
fn every_byte_equals_the_reference() {
    let mut sizes = 0;
    let mut wrong = Vec::new();
    for line in fixture("resize.tsv").lines() {
        let [seed, w, h, to_w, to_h, expected] = columns(line);
        let number = |text: &str| text.parse::<u32>().unwrap();
        let image = noise_picture(number(seed).into(), number(w), number(h));
        let resized = resize(&image, number(to_w), number(to_h));
        assert_eq!((resized.width(), resized.height()), (number(to_w), number(to_h)));
        if hash(resized.pixels()) != expected {
            wrong.push(line.to_owned());
        }
        sizes += 1;
    }
    assert!(sizes >= 200);
    assert!(wrong.is_empty(), "{} of {sizes} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_flat_picture_stays_flat() {
    for value in [0, 1, 127, 254, 255] {
        for (from, to) in [((5, 3), (200, 117)), ((701, 333), (28, 56)), ((1, 1), (56, 56)), ((4000, 2), (28, 28))] {
            let (w, h): (u32, u32) = from;
            let flat = mquant::input::image::RgbImage::new(w, h, vec![value; (w * h * 3) as usize]).unwrap();
            assert!(resize(&flat, to.0, to.1).pixels().iter().all(|&v| v == value), "{value} {from:?} {to:?}");
        }
    }
}
