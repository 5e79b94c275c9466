//! A comparison as one page that needs nothing from anywhere else.

use super::compare::{Comparison, Line};
use super::compare_table::{self, letter};
use super::figures::max_ns;
use super::mapper::Tally;
use super::outcome::Column;
use super::plan::Role;
use super::plot::{self, Trace};
use super::series::Series;
use crate::markup::escaped;

const STYLE: &str = include_str!("page.css");

/// The page.
pub fn page(comparison: &Comparison) -> String {
    let mut body = String::from("<h1>Latency of mmap and munmap</h1>\n");
    body += "<p>One thread unmaps or maps one random page of a populated region, over and over, \
             while other threads read. Solid curves are beside readers, dashed ones of the same \
             colour beside the same threads when they read nothing (the control).</p>\n";
    body += &results(comparison);
    body += &warnings(comparison);
    for line in &comparison.lines {
        let alone = comparison.lines.len() == 1;
        if line.role != Role::Control || alone {
            body += &section(comparison, line);
        }
    }
    let text = escaped(&compare_table::table(comparison));
    body += &format!("<h2>All figures</h2>\n<pre>{text}</pre>\n");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>mapstorm latency</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

fn results(comparison: &Comparison) -> String {
    let mut rows = String::new();
    for (i, named) in comparison.results.iter().enumerate() {
        let (machine, header) = (&named.outcome.machine, &named.outcome.header);
        let cells = [
            named.name.clone(),
            header.kernel.clone(),
            format!("{} x {}", machine.cpus_online, machine.cpu_model),
            machine.platform(),
            machine.clock_source.clone(),
        ];
        let cells: String =
            cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        rows += &format!(
            "<tr><td><span class=\"key c{}\"></span>{}</td>{cells}<td><code>{}</code></td></tr>\n",
            i % 8,
            letter(i),
            escaped(&header.command)
        );
    }
    format!(
        "<div class=\"wide\"><table>\n<tr><th></th><th>result</th><th>kernel</th><th>CPUs</th>\
         <th>platform</th><th>clock</th><th>command</th></tr>\n{rows}</table></div>\n"
    )
}

fn warnings(comparison: &Comparison) -> String {
    if comparison.warnings.is_empty() {
        return String::new();
    }
    let all = comparison.warnings.iter();
    let items: String = all.map(|warning| format!("<li>{}</li>\n", escaped(warning))).collect();
    format!("<h2>Before you believe it</h2>\n<ul class=\"warnings\">\n{items}</ul>\n")
}

fn section(comparison: &Comparison, line: &Line) -> String {
    let mut pooled: Vec<(Trace, Trace)> = Vec::new();
    let mut tops = Vec::new();
    for (column, title, class) in columns(comparison, line) {
        let Tally { mmap, munmap } = column.pooled();
        let trace = |series: &Series| Trace {
            title: title.clone(),
            class: class.clone(),
            points: plot::percentiles(series),
        };
        if mmap.calls + munmap.calls > 0 {
            pooled.push((trace(&mmap), trace(&munmap)));
        }
        let samples = column.samples.iter();
        let points = samples.map(|s| (f64::from(s.round), max_ns(s) as f64));
        tops.push(Trace { points: points.collect(), title, class });
    }
    let (mmap, munmap): (Vec<Trace>, Vec<Trace>) = pooled.into_iter().unzip();
    let label = escaped(&line.label);
    format!(
        "<h2>Beside {label}</h2>\n<div class=\"plots\">\n{}{}{}</div>\n",
        plot::curves(&format!("mmap beside {label}"), &mmap),
        plot::curves(&format!("munmap beside {label}"), &munmap),
        plot::maxima(&format!("Each sample's maximum beside {label}"), &tops),
    )
}

/// The columns of `line` and the controls of their results, with title and class.
fn columns<'a>(comparison: &'a Comparison, line: &'a Line) -> Vec<(&'a Column, String, String)> {
    let mut all = Vec::new();
    for (i, cell) in line.cells.iter().enumerate() {
        let Some(cell) = cell else { continue };
        let named = &comparison.results[i];
        let title = |column: &Column| {
            let name = format!("{} {}, {}", letter(i), named.name, column.label);
            escaped(&name)
        };
        let control = named.outcome.column(Role::Control);
        if let Some(control) = control.filter(|_| line.role != Role::Control) {
            all.push((control, title(control), format!("c{} dashed", i % 8)));
        }
        let column = comparison.column(i, cell);
        all.push((column, title(column), format!("c{}", i % 8)));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::compare::{Named, held_together};
    use super::super::resample::Resampling;
    use super::super::synthetic;
    use super::*;

    fn html() -> String {
        let named = |name: &str, main| Named {
            name: name.to_owned(),
            outcome: synthetic::outcome(&[1000; 6], &[main; 6]),
        };
        let results = vec![named("<old>.json", 4000), named("new & \"best\".json", 2000)];
        page(&held_together(results, Resampling::default()))
    }

    #[test]
    fn it_needs_nothing_from_elsewhere() {
        let html = html();
        for foreign in ["<script", "src=", "href=", "@import", "url(", "http"] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        assert!(html.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn it_has_a_curve_for_every_column_and_a_dot_for_every_sample() {
        let html = html();
        assert_eq!(html.matches("<svg ").count(), 3);
        // mmap and munmap, two results, each with its control.
        assert_eq!(html.matches("<polyline ").count(), 8);
        assert_eq!(html.matches("dashed\" points").count(), 4);
        assert_eq!(html.matches("<circle ").count(), 24);
        for tag in ["svg", "table", "tr", "td", "div", "pre", "polyline", "html", "body"] {
            let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
            let opened = html.matches(&format!("{open} ")).count()
                + html.matches(&format!("{open}>")).count();
            assert_eq!(opened, html.matches(&close).count(), "{tag}");
        }
    }

    #[test]
    fn every_class_has_a_style() {
        let html = html();
        let (style, _) = html.split_once("</style>").unwrap();
        let classes = html.split("class=\"").skip(1).filter_map(|rest| rest.split('"').next());
        for class in classes.flat_map(str::split_whitespace) {
            assert!(style.contains(&format!(".{class}")), "{class}");
        }
    }

    #[test]
    fn names_are_text_not_markup() {
        let html = html();
        assert!(!html.contains("<old>") && html.contains("&lt;old&gt;.json"));
        assert!(html.contains("new &amp; &quot;best&quot;.json"));
    }
}
