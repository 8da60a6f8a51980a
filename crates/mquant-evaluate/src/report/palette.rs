//! The page's colours, and the rules of style that name them.
//!
//! Errors are shown on a scale from dark violet through teal to pale yellow whose lightness grows evenly, so that it can be read
//! without telling hues apart; modalities are blue, orange and green of different lightness, and have a form each as well.

use std::fmt::Write;

/// A colour in sRGB.
pub(super) type Rgb = [u8; 3];

/// Steps of the scale of errors, 0 for the worst.
pub(super) const STEPS: usize = 12;

/// The scale's lightness, chroma and hue in OKLCh (Ottosson 2020) at both ends.
const WORST: [f64; 3] = [0.27, 0.11, 310.0];
const BEST: [f64; 3] = [0.94, 0.13, 108.0];

/// A name used in the style sheet, and its colours on a light and on a dark page.
const NAMED: [(&str, Rgb, Rgb); 15] = [
    ("page", [0xff, 0xff, 0xff], [0x13, 0x16, 0x1b]),
    ("card", [0xf4, 0xf6, 0xf8], [0x1d, 0x22, 0x2a]),
    ("ink", [0x1a, 0x1e, 0x24], [0xe8, 0xec, 0xf1]),
    ("soft", [0x51, 0x5b, 0x66], [0xa9, 0xb4, 0xc0]),
    ("line", [0xcf, 0xd6, 0xdd], [0x3a, 0x43, 0x4f]),
    ("accent", [0x0b, 0x5c, 0x94], [0x7c, 0xc0, 0xf2]),
    ("text", [0x00, 0x5f, 0xa8], [0x6c, 0xb8, 0xf5]),
    ("vision", [0xb8, 0x4a, 0x00], [0xff, 0xa4, 0x57]),
    ("audio", [0x00, 0x74, 0x5a], [0x4f, 0xd0, 0xa8]),
    ("rotated", [0x73, 0x3f, 0xb5], [0xc8, 0xa6, 0xf7]),
    ("split", [0xa3, 0x21, 0x72], [0xf7, 0x9a, 0xcf]),
    ("good", [0x0b, 0x6b, 0x3a], [0x6f, 0xd6, 0x9b]),
    ("bad", [0xa8, 0x1c, 0x2e], [0xff, 0x94, 0x94]),
    ("ins", [0xd9, 0xef, 0xdf], [0x17, 0x3d, 0x27]),
    ("del", [0xfa, 0xdd, 0xdd], [0x4d, 0x1f, 0x24]),
];

/// Style rules for every colour.
pub(super) fn rules() -> String {
    let mut rules = String::new();
    let scheme = |light: bool| {
        let colours =
            NAMED.iter().map(|(name, day, night)| format!("--{name}:{};", hex(if light { *day } else { *night })));
        colours.collect::<String>()
    };
    // Writing to a string does not fail.
    let _ = write!(rules, ":root{{color-scheme:light dark;{}}}", scheme(true));
    let _ = write!(rules, "@media(prefers-color-scheme:dark){{:root{{{}}}}}", scheme(false));
    for step in 0..STEPS {
        let colour = scale(step);
        let _ = write!(rules, ".q{step}{{background:{};color:{}}}", hex(colour), hex(on(colour)));
    }
    rules
}

/// The colour of a step.
pub(super) fn scale(step: usize) -> Rgb {
    let t = step.min(STEPS - 1) as f64 / (STEPS - 1) as f64;
    let [lightness, chroma, hue] = [0, 1, 2].map(|i| WORST[i] + t * (BEST[i] - WORST[i]));
    let (sin, cos) = hue.to_radians().sin_cos();
    from_oklab(lightness, chroma * cos, chroma * sin)
}

/// Black or white, whichever is easier to read on a colour.
fn on(colour: Rgb) -> Rgb {
    let (black, white) = ([0; 3], [255; 3]);
    if contrast(colour, black) >= contrast(colour, white) { black } else { white }
}

/// Contrast ratio (WCAG 2.2), from 1 to 21.
pub(super) fn contrast(a: Rgb, b: Rgb) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Relative luminance (WCAG 2.2).
fn luminance(colour: Rgb) -> f64 {
    let [r, g, b] = colour.map(|c| {
        let c = f64::from(c) / 255.0;
        if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

/// From OKLab to sRGB, cut where it cannot be shown (Ottosson 2020).
fn from_oklab(lightness: f64, a: f64, b: f64) -> Rgb {
    let l = (lightness + 0.396_337_777_4 * a + 0.215_803_757_3 * b).powi(3);
    let m = (lightness - 0.105_561_345_8 * a - 0.063_854_172_8 * b).powi(3);
    let s = (lightness - 0.089_484_177_5 * a - 1.291_485_548_0 * b).powi(3);
    let linear = [
        4.076_741_662_1 * l - 3.307_711_591_3 * m + 0.230_969_929_2 * s,
        -1.268_438_004_6 * l + 2.609_757_401_1 * m - 0.341_319_396_5 * s,
        -0.004_196_086_3 * l - 0.703_418_614_7 * m + 1.707_614_701_0 * s,
    ];
    linear.map(|c| {
        let c = c.clamp(0.0, 1.0);
        let c = if c <= 0.003_130_8 { 12.92 * c } else { 1.055 * c.powf(1.0 / 2.4) - 0.055 };
        (c * 255.0).round() as u8
    })
}

fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(wanted: &str) -> [Rgb; 2] {
        let (_, light, dark) = NAMED.iter().find(|(name, ..)| *name == wanted).unwrap();
        [*light, *dark]
    }

    #[test]
    fn contrast_is_that_of_the_definition() {
        // Black on white by definition; #767676 on white is the well-known 4.54.
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
        assert!((contrast([0x76; 3], [255; 3]) - 4.54).abs() < 0.005);
        // The primary red: OKLab 0.62796, 0.22486, 0.12585.
        assert_eq!(from_oklab(0.62796, 0.22486, 0.12585), [255, 0, 0]);
    }

    #[test]
    fn all_text_can_be_read_in_both_schemes() {
        for step in 0..STEPS {
            let colour = scale(step);
            assert!(contrast(colour, on(colour)) >= 4.5, "step {step}: {}", contrast(colour, on(colour)));
        }
        for (inks, papers) in [
            (
                &["ink", "soft", "accent", "good", "bad", "text", "vision", "audio", "rotated", "split"][..],
                &["page", "card"][..],
            ),
            (&["ink"][..], &["ins", "del"][..]),
        ] {
            for (ink, paper) in inks.iter().flat_map(|ink| papers.iter().map(move |paper| (ink, paper))) {
                for (scheme, (ink_rgb, paper_rgb)) in named(ink).into_iter().zip(named(paper)).enumerate() {
                    let found = contrast(ink_rgb, paper_rgb);
                    assert!(found >= 4.5, "{ink} on {paper}, scheme {scheme}: {found}");
                }
            }
        }
    }

    #[test]
    fn the_scale_grows_lighter_step_by_step() {
        let steps: Vec<f64> = (0..STEPS).map(|step| luminance(scale(step))).collect();
        assert!(steps.windows(2).all(|pair| pair[1] > pair[0] * 1.1), "{steps:?}");
    }

    #[test]
    fn modalities_differ_without_hue() {
        // Seen by someone without red receptors, blue against orange keeps its difference in the blue channel.
        for scheme in 0..2 {
            let [text, vision] = ["text", "vision"].map(|name| named(name)[scheme]);
            assert!(text[2].abs_diff(vision[2]) > 90);
        }
    }
}
