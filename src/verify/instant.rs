//! Whether each call's lines, and the gaps between them, were all true at one instant.

use super::game::Game;
use super::saved::{SavedLine, SavedWalk};
use crate::model::{Layout, Observation};
use crate::oracle::{Version, VersionRecord, Window};

/// The first line of a call that has no such instant.
pub(super) fn torn(game: &Game<'_>, walk: &SavedWalk) -> Option<usize> {
    let calls = walk.lines.iter().filter_map(|line| line.call);
    let calls: std::collections::BTreeSet<u32> = calls.collect();
    calls.into_iter().find_map(|call| {
        let of_call = |line: &SavedLine| line.call == Some(call);
        let seen: Vec<Observation> =
            walk.lines.iter().filter(|line| of_call(line)).filter_map(|line| line.seen).collect();
        let window = walk.calls[call as usize];
        if shared(game, walk, &seen, window) {
            return None;
        }
        walk.lines.iter().position(of_call)
    })
}

fn shared(game: &Game<'_>, walk: &SavedWalk, seen: &[Observation], window: Window) -> bool {
    let within = |instant: &usize| (window.from..=window.to).contains(&game.instants[*instant]);
    (0..game.instants.len()).filter(within).any(|instant| {
        // Each lane may have been in any version that it can have at this instant.
        let possible = |lane: u16| -> Vec<&VersionRecord> {
            let versions = game.versions(lane).iter();
            let visible = versions.filter(|record| game.visible(record, instant));
            let agrees = |record: &&VersionRecord| match record.origin.known {
                true => looks(walk, lane, &record.layout(), seen),
                false => game.generous(),
            };
            visible.filter(agrees).collect()
        };
        (0..walk.geometry.lanes).all(|lane| {
            untouched(walk, lane, seen)
                || game.versions(lane).is_empty() && game.generous()
                || !possible(lane).is_empty()
        }) && moves(game, walk, seen).all(|(lane, version, other, peer)| {
            // In both lanes a move has taken effect, or it has in none.
            let others = possible(other);
            possible(lane).iter().any(|record| {
                let moved = record.version >= version;
                others.iter().any(|record| (record.version >= peer) == moved)
            })
        })
    })
}

/// The moves between two lanes that touch the call and are known in both: a lane with the version
/// that the move made there, and the other lane with its version.
fn moves<'a>(
    game: &'a Game<'_>,
    walk: &'a SavedWalk,
    seen: &'a [Observation],
) -> impl Iterator<Item = (u16, Version, u16, Version)> + 'a {
    let lanes = (0..walk.geometry.lanes).filter(move |&lane| !untouched(walk, lane, seen));
    lanes.flat_map(move |lane| {
        game.versions(lane).iter().filter_map(move |record| {
            let (other, peer) = (record.origin.op?.across(lane)?, record.origin.peer?);
            let told = !untouched(walk, other, seen) && !game.versions(other).is_empty();
            told.then_some((lane, record.version, other, peer))
        })
    })
}

/// Whether the call says nothing of the lane.
fn untouched(walk: &SavedWalk, lane: u16, seen: &[Observation]) -> bool {
    let geometry = &walk.geometry;
    let (base, top) = (geometry.address(lane, 0), geometry.address(lane, geometry.pages as usize));
    match (seen.first(), seen.last()) {
        (Some(first), Some(last)) => first.start >= top || last.end <= base,
        _ => true,
    }
}

/// Whether the lane, as far as the call covers it, shows these VMAs and no others.
fn looks(walk: &SavedWalk, lane: u16, layout: &Layout, seen: &[Observation]) -> bool {
    let geometry = &walk.geometry;
    let (low, high) = (seen[0].start, seen[seen.len() - 1].end);
    let vmas: Vec<Observation> = layout
        .vmas()
        .map(|vma| Observation {
            start: geometry.address(lane, vma.start),
            end: geometry.address(lane, vma.end),
            page: vma.page.visible(),
        })
        .filter(|vma| vma.end > low && vma.start < high)
        .collect();
    let (base, top) = (geometry.address(lane, 0), geometry.address(lane, geometry.pages as usize));
    let lines: Vec<Observation> =
        seen.iter().copied().filter(|seen| seen.end > base && seen.start < top).collect();
    vmas == lines
}
