//! Plots as SVG: percentile curves and each sample's maximum.

use super::axis::{Axis, percent, round_down, round_up};
use super::figures::us;
use super::series::Series;
use std::fmt::Write;

/// A curve or a cloud of points, with the class that gives it its colour.
pub struct Trace {
    /// What the pointer is told over it.
    pub title: String,
    /// Classes of the style sheet: `c0` to `c7`, and `dashed`.
    pub class: String,
    /// Points: share or number on the x axis, latency in ns.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 44.0;

/// The points of a percentile curve, at most two a pixel. The x value is 1 / (1 - q): 2 is the
/// median, 10 is 90 %, 100 is 99 %. The last point, the maximum, would lie at infinity and is put
/// at the number of calls.
pub fn percentiles(series: &Series) -> Vec<(f64, f64)> {
    let most = series.calls.max(1) as f64;
    let mut points = vec![(1.0, series.quantile_ns(0.0) as f64)];
    let mut last = f64::NEG_INFINITY;
    for step in series.histogram.iter_recorded() {
        let ahead = 1.0 - step.quantile_iterated_to();
        let x = (1.0 / ahead.max(f64::MIN_POSITIVE)).min(most);
        let y = step.value_iterated_to().min(series.max_ns) as f64;
        let pixel = x.log10() * 160.0 + y.max(1.0).log10() * 160.0;
        if pixel - last >= 0.5 {
            last = pixel;
            points.push((x, y));
        }
    }
    points.push((most, series.max_ns as f64));
    points
}

fn y_axis(traces: &[Trace]) -> Axis {
    let all = || traces.iter().flat_map(|trace| &trace.points).map(|point| point.1);
    let low = all().filter(|&y| y > 0.0).fold(f64::INFINITY, f64::min);
    let high = all().fold(0.0, f64::max);
    let (low, high) = if low.is_finite() { (low, high) } else { (1e3, 1e4) };
    Axis {
        low: round_down(low),
        high: round_up(high).max(2.0 * round_down(low)),
        log: true,
        from: HEIGHT - BOTTOM,
        to: TOP,
    }
}

/// Percentile curves. `title` must be free of markup.
pub fn curves(title: &str, traces: &[Trace]) -> String {
    let most = traces.iter().flat_map(|trace| &trace.points).map(|point| point.0);
    let x = Axis {
        low: 1.0,
        high: most.fold(1000.0, f64::max),
        log: true,
        from: LEFT,
        to: WIDTH - RIGHT,
    };
    let y = y_axis(traces);
    let mut svg = open(title, "share of calls that took no longer", "latency, us");
    grid_y(&mut svg, &y);
    let mut value = 1.0;
    while value <= x.high {
        grid_x(&mut svg, x.place(value), &percent(value));
        value *= 10.0;
    }
    grid_x(&mut svg, x.place(2.0), "50 %");
    for trace in traces {
        let points = trace.points.iter();
        let path: Vec<String> =
            points.map(|&(at, ns)| format!("{:.1},{:.1}", x.place(at), y.place(ns))).collect();
        let (class, title) = (&trace.class, &trace.title);
        put(
            &mut svg,
            format_args!(
                "<polyline class=\"curve {class}\" points=\"{}\"><title>{title}</title></polyline>\n",
                path.join(" ")
            ),
        );
    }
    svg + "</svg>\n"
}

/// Points: each sample's maximum by round. `title` must be free of markup.
pub fn maxima(title: &str, traces: &[Trace]) -> String {
    let last = traces.iter().flat_map(|trace| &trace.points).map(|point| point.0);
    let x = Axis {
        low: 0.0,
        high: last.fold(1.0, f64::max),
        log: false,
        from: LEFT + 8.0,
        to: WIDTH - RIGHT - 8.0,
    };
    let y = y_axis(traces);
    let mut svg = open(title, "round", "longest call of the sample, us");
    grid_y(&mut svg, &y);
    let step = round_up((x.high / 8.0).max(1.0));
    let mut value = 0.0;
    while value <= x.high {
        grid_x(&mut svg, x.place(value), &format!("{value:.0}"));
        value += step;
    }
    for trace in traces {
        let (class, title) = (&trace.class, &trace.title);
        for &(at, ns) in &trace.points {
            put(
                &mut svg,
                format_args!(
                    "<circle class=\"dot {class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.2\"><title>{title}, round {at:.0}: {} us</title></circle>\n",
                    x.place(at),
                    y.place(ns),
                    us(ns)
                ),
            );
        }
    }
    svg + "</svg>\n"
}

fn open(title: &str, x: &str, y: &str) -> String {
    let middle = (LEFT + WIDTH - RIGHT) / 2.0;
    let center = (TOP + HEIGHT - BOTTOM) / 2.0;
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"18\">{title}</text>\n\
         <text class=\"axis\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{x}</text>\n\
         <text class=\"axis\" transform=\"translate(14 {center}) rotate(-90)\" text-anchor=\"middle\">{y}</text>\n",
        HEIGHT - 6.0
    )
}

/// Writing to a string cannot fail.
fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = svg.write_fmt(text);
}

fn grid_y(svg: &mut String, y: &Axis) {
    let mut decade = 10f64.powf(y.low.log10().floor());
    while decade <= y.high {
        for step in [1.0, 2.0, 5.0] {
            let value = step * decade;
            if value < y.low * 0.999 || value > y.high * 1.001 {
                continue;
            }
            let at = y.place(value);
            put(
                svg,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\n",
                    WIDTH - RIGHT
                ),
            );
            // With many decades only their beginnings are written out.
            if step == 1.0 || y.high / y.low < 2000.0 {
                put(
                    svg,
                    format_args!(
                        "<text class=\"tick\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
                        LEFT - 6.0,
                        at + 4.0,
                        value / 1e3
                    ),
                );
            }
        }
        decade *= 10.0;
    }
}

fn grid_x(svg: &mut String, at: f64, label: &str) {
    let bottom = HEIGHT - BOTTOM;
    put(
        svg,
        format_args!(
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\n\
         <text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\n",
            bottom + 16.0
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_rise_from_the_least_to_the_maximum() {
        let mut series = Series::default();
        (1..=10_000u64).for_each(|i| series.record(i * 10, false));
        let points = percentiles(&series);
        assert_eq!(points.first().unwrap().0, 1.0);
        assert_eq!(*points.last().unwrap(), (10_000.0, 100_000.0));
        assert!(points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1));
        // The median lies at 2, ninety-nine per cent at 100.
        let at = |x: f64| points.iter().find(|point| point.0 >= x).unwrap().1;
        assert!((at(2.0) / 50_000.0 - 1.0).abs() < 0.02);
        assert!((at(100.0) / 99_000.0 - 1.0).abs() < 0.02);
        assert!(points.len() < 2000);
    }

    #[test]
    fn nothing_to_plot_is_an_empty_plot() {
        let svg = curves("t", &[]) + &maxima("t", &[]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
