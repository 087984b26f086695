//! What was seen again and again, as a drawing: a strip for each value, all over the same time, each from zero to its largest.

use std::fmt::Write as _;

use super::figure::Unit;
use super::plot::escaped;

const WIDTH: f64 = 880.0;
const LEFT: f64 = 10.0;
const STRIP: f64 = 56.0;
const STEP: f64 = 92.0;
const TOP: f64 = 66.0;

/// One value over time.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) unit: Unit,
    /// Seconds, and the value then.
    pub(super) points: Vec<(f64, f64)>,
}

/// `None`: there is nothing to draw.
pub(super) fn draw(title: &str, lines: &[Line]) -> Option<String> {
    let most = |of: fn(&(f64, f64)) -> f64, points: &[(f64, f64)]| points.iter().map(of).fold(0.0, f64::max);
    let end = lines.iter().map(|line| most(|point| point.0, &line.points)).fold(0.0, f64::max);
    if end <= 0.0 {
        return None;
    }
    let room = WIDTH - 2.0 * LEFT;
    #[expect(clippy::cast_precision_loss, reason = "a handful of strips")]
    let height = TOP + STEP * lines.len() as f64 + 4.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{}</text>\n",
        escaped(title)
    );
    let mut y = TOP;
    for line in lines {
        let largest = most(|point| point.1, &line.points).max(f64::EPSILON);
        let last = line.points.last().map_or(0.0, |point| point.1);
        let said = format!("{}: {} at the end, {} at most", line.name, line.unit.show(last), line.unit.show(largest));
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\">{}</text>", y - 8.0, escaped(&said));
        let _ = writeln!(svg, "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{room}\" height=\"{STRIP}\" fill=\"#f1f5f9\"/>");
        let at = |(seconds, value): &(f64, f64)| format!("{:.1},{:.1}", LEFT + seconds / end * room, y + STRIP - value / largest * STRIP);
        let points: Vec<String> = line.points.iter().map(at).collect();
        let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#c2410c\" stroke-width=\"2\"/>", points.join(" "));
        y += STEP;
    }
    let _ = writeln!(svg, "<text x=\"{}\" y=\"24\" text-anchor=\"end\">0 to {}</text>", WIDTH - LEFT, Unit::Seconds.show(end));
    svg.push_str("</svg>\n");
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_strip_goes_from_zero_to_its_largest() {
        let line = |name: &str, points: &[(f64, f64)]| Line { name: name.to_owned(), unit: Unit::Whole, points: points.to_vec() };
        let svg = draw("a & b", &[line("results", &[(5.0, 50.0), (10.0, 100.0)]), line("nodes", &[(10.0, 1.0)])]).expect("a drawing");
        assert!(svg.contains("a &amp; b") && svg.contains("results: 100 at the end, 100 at most"), "{svg}");
        assert!(svg.contains("points=\"440.0,94.0 870.0,66.0\""), "in the middle, and at the top: {svg}");
        assert!(draw("nothing", &[line("results", &[])]).is_none());
    }
}
