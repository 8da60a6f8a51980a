//! Pictures on a terminal: two pixels a character, the upper one as the colour of `▀`, the lower one behind it.

use std::env;
use std::io::{IsTerminal, stdout};

use mquant::input::image::RgbImage;

/// Whether stdout is a terminal that says it shows 24-bit colours, and the user has not asked for none (`NO_COLOR`).
pub(crate) fn shown() -> bool {
    let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    let colours = env::var("COLORTERM").is_ok_and(|value| value == "truecolor" || value == "24bit");
    stdout().is_terminal() && colours && !set("NO_COLOR")
}

/// `image` as lines of at most `columns` characters, which end with resetting the colours.
pub(crate) fn art(image: &RgbImage, columns: u32) -> String {
    let columns = columns.min(image.width()).max(1);
    let tall = u64::from(image.height()) * u64::from(columns) / u64::from(image.width());
    // Two pixels a line, and no more lines than columns.
    let lines = u32::try_from(tall / 2).unwrap_or(u32::MAX).clamp(1, columns);
    let mut text = String::new();
    for line in 0..lines {
        for column in 0..columns {
            let pixel = |row| mean(image, (column, columns), (row, 2 * lines));
            let ([r, g, b], [below_r, below_g, below_b]) = (pixel(2 * line), pixel(2 * line + 1));
            text += &format!("\x1b[38;2;{r};{g};{b}m\x1b[48;2;{below_r};{below_g};{below_b}m▀");
        }
        text += "\x1b[0m\n";
    }
    text
}

/// Mean colour of the part `x.0` of `x.1` across and `y.0` of `y.1` down; at least one pixel.
fn mean(image: &RgbImage, x: (u32, u32), y: (u32, u32)) -> [u8; 3] {
    let range = |(i, of): (u32, u32), side: u32| {
        let at = |i: u32| (u64::from(i) * u64::from(side) / u64::from(of)) as usize;
        let start = at(i);
        start..at(i + 1).max(start + 1)
    };
    let (width, columns) = (image.width() as usize, range(x, image.width()));
    let mut sum = [0u64; 3];
    let mut count = 0;
    for row in range(y, image.height()) {
        let pixels = &image.pixels()[3 * (row * width + columns.start)..3 * (row * width + columns.end)];
        for pixel in pixels.chunks_exact(3) {
            sum.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += u64::from(*value));
            count += 1;
        }
    }
    sum.map(|s| (s / count) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_means_of_their_pixels() {
        // Left half black over white, right half red over blue; 4 × 4.
        let colour = |x: usize, y: usize| match (x < 2, y < 2) {
            (true, true) => [0, 0, 0],
            (true, false) => [255, 255, 255],
            (false, true) => [200, 0, 0],
            (false, false) => [0, 0, 200],
        };
        let pixels = (0..16).flat_map(|i| colour(i % 4, i / 4)).collect();
        let image = RgbImage::new(4, 4, pixels).unwrap();
        let expected = "\x1b[38;2;0;0;0m\x1b[48;2;255;255;255m▀\x1b[38;2;200;0;0m\x1b[48;2;0;0;200m▀\x1b[0m\n";
        assert_eq!(art(&image, 2), expected);
        let wide = art(&image, 1);
        assert_eq!(wide, "\x1b[38;2;100;0;0m\x1b[48;2;127;127;227m▀\x1b[0m\n");
        assert_eq!(art(&image, 100).matches('▀').count(), 8);
    }

    #[test]
    fn odd_shapes_stay_small() {
        for (width, height) in [(1, 1), (1, 500), (500, 1), (7, 3)] {
            let image = RgbImage::new(width, height, vec![9; (width * height * 3) as usize]).unwrap();
            let drawn = art(&image, 20);
            let lines: Vec<_> = drawn.lines().collect();
            assert!(!lines.is_empty() && lines.len() <= 20, "{width}×{height}");
            assert!(lines.iter().all(|line| (1..=20).contains(&line.matches('▀').count())));
        }
    }
}
