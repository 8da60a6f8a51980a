//! A drawing of one number for each block, one line for each series, on a logarithmic scale.

use std::fmt::Write;

use super::axis::{LogAxis, is_drawable, label};
use super::numbers::number;
use super::shown_text::escaped;

const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 190.0;
/// Where the lines are: left, right, top, bottom.
const INNER: [f64; 4] = [40.0, 332.0, 10.0, 164.0];
/// Most blocks whose values have a mark of their own.
const MARKED: usize = 40;

/// The form of a series' marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Circle,
    Square,
    Triangle,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    /// For what was before: dashed, hollow marks.
    Dashed,
    /// For what is now.
    Solid,
}

/// A line.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// What it is called.
    pub(super) name: String,
    /// The name of its colour.
    pub(super) colour: &'static str,
    pub(super) mark: Mark,
    pub(super) stroke: Stroke,
    /// Block and value; others than positive numbers leave a gap.
    pub(super) points: Vec<(usize, f64)>,
}

/// The drawing; None if there is nothing to draw.
pub(super) fn draw(title: &str, series: &[Series]) -> Option<String> {
    let [left, right, top, bottom] = INNER;
    let values = series.iter().flat_map(|s| s.points.iter().map(|(_, value)| *value));
    let y = LogAxis::covering(values, [bottom, top])?;
    let drawn =
        || series.iter().flat_map(|s| &s.points).filter(|(_, value)| is_drawable(*value)).map(|(block, _)| *block);
    let (first, last) = (drawn().min()?, drawn().max()?);
    let x = |block: usize| match last - first {
        0 => (left + right) / 2.0,
        blocks => left + 6.0 + (right - left - 12.0) * (block - first) as f64 / blocks as f64,
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escaped(&description(title, series))
    );
    // Writing to a string does not fail.
    for tick in y.ticks() {
        let at = y.place(tick);
        let _ = write!(svg, "<path class=\"grid\" d=\"M{left} {at:.1}H{right}\"/>");
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" class=\"end\">{}</text>", left - 4.0, at + 4.0, label(tick));
    }
    let every = label_step(last - first);
    for block in (first..=last).filter(|block| block.is_multiple_of(every)) {
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" class=\"mid\">{block}</text>", x(block), bottom + 16.0);
    }
    for line in series {
        let class = if line.stroke == Stroke::Dashed { "was" } else { "is" };
        let _ = write!(svg, "<g class=\"s-{} {class}\">", line.colour);
        let mut path = String::new();
        let mut before = None;
        for (block, value) in line.points.iter().filter(|(_, value)| is_drawable(*value)) {
            let pen = if before.is_some_and(|before| before + 1 == *block) { 'L' } else { 'M' };
            let _ = write!(path, "{pen}{:.1} {:.1}", x(*block), y.place(*value));
            before = Some(*block);
        }
        let _ = write!(svg, "<path class=\"curve\" d=\"{path}\"/>");
        if last - first < MARKED {
            for (block, value) in line.points.iter().filter(|(_, value)| is_drawable(*value)) {
                mark(&mut svg, line.mark, x(*block), y.place(*value));
            }
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    Some(svg)
}

/// A mark around a place.
pub(super) fn mark(svg: &mut String, mark: Mark, x: f64, y: f64) {
    // Writing to a string does not fail.
    let _ = match mark {
        Mark::Circle => write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"),
        Mark::Square => write!(svg, "<path d=\"M{:.1} {:.1}h5.4v5.4h-5.4z\"/>", x - 2.7, y - 2.7),
        Mark::Triangle => write!(svg, "<path d=\"M{:.1} {:.1}h7l-3.5 -6z\"/>", x - 3.5, y + 2.5),
    };
}

/// Most blocks that have their number below.
const NUMBERED: usize = 10;

/// Every which block has its number below: round, and the same for drawings of towers alike.
fn label_step(blocks: usize) -> usize {
    let mut step = 1;
    while blocks / step >= NUMBERED {
        // 1, 2, 5, 10, 20, 50 ...
        step = if step.to_string().starts_with('2') { step / 2 * 5 } else { step * 2 };
    }
    step
}

/// What it shows, for those who do not see it.
fn description(title: &str, series: &[Series]) -> String {
    let ranges = series.iter().filter_map(|line| {
        let values = || line.points.iter().map(|(_, value)| *value).filter(|value| is_drawable(*value));
        let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
        Some(format!("{} from {} to {}", line.name, number(low), number(high)))
    });
    format!("{title}: {}", ranges.collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: Vec<(usize, f64)>) -> Series {
        Series { name: "text, <now>".to_owned(), colour: "text", mark: Mark::Circle, stroke: Stroke::Solid, points }
    }

    #[test]
    fn lines_have_gaps_where_there_is_no_value() {
        let svg = draw("qkv", &[line(vec![(0, 1.0), (1, 10.0), (2, 0.0), (3, f64::NAN), (4, 2.0), (5, 3.0)])]).unwrap();
        let path = svg.split("class=\"curve\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 2), "{path}");
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains("aria-label=\"qkv: text, &lt;now&gt; from 1.00 to 10.0\""), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn blocks_are_numbered_evenly() {
        let found = [0, 3, 9, 10, 27, 31, 79, 99, 100].map(label_step);
        assert_eq!(found, [1, 1, 1, 2, 5, 5, 10, 10, 20]);
        let svg = draw("qkv", &[line((0..5).map(|i| (i, 1.0 + i as f64)).collect())]).unwrap();
        for block in 0..5 {
            assert!(svg.contains(&format!("class=\"mid\">{block}</text>")), "{svg}");
        }
    }

    #[test]
    fn nothing_is_no_drawing_and_one_point_is_one() {
        assert_eq!(draw("x", &[line(vec![(0, f64::NAN)])]), None);
        assert!(draw("x", &[line(vec![(7, 1.0)])]).unwrap().contains(">7</text>"));
        let large = draw("x", &[line((0..500).map(|i| (i, 1.0 + i as f64)).collect())]).unwrap();
        assert_eq!(large.matches("<circle").count(), 0);
    }
}
