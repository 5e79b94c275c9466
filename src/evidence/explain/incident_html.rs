//! A mismatch or a stall told as one page for a browser, as [tears](super::html) are.

use super::html::{CLOSING, LEFT, PAGE, ROW, bar, grid, list, opening};
use super::incident::{IncidentStory, Lane, Told};
use super::paint::Heading;
use super::svg::Picture;
use crate::model::Geometry;
use std::fmt::Write;

/// The page.
pub fn page(story: &IncidentStory) -> String {
    let incident = &story.incident;
    let mut html = opening(&Heading::from(incident), &[&story.sentence, &story.verdict]);
    match &story.told {
        Told::Stall(stall) => {
            list(&mut html, "The call", &stall.facts);
            stall.sections.iter().for_each(|(what, lines)| list(&mut html, &headed(what), lines));
        }
        Told::Lanes(lanes) => {
            lanes.iter().for_each(|lane| told(&mut html, lane, &incident.geometry));
        }
    }
    html + CLOSING
}

/// A heading begins with a capital.
fn headed(what: &str) -> String {
    let mut letters = what.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn told(html: &mut String, lane: &Lane, geometry: &Geometry) {
    let number = lane.lane;
    let _ = write!(
        html,
        "<h2>Lane {number}: addresses across</h2>\n<p class=\"faint\">Above, the lane as the oracle \
         has it; below, as maps shows it. Red: pages that differ. Hover for details.</p>\n\
         <div class=\"picture\">{}</div>\n",
        picture(lane, geometry).svg
    );
    list(html, "Its vmas, as they should be and as read", &lane.beside);
    list(html, "Read", &lane.lines);
    if !lane.operations.is_empty() {
        list(html, "Last operations in the lane, in order", &lane.operations);
    }
}

/// The lanes that differ, each as it should be and as read; none for a stall.
pub(super) fn pictures(story: &IncidentStory) -> Vec<Picture> {
    match &story.told {
        Told::Stall(_) => Vec::new(),
        Told::Lanes(lanes) => {
            lanes.iter().map(|lane| picture(lane, &story.incident.geometry)).collect()
        }
    }
}

fn picture(lane: &Lane, geometry: &Geometry) -> Picture {
    let pages = geometry.pages as usize;
    let (width, height) = (LEFT + pages * PAGE + 20, 40 + 2 * ROW);
    let mut svg = grid(width, height, pages, "the lane, as it should be and as read");
    for (row, (what, vmas)) in
        [("the oracle", &lane.expected), ("maps", &lane.read)].into_iter().enumerate()
    {
        let y = 32 + row * ROW;
        let _ = writeln!(svg, "<text x=\"4\" y=\"{}\">{what}</text>", y + 14);
        for vma in vmas {
            bar(&mut svg, geometry, lane.lane, vma, y, what);
        }
    }
    for page in differing(lane, pages) {
        let _ = writeln!(
            svg,
            "<rect class=\"hole\" x=\"{}\" y=\"28\" width=\"{PAGE}\" height=\"{}\" \
             pointer-events=\"none\"/>",
            LEFT + page * PAGE,
            2 * ROW,
        );
    }
    Picture { svg: svg + "</svg>", width, height }
}

/// The pages that belong to different VMAs on the two sides, or to one on one side only.
fn differing(lane: &Lane, pages: usize) -> impl Iterator<Item = usize> + '_ {
    let covers = |page: usize| move |vma: &&crate::model::Vma| (vma.start..vma.end).contains(&page);
    (0..pages).filter(move |&page| {
        lane.expected.iter().find(covers(page)) != lane.read.iter().find(covers(page))
    })
}
