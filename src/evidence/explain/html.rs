//! A tear told as one page for a browser: no scripts, nothing from outside, light and dark.

use super::paint::{Heading, marked};
use super::story::{Row, Story};
use super::svg::Picture;
use crate::markup::escaped;
use crate::model::{Geometry, Page, Vma};
use crate::oracle::OPEN;
use std::fmt::Write;

pub(super) const PAGE: usize = 48;
pub(super) const LEFT: usize = 150;
pub(super) const ROW: usize = 34;
const BAR: usize = 20;

const STYLE: &str = "\
:root{color-scheme:light dark;--back:#fff;--ink:#1d2025;--faint:#6b7280;--line:#d5d9e0;--bad:#c81e3a;--read:#1d4ed8;--panel:#f5f6f8}
@media (prefers-color-scheme:dark){:root{--back:#14161a;--ink:#e6e8ec;--faint:#9aa3af;--line:#363b44;--bad:#ff6b81;--read:#7aa7ff;--panel:#1d2026}}
body{background:var(--back);color:var(--ink);font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.3rem;overflow-wrap:anywhere}h2{font-size:1rem;margin-top:1.6rem}
pre,.mono{font:13px/1.5 ui-monospace,monospace}pre{background:var(--panel);padding:.8rem;overflow-x:auto;border-radius:6px}
.faint{color:var(--faint)}.bad{color:var(--bad);font-weight:600}
.picture{overflow-x:auto}";

/// How pictures are drawn.
pub(super) const MARKS: &str = "\
svg text{fill:var(--ink);font:12px ui-monospace,monospace}svg .faint{fill:var(--faint)}svg .prot{fill:#14161a;pointer-events:none}
svg .grid{stroke:var(--line);stroke-width:1}svg .vma{stroke:var(--back);stroke-width:2}
svg .read{stroke:var(--read);stroke-width:4;fill:none}svg .step{stroke:var(--read);stroke-width:1.5;stroke-dasharray:3 3;fill:none}
svg .nothing{stroke:var(--read);stroke-width:2;stroke-dasharray:2 4}
svg .hole{fill:var(--bad);fill-opacity:.18;stroke:var(--bad);stroke-width:2}svg .badtext{fill:var(--bad);font-weight:600}";

/// The page.
pub fn page(story: &Story) -> String {
    let mut html = opening(&Heading::from(&story.tear), &[&story.sentence, &story.verdict]);
    if let Some(mechanism) = story.again.and_then(|again| again.signature.mechanism) {
        let _ = writeln!(html, "<p>Mechanism: {}</p>", escaped(mechanism.words()));
    }
    let _ = write!(
        html,
        "<h2>Lane {}: addresses across, time down</h2>\n<p class=\"faint\">Each row is the lane \
         between two operations. Thick blue: a line the reader got, on the row that explains it. \
         Dotted blue: nothing reported, and nothing there. Red: mapped at every instant left, and \
         missing. Hover for details.</p>\n<div class=\"picture\">{}</div>\n",
        story.lane,
        tear_picture(story).svg
    );
    list(&mut html, "Read", &story.lines);
    list(&mut html, "The longest explanation that works", &story.explained);
    let operations: Vec<String> = story
        .rows
        .iter()
        .filter_map(|row| row.made.map(|(op, worker)| (row.ticks.0, op, worker)))
        .map(|(tick, op, worker)| format!("{tick:>8}  worker {worker}: {op}"))
        .collect();
    list(&mut html, "Operations in the lane, in order", &operations);
    html + CLOSING
}

pub(super) const CLOSING: &str = "</body></html>\n";

/// The page up to what happened, with the paragraphs that say it.
pub(super) fn opening(heading: &Heading<'_>, paragraphs: &[&str]) -> String {
    let Heading { signature, origin, command } = heading;
    let (signature, origin, command) = (escaped(signature), escaped(origin), escaped(command));
    let paragraphs: String =
        paragraphs.iter().map(|text| format!("<p>{}</p>", escaped(text))).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{signature}</title>\
         <style>{STYLE}\n{MARKS}</style></head><body>\n<h1>{signature}</h1>\n\
         <p class=\"faint mono\">{origin}<br>{command}</p>\n{paragraphs}\n"
    )
}

pub(super) fn list(html: &mut String, title: &str, lines: &[String]) {
    let _ = write!(html, "<h2>{}</h2>\n<pre>", escaped(title));
    for line in lines {
        let _ = match marked(line) {
            true => writeln!(html, "<span class=\"bad\">{}</span>", escaped(line)),
            false => writeln!(html, "{}", escaped(line)),
        };
    }
    html.push_str("</pre>\n");
}

/// The lane over time.
pub(super) fn tear_picture(story: &Story) -> Picture {
    let pages = story.tear.geometry.pages as usize;
    let loose = story.seen.iter().filter(|seen| seen.row.is_none()).count();
    let (width, height) = (LEFT + pages * PAGE + 20, 40 + (story.rows.len() + loose) * ROW);
    let mut svg = grid(width, height, pages, "the lane over time");
    for (number, row) in story.rows.iter().enumerate() {
        version(&mut svg, story, row, 32 + number * ROW);
    }
    path(&mut svg, story);
    Picture { svg: svg + "</svg>", width, height }
}

/// The beginning of a picture: a column a page.
pub(super) fn grid(width: usize, height: usize, pages: usize, label: &str) -> String {
    let mut svg = format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{label}\">\n"
    );
    for page in 0..=pages {
        let x = LEFT + page * PAGE;
        let _ =
            writeln!(svg, "<line class=\"grid\" x1=\"{x}\" y1=\"24\" x2=\"{x}\" y2=\"{height}\"/>");
        if page < pages {
            let _ = writeln!(svg, "<text class=\"faint\" x=\"{}\" y=\"16\">{page}</text>", x + 4);
        }
    }
    svg
}

fn version(svg: &mut String, story: &Story, row: &Row, y: usize) {
    let to = if row.ticks.1 == OPEN { "...".into() } else { row.ticks.1.to_string() };
    let made = row.made.map_or("as it was".into(), |(op, worker)| format!("worker {worker}: {op}"));
    let _ = writeln!(
        svg,
        "<g><title>{}</title><text x=\"4\" y=\"{}\">[{}, {to}]</text></g>",
        escaped(&made),
        y + 14,
        row.ticks.0
    );
    let note = format!("ticks [{}, {to}]\n{made}", row.ticks.0);
    for vma in row.layout.vmas() {
        bar(svg, &story.tear.geometry, story.lane, &vma, y, &note);
    }
}

/// A VMA of a lane at height `y`, with its permissions; `note` shows with its details.
pub(super) fn bar(
    svg: &mut String,
    geometry: &Geometry,
    lane: u16,
    vma: &Vma,
    y: usize,
    note: &str,
) {
    let (from, end) = (geometry.address(lane, vma.start), geometry.address(lane, vma.end));
    let _ = writeln!(
        svg,
        "<rect class=\"vma\" x=\"{}\" y=\"{y}\" width=\"{}\" height=\"{BAR}\" rx=\"3\" fill=\"{}\">\
         <title>{from:x}-{end:x} {}\npages {}..{}\n{}</title></rect>",
        LEFT + vma.start * PAGE,
        (vma.end - vma.start) * PAGE,
        colour(vma.page),
        escaped(&vma.page.to_string()),
        vma.start,
        vma.end,
        escaped(note),
    );
    let text = vma.page.to_string();
    let _ = writeln!(
        svg,
        "<text class=\"prot\" x=\"{}\" y=\"{}\">{}</text>",
        LEFT + vma.start * PAGE + 8,
        y + 14,
        escaped(text.split(' ').next().unwrap_or_default()),
    );
}

/// A colour that reads on light and dark, by everything but the offset.
fn colour(page: Page) -> String {
    let bits = if page.is_file() { page.bits() & 0xffff } else { page.bits() };
    let hue = bits.wrapping_mul(0x9e37_79b9) >> 16;
    format!("hsl({} 45% 60%)", hue % 360)
}

/// The reader's way through the lane.
fn path(svg: &mut String, story: &Story) {
    let mut loose = story.rows.len();
    let mut last: Option<(usize, usize)> = None;
    for seen in &story.seen {
        let row = seen.row.unwrap_or_else(|| {
            loose += 1;
            loose - 1
        });
        let y = 32 + row * ROW + BAR + 6;
        let (from, to) = (LEFT + seen.pages.0 * PAGE, LEFT + seen.pages.1 * PAGE);
        if let Some((x, before)) = last {
            let _ = writeln!(svg, "<path class=\"step\" d=\"M{x} {before} L{from} {y}\"/>");
        }
        let title = escaped(&seen.words);
        let class = if seen.line { "read" } else { "nothing" };
        let _ = writeln!(
            svg,
            "<g><title>{title}</title><line class=\"{class}\" x1=\"{from}\" y1=\"{y}\" x2=\"{to}\" y2=\"{y}\"/></g>"
        );
        if seen.breaks {
            let pages = seen.missing.map_or(seen.pages, |page| (page, page + 1));
            let (x, w) = (LEFT + pages.0 * PAGE, (pages.1 - pages.0) * PAGE);
            let _ = writeln!(
                svg,
                "<rect class=\"hole\" x=\"{x}\" y=\"28\" width=\"{w}\" height=\"{}\"><title>{title}</title></rect>\
                 <text class=\"badtext\" x=\"4\" y=\"{}\">no instant</text>",
                y - 22,
                y + 4
            );
        }
        last = Some((to, y));
    }
}
