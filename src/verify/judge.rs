//! The judgement of a saved walk, with its reason.

use super::event::{Event, Next, What, sequence};
use super::game::{Game, Layer, State};
use super::instant;
use super::saved::{Flaw, Reading, SavedWalk};
use crate::oracle::{Contract, Rule, Tick, Version};

/// One thing seen, and an instant at which it was true.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Explained {
    /// What was seen.
    pub what: What,
    /// The instant: after tick `instant - 1` and before tick `instant`.
    pub instant: Tick,
    /// The lane and its version then; `None` outside the lanes.
    pub version: Option<(u16, Version)>,
}

/// Why a walk is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refutation {
    /// The rule that no choice of instants satisfies.
    pub rule: Rule,
    /// The line that breaks it; `None` for the end of the file or an answer "no VMA".
    pub line: Option<usize>,
    /// For a hole: the first address that was mapped at every instant left.
    pub missing: Option<u64>,
    /// The longest explanation of what came before.
    pub explained: Vec<Explained>,
}

/// What trying all instants came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// This explains it all.
    Right(Vec<Explained>),
    /// An explanation would need to know a layout that is not known, or a version that is not
    /// there; this is as far as it goes without.
    Undecided(Vec<Explained>),
    /// There is no explanation.
    Wrong(Refutation),
}

/// Judges a saved walk.
///
/// # Errors
/// When its parts do not belong together.
pub fn judge(walk: &SavedWalk) -> Result<Judgement, Flaw> {
    walk.check()?;
    Ok(match explain(walk, false) {
        Ok(explained) => Judgement::Right(explained),
        Err(strict) => match explain(walk, true) {
            Ok(_) => Judgement::Undecided(strict.explained),
            Err(refutation) => Judgement::Wrong(refutation),
        },
    })
}

fn explain(walk: &SavedWalk, generous: bool) -> Result<Vec<Explained>, Refutation> {
    let game = Game::new(walk, generous);
    let mut layers = vec![game.start()];
    let mut events: Vec<Event> = Vec::new();
    // A walk that goes on behind a line goes back, too, when its first line begins below that line's
    // end.
    let mut pos = match walk.reading {
        Reading::Walk(pos) => pos,
        Reading::Query { .. } => None,
    };
    let refute = |rule, line, missing, layers: &[Layer], events: &[Event]| Refutation {
        rule,
        line,
        missing,
        explained: path(&game, layers, events),
    };
    for next in sequence(walk) {
        let event = match next {
            Next::Event(event) => event,
            Next::Wrong(rule, line, missing) => {
                return Err(refute(rule, line, missing, &layers, &events));
            }
        };
        let layer = game.play(&layers[layers.len() - 1], &event);
        if layer.is_empty() {
            let (rule, line, missing) = broken(&game, walk, &event);
            return Err(refute(rule, line, missing, &layers, &events));
        }
        layers.push(layer);
        events.push(event);
        if let What::Line { index, seen } = event.what {
            let back = pos.replace(seen.end).is_some_and(|pos| seen.start < pos);
            if back && walk.contract >= Contract::Documented {
                return Err(refute(Rule::NeverBack, Some(index), None, &layers, &events));
            }
        }
    }
    if walk.contract >= Contract::Snapshot
        && let Some(line) = instant::torn(&game, walk)
    {
        return Err(refute(Rule::OneInstant, Some(line), None, &layers, &events));
    }
    Ok(path(&game, &layers, &events))
}

/// Which rule an event without explanation breaks.
fn broken(game: &Game<'_>, walk: &SavedWalk, event: &Event) -> (Rule, Option<usize>, Option<u64>) {
    match event.what {
        What::Nothing { address } => {
            let line = walk.lines.iter().position(|line| {
                line.seen.is_some_and(|seen| seen.start > address) && line.window.to == event.to
            });
            let line =
                line.filter(|_| matches!(walk.reading, Reading::Walk(_)) || !walk.lines.is_empty());
            (Rule::NoHole, line, Some(address))
        }
        What::Line { index, .. } => {
            // True in its window, but not after what was seen before: the order is broken.
            let lane = event.place.map_or(0, |(lane, _)| lane);
            let existed = game.versions(lane).iter().any(|record| {
                record.origin.known
                    && record.closed >= event.from
                    && record.invoked < event.to
                    && event.agrees(&record.layout(), &walk.geometry)
            });
            let rule = if existed { Rule::Order } else { Rule::Existence };
            (rule, Some(index), None)
        }
    }
}

/// One of the ways through the layers, backwards from any state of the last.
fn path(game: &Game<'_>, layers: &[Layer], events: &[Event]) -> Vec<Explained> {
    let mut explained = Vec::new();
    let last = layers.last().and_then(|layer| layer.keys().next());
    let mut state: Option<State> = last.cloned();
    // The first layer is the state before the first event.
    for (layer, event) in layers[1..].iter().zip(events).rev() {
        let Some(at) = state else { break };
        explained.push(Explained {
            what: event.what,
            instant: game.instants[at.instant],
            version: event.place.map(|(lane, _)| (lane, at.version)),
        });
        state = layer.get(&at).cloned().flatten();
    }
    explained.reverse();
    explained
}
