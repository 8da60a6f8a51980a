//! A drawing of how unequal channels are: one row for each tensor, on a common logarithmic scale.

use std::fmt::Write;

use super::axis::{LogAxis, is_drawable, label};
use super::depth_plot::{Mark, mark};
use super::numbers::number;
use super::shown_text::escaped;
use mquant_quantize::pipeline::Spread;

const WIDTH: f64 = 340.0;
const ROW: f64 = 22.0;
/// Where rows begin and end.
const INNER: [f64; 2] = [138.0, 330.0];
/// What stands below the rows.
const FOOT: f64 = 24.0;

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    /// What stands in front.
    pub(super) label: String,
    /// The name of its colour.
    pub(super) colour: &'static str,
    pub(super) mark: Mark,
    pub(super) spread: &'a Spread,
}

/// The drawing: a line over all channels, a box over the middle half, a stroke at the median, a mark at the largest; None if
/// there is nothing to draw.
pub(super) fn draw(title: &str, rows: &[Row<'_>]) -> Option<String> {
    let values = |row: &Row<'_>| {
        row.spread.quantiles[1..].iter().copied().chain([row.spread.max]).map(f64::from).collect::<Vec<_>>()
    };
    let x = LogAxis::covering(rows.iter().flat_map(values), INNER)?;
    let bottom = ROW * rows.len() as f64;
    let height = bottom + FOOT;
    let said: Vec<String> =
        rows.iter().map(|row| format!("{} at most {}", row.label, number(f64::from(row.spread.max)))).collect();
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">",
        escaped(&format!("{title}: {}", said.join("; ")))
    );
    // Writing to a string does not fail.
    for tick in x.ticks() {
        let at = x.place(tick);
        let _ = write!(svg, "<path class=\"grid\" d=\"M{at:.1} 2V{bottom}\"/>");
        let text = label(tick);
        // Half of a label of 11 pixels a line, whose digits are 7 wide at most.
        let inside = WIDTH - 3.5 * text.chars().count() as f64;
        let _ = write!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" class=\"mid\">{text}</text>", at.min(inside), bottom + 16.0);
    }
    for (i, row) in rows.iter().enumerate() {
        let y = ROW * (i as f64 + 0.5);
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" class=\"end\">{}</text>",
            INNER[0] - 6.0,
            y + 4.0,
            escaped(&row.label)
        );
        let [least, low, middle, high, ..] = row.spread.quantiles.map(f64::from);
        let max = f64::from(row.spread.max);
        let _ = write!(svg, "<g class=\"s-{} is\">", row.colour);
        if is_drawable(max) {
            // Channels of nothing begin at the edge.
            let place = |value: f64| if is_drawable(value) { x.place(value) } else { INNER[0] };
            let _ = write!(svg, "<path class=\"curve\" d=\"M{:.1} {y:.1}H{:.1}\"/>", place(least), place(max));
            let (from, to) = (place(low), place(high));
            let width = (to - from).max(1.0);
            let _ = write!(
                svg,
                "<rect class=\"box\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"10\"/>",
                y - 5.0
            );
            let _ = write!(svg, "<path class=\"curve\" d=\"M{:.1} {:.1}v10\"/>", place(middle), y - 5.0);
            mark(&mut svg, row.mark, place(max), y);
        }
        svg.push_str("</g>");
    }
    svg.push_str("</svg>");
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_lie_between_the_quartiles() {
        let spread = Spread { max: 100.0, quantiles: [0.0, 1.0, 3.0, 10.0, 20.0, 50.0], kurtosis: 9.0, channel: 4 };
        let empty = Spread::default();
        let row = |spread| Row { label: "<a>".to_owned(), colour: "text", mark: Mark::Square, spread };
        let svg = draw("t", &[row(&spread), row(&empty)]).unwrap();
        assert_eq!(svg.matches("class=\"box\"").count(), 1);
        let x = LogAxis::covering([1.0, 100.0], INNER).unwrap();
        assert!(svg.contains(&format!("<rect class=\"box\" x=\"{:.1}\"", x.place(1.0))), "{svg}");
        assert!(svg.contains(&format!("width=\"{:.1}\"", x.place(10.0) - x.place(1.0))), "{svg}");
        assert!(svg.contains("aria-label=\"t: &lt;a&gt; at most 100; &lt;a&gt; at most 0\""), "{svg}");
        assert_eq!(draw("t", &[row(&empty)]), None);
    }
}
