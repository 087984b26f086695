//! A group as a drawing: a bar for each side's median, with its smallest and largest value, as SVG.
//!
//! Bars and a few words need no library; what would draw them brings fonts and images with it.

use std::fmt::Write as _;

use super::figure::Figure;

const WIDTH: f64 = 880.0;
const LEFT: f64 = 10.0;
const BAR: f64 = 16.0;
/// A line of words, and the bar below it.
const STEP: f64 = 44.0;
const TOP: f64 = 58.0;
/// What is written behind a bar.
const VALUE: f64 = 110.0;

/// All of one unit. `None`: there is nothing to draw.
pub(super) fn draw(title: &str, figures: &[&Figure]) -> Option<String> {
    let unit = figures.first()?.unit;
    let most = figures.iter().map(|figure| figure.max).fold(0.0, f64::max);
    if most <= 0.0 {
        return None;
    }
    let at = |value: f64| LEFT + value / most * (WIDTH - LEFT - VALUE);
    #[expect(clippy::cast_precision_loss, reason = "a handful of bars")]
    let height = TOP + STEP * figures.len() as f64 - 12.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n<text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{}</text>\n",
        escaped(title)
    );
    let mut y = TOP;
    for figure in figures {
        let label = if figure.side == figure.what { figure.side.clone() } else { format!("{}: {}", figure.side, figure.what) };
        let fill = if figure.side.contains("Bellwether") { "#c2410c" } else { "#64748b" };
        let (middle, baseline) = (y + BAR / 2.0, y + BAR / 2.0 + 4.5);
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{}\">{}</text>", y - 5.0, escaped(&label));
        let width = at(figure.median) - LEFT;
        let _ = writeln!(svg, "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{fill}\"/>");
        let (low, high) = (at(figure.min), at(figure.max));
        let _ = writeln!(svg, "<path d=\"M{low:.1} {middle}H{high:.1}\" stroke=\"#111111\" stroke-width=\"2\"/>");
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{baseline}\">{}</text>", high + 8.0, escaped(&unit.show(figure.median)));
        y += STEP;
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::figure::Unit;
    use super::*;

    #[test]
    fn the_longest_bar_is_the_largest_value_and_words_do_not_break_it() {
        let figure = |side: &str, values: &[f64]| {
            let mut figure = Figure::new("group", side, "a < b", Unit::PerSecond);
            values.iter().for_each(|value| figure.add(*value));
            figure
        };
        let (ours, other) = (figure("Bellwether", &[100.0, 200.0, 400.0]), figure("other", &[50.0]));
        let svg = draw("rates & more", &[&ours, &other]).expect("something to draw");
        assert!(svg.contains("rates &amp; more") && svg.contains("a &lt; b"), "{svg}");
        assert!(svg.contains("width=\"380.0\"") && svg.contains("width=\"95.0\""), "half and an eighth of 400: {svg}");
        assert!(svg.contains("M200.0 66H770.0"), "from the smallest to the largest: {svg}");
        assert!(draw("nothing", &[]).is_none());
    }
}
