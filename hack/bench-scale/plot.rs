//! A plot of a cost against a size, as SVG that reads on light and dark pages.

use std::fmt::Write as _;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 60.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 40.0;

/// Points, sizes on a logarithmic scale, joined by a line; each with its figure.
pub fn lines(title: &str, unit: &str, points: &[(f64, f64)]) -> String {
    let most = points.iter().map(|(_, value)| *value).fold(1.0, f64::max) * 1.2;
    let (first, last) = (points.first().map_or(1.0, |point| point.0), points.last().map_or(10.0, |point| point.0));
    let across = (last / first).ln().max(1.0);
    let x = |size: f64| LEFT + (WIDTH - LEFT - 40.0) * (size / first).ln() / across;
    let y = |value: f64| HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / most;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{title} ({unit})</text>\n\
         <path d=\"M{LEFT} {TOP}V{0}H{1}\" fill=\"none\" stroke=\"#888\"/>\n",
        HEIGHT - BOTTOM,
        WIDTH - 20.0
    );
    let way: Vec<String> = points.iter().map(|(size, value)| format!("{:.1} {:.1}", x(*size), y(*value))).collect();
    writeln!(svg, "<path d=\"M{}\" fill=\"none\" stroke=\"#326ce5\" stroke-width=\"2\"/>", way.join("L")).unwrap();
    for (size, value) in points {
        let (x, y) = (x(*size), y(*value));
        writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"#326ce5\"/>").unwrap();
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{value:.0}</text>", y - 10.0).unwrap();
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{size}</text>", HEIGHT - 18.0).unwrap();
    }
    svg + "</svg>\n"
}
