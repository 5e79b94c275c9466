//! The picture of a tear or a mismatch as a file of its own, which any page or mail can show.

use super::html::{MARKS, tear_picture};
use super::incident::IncidentStory;
use super::incident_html::pictures;
use super::story::Story;
use crate::markup::escaped;
use std::fmt::Write;

/// A picture within the file.
pub(super) struct Picture {
    pub svg: String,
    pub width: usize,
    pub height: usize,
}

/// The width of a character of the text below the picture, a little too large.
const CHARACTER: usize = 8;
/// The height of a line of that text.
const LINE: usize = 18;

/// The colours of the page, and what a file needs that stands alone.
const STYLE: &str = "\
svg{--back:#fff;--ink:#1d2025;--faint:#6b7280;--line:#d5d9e0;--bad:#c81e3a;--read:#1d4ed8}
@media (prefers-color-scheme:dark){svg{--back:#14161a;--ink:#e6e8ec;--faint:#9aa3af;--line:#363b44;--bad:#ff6b81;--read:#7aa7ff}}
.back{fill:var(--back)}";

/// The picture of a tear, with the operations in its lane and what the marks mean below.
pub fn tear(story: &Story) -> String {
    let mut notes: Vec<String> = story
        .rows
        .iter()
        .filter_map(|row| row.made.map(|(op, worker)| (row.ticks.0, op, worker)))
        .map(|(tick, op, worker)| format!("from tick {tick}, worker {worker}: {op}"))
        .collect();
    notes.push(String::new());
    notes.push("A row is the lane between two operations, with its ticks.".into());
    notes.push("Blue: a line that the reader got. Dotted: nothing was reported.".into());
    notes.push("Red: mapped at every instant left, and missing.".into());
    file(&story.tear.signature, &[tear_picture(story)], &notes)
}

/// The pictures of a mismatch, one a lane; `None` for a stall, which has none.
pub fn incident(story: &IncidentStory) -> Option<String> {
    let lanes = pictures(story);
    let notes = ["Above: the oracle. Below: maps. Red: pages that differ.".to_owned()];
    (!lanes.is_empty()).then(|| file(&story.incident.signature, &lanes, &notes))
}

fn file(title: &str, pictures: &[Picture], notes: &[String]) -> String {
    let text = notes.iter().map(|note| note.chars().count() * CHARACTER + 20).max().unwrap_or(0);
    let width = pictures.iter().map(|picture| picture.width).max().unwrap_or(0).max(text);
    let drawn: usize = pictures.iter().map(|picture| picture.height).sum();
    let height = drawn + notes.len() * LINE + 20;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<title>{}</title>\n<style>{STYLE}\n{}</style>\n\
         <rect class=\"back\" width=\"{width}\" height=\"{height}\"/>\n",
        escaped(title),
        MARKS,
    );
    let mut y = 0;
    for picture in pictures {
        let _ = writeln!(svg, "<g transform=\"translate(0 {y})\">\n{}\n</g>", picture.svg);
        y += picture.height;
    }
    for note in notes {
        y += LINE;
        let _ = writeln!(svg, "<text x=\"4\" y=\"{y}\">{}</text>", escaped(note));
    }
    svg + "</svg>\n"
}
