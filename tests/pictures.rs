//! Each rule as a picture, judged by both checkers.

#[path = "../src/model/drawing.rs"]
mod drawing;

use drawing::draw;
// The drawing finds it at the root, as it does in the library.
use mapstorm::model;
use mapstorm::model::Observation;
use mapstorm::oracle::{
    Class, Contract, Oracle, Origin, Rule, Snapshot, Tick, Tolerated, Verdict, VersionRecord, Walk,
    Window,
};
use mapstorm::verify::{Judgement, Reading, SavedLine, SavedWalk, judge};
use model::{Geometry, Layout, Op, Page, Place, Span};

/// Lanes that change while a reader looks.
struct Story {
    oracle: Oracle,
}

/// What was read so far, for both checkers.
struct Reader<'a> {
    story: &'a Story,
    walk: Walk<'a>,
    saved: SavedWalk,
}

impl Story {
    fn of(pictures: &[&str]) -> Story {
        let initial: Vec<Layout> = pictures.iter().map(|picture| draw(picture)).collect();
        let geometry = Geometry::new(0x10_0000, 4096, initial.len(), initial[0].len());
        let oracle = Oracle::new(geometry, &initial, 64);
        // Ticks that belong to nobody keep the start apart from tick 0.
        oracle.clock().take();
        Story { oracle }
    }

    fn now(&self) -> Tick {
        self.oracle.clock().now()
    }

    /// An operation is invoked that will make the lane look like this.
    fn invoke(&self, lane: u16, picture: &str) {
        self.push(lane, picture, self.oracle.clock().take(), None, None);
    }

    fn push(&self, lane: u16, picture: &str, tick: Tick, op: Option<Op>, peer: Option<u64>) {
        let origin = Origin { op, worker: 0, peer, known: true };
        self.oracle.history(lane).push(tick, &draw(picture), &origin);
    }

    /// The last operation of the lane returns.
    fn returned(&self, lane: u16) {
        let history = self.oracle.history(lane);
        history.close(history.head() - 1, self.oracle.clock().take());
    }

    /// Both.
    fn becomes(&self, lane: u16, picture: &str) {
        self.invoke(lane, picture);
        self.returned(lane);
    }

    /// A line that shows the run drawn, from page `start` of the lane on.
    fn line(&self, lane: u16, start: usize, run: &str) -> Observation {
        let layout = draw(run);
        assert_eq!(layout.vmas().count(), 1, "{run} is one run");
        let geometry = self.oracle.geometry();
        Observation {
            start: geometry.address(lane, start),
            end: geometry.address(lane, start + run.len()),
            page: layout.pages()[0].visible(),
        }
    }

    /// A reader that starts at page `start` of lane 0.
    fn reader(&self, start: usize, window: Window) -> Reader<'_> {
        let pos = self.oracle.geometry().address(0, start);
        self.reads(Reading::Walk(Some(pos)), window)
    }

    fn reads(&self, reading: Reading, begin: Window) -> Reader<'_> {
        let mut walk = Walk::new(&self.oracle);
        if let Reading::Walk(pos) = reading {
            walk.begin(pos, begin);
        }
        let saved = SavedWalk {
            geometry: *self.oracle.geometry(),
            contract: Contract::Series,
            reading,
            begin,
            lines: Vec::new(),
            end: None,
            calls: vec![begin],
            lasting: Vec::new(),
            versions: Vec::new(),
        };
        Reader { story: self, walk, saved }
    }
}

impl Reader<'_> {
    fn sees(&mut self, seen: Observation, window: Window) -> Verdict {
        let verdict = self.walk.line(&seen, window);
        self.saved.lines.push(SavedLine { seen: Some(seen), window, call: None, lasting: None });
        self.compare(verdict)
    }

    fn ends(&mut self, window: Window) -> Verdict {
        let verdict = self.walk.end(window);
        self.saved.end = Some(window);
        self.compare(verdict)
    }

    fn asks(&mut self, seen: Option<Observation>, window: Window) -> Verdict {
        let Reading::Query { address, or_next } = self.saved.reading else { panic!("a query") };
        let verdict = self.walk.query(address, or_next, seen.as_ref(), window);
        let line = |seen| SavedLine { seen: Some(seen), window, call: None, lasting: None };
        self.saved.lines = seen.map(line).into_iter().collect();
        self.compare(verdict)
    }

    /// The second checker has to say the same.
    fn compare(&mut self, verdict: Verdict) -> Verdict {
        let oracle = &self.story.oracle;
        let mut versions = Vec::new();
        for lane in 0..oracle.geometry().lanes {
            let history = oracle.history(lane);
            versions.extend(
                (0..=history.head()).map(|version| VersionRecord::of(history, lane, version)),
            );
        }
        self.saved.versions = versions;
        let second = match judge(&self.saved).expect("a sound walk") {
            Judgement::Right(_) => None,
            Judgement::Wrong(refutation) => Some(refutation.rule),
            Judgement::Undecided(_) => panic!("all is known"),
        };
        let first = match verdict {
            Verdict::Wrong(found) => Some(found.rule),
            Verdict::Undecided => panic!("all is known"),
            _ => None,
        };
        assert_eq!(first, second, "{verdict:?} {:#?}", self.saved);
        verdict
    }
}

fn broken(verdict: Verdict) -> (Rule, Class) {
    match verdict {
        Verdict::Wrong(found) => (found.rule, found.class),
        other => panic!("{other:?} is not wrong"),
    }
}

fn window(from: Tick, to: Tick) -> Window {
    Window { from, to }
}

#[test]
fn rule_1_a_line_shows_the_layout_before_or_after_and_no_mixture() {
    let story = Story::of(&["wwwrrr"]);
    let from = story.now();
    story.invoke(0, "wwwwwr");
    let during = window(from, story.now());
    for (run, expected) in [
        ("www", None),
        ("wwwww", None),
        ("wwwwww", Some(Class::Torn)),
        ("ww", Some(Class::Unknown)),
    ] {
        let verdict = story.reader(0, during).sees(story.line(0, 0, run), during);
        match expected {
            None => assert_eq!(verdict, Verdict::Right, "{run}"),
            Some(class) => assert_eq!(broken(verdict), (Rule::Existence, class), "{run}"),
        }
    }
}

#[test]
fn rule_1_what_was_true_only_before_the_window_is_stale() {
    let story = Story::of(&["www..."]);
    story.becomes(0, "wwwww.");
    story.becomes(0, "wwww..");
    let now = window(story.now(), story.now());
    let verdict = story.reader(0, now).sees(story.line(0, 0, "wwwww"), now);
    assert_eq!(broken(verdict), (Rule::Existence, Class::Stale));
    assert_eq!(story.reader(0, now).sees(story.line(0, 0, "wwww"), now), Verdict::Right);
}

/// The counterexample for closed windows: a counter that reads c means that tick c is not taken.
/// The reader loads 5, the operation takes tick 5 for its return, the layout before it may still
/// be read in between.
#[test]
fn rule_1_an_operation_that_returns_with_the_windows_first_tick_had_not_returned_yet() {
    let story = Story::of(&["www..."]);
    story.invoke(0, "wwwww.");
    let from = story.now();
    story.returned(0);
    let touching = window(from, story.now());
    for run in ["www", "wwwww"] {
        let verdict = story.reader(0, touching).sees(story.line(0, 0, run), touching);
        assert_eq!(verdict, Verdict::Right, "{run}");
    }
    let after = window(from + 1, from + 1);
    let verdict = story.reader(0, after).sees(story.line(0, 0, "www"), after);
    assert_eq!(broken(verdict), (Rule::Existence, Class::Stale));
}

#[test]
fn rule_1_an_operation_invoked_with_the_windows_last_tick_was_not_under_way_yet() {
    let story = Story::of(&["www..."]);
    let before = window(story.now(), story.now());
    story.invoke(0, "wwwww.");
    let verdict = story.reader(0, before).sees(story.line(0, 0, "wwwww"), before);
    assert_eq!(broken(verdict).0, Rule::Existence);
}

#[test]
fn rule_2_what_is_mapped_before_and_after_is_not_missing() {
    let story = Story::of(&["wwrrww"]);
    let from = story.now();
    // mremap onto the middle: unmapped and inserted, in one call.
    story.invoke(0, "wwxxww");
    let during = window(from, story.now());
    let mut reader = story.reader(0, during);
    assert_eq!(reader.sees(story.line(0, 0, "ww"), during), Verdict::Right);
    let verdict = reader.sees(story.line(0, 4, "ww"), during);
    assert_eq!(broken(verdict), (Rule::NoHole, Class::Hole));
}

#[test]
fn rule_2_pages_may_be_unmapped_one_after_the_other_upwards() {
    let story = Story::of(&["w.rw"]);
    let from = story.now();
    story.invoke(0, "wrrw");
    story.returned(0);
    story.invoke(0, "wr.w");
    let during = window(from, story.now());
    let mut reader = story.reader(0, during);
    assert_eq!(reader.sees(story.line(0, 0, "w"), during), Verdict::Right);
    // Page 1 was unmapped first, page 2 last: a lookup that reads upwards finds neither.
    assert_eq!(reader.sees(story.line(0, 3, "w"), during), Verdict::Right);
}

#[test]
fn rule_2_but_not_downwards() {
    let story = Story::of(&["wr.w"]);
    let from = story.now();
    story.invoke(0, "wrrw");
    story.returned(0);
    story.invoke(0, "w.rw");
    let during = window(from, story.now());
    let mut reader = story.reader(0, during);
    assert_eq!(reader.sees(story.line(0, 0, "w"), during), Verdict::Right);
    assert_eq!(broken(reader.sees(story.line(0, 3, "w"), during)), (Rule::NoHole, Class::Hole));
}

#[test]
fn rule_2_a_hole_is_not_older_than_the_line_below_it() {
    let story = Story::of(&["w.w"]);
    let from = story.now();
    story.becomes(0, "www");
    story.becomes(0, "rww");
    let during = window(from, story.now());
    let mut reader = story.reader(0, during);
    // Seen after the page behind it was filled.
    assert_eq!(reader.sees(story.line(0, 0, "r"), during), Verdict::Right);
    assert_eq!(broken(reader.sees(story.line(0, 2, "w"), during)).0, Rule::NoHole);
}

#[test]
fn rule_2_a_hole_is_not_older_than_a_foreign_line_below_it() {
    let story = Story::of(&[".w"]);
    let first = window(story.now(), story.now());
    let mut reader = story.reads(Reading::Walk(Some(0)), first);
    story.becomes(0, "rw");
    let second = window(story.now(), story.now());
    // Of the process's own program: nothing is known of it but when it was read.
    let program = Observation { start: 0x1000, end: 0x2000, page: Page::FOREIGN };
    assert_eq!(reader.sees(program, second), Verdict::Right);
    assert_eq!(broken(reader.sees(story.line(0, 1, "w"), second)).0, Rule::NoHole);
}

#[test]
fn rule_3_after_the_state_after_comes_no_state_before() {
    let story = Story::of(&["wwrr"]);
    let from = story.now();
    story.invoke(0, "rrww");
    let during = window(from, story.now());
    let mut reader = story.reader(0, during);
    assert_eq!(reader.sees(story.line(0, 0, "rr"), during), Verdict::Right);
    assert_eq!(broken(reader.sees(story.line(0, 2, "rr"), during)), (Rule::Order, Class::Disorder));
    let mut reader = story.reader(0, during);
    assert_eq!(reader.sees(story.line(0, 0, "ww"), during), Verdict::Right);
    assert_eq!(reader.sees(story.line(0, 2, "ww"), during), Verdict::Right);
}

#[test]
fn rule_3_instants_of_an_earlier_call_do_not_come_back() {
    let story = Story::of(&["wr", "wr"]);
    let first = window(story.now(), story.now());
    story.becomes(1, "wx");
    let second = window(story.now(), story.now());
    let mut reader = story.reader(0, first);
    assert_eq!(reader.sees(story.line(0, 0, "w"), first), Verdict::Right);
    assert_eq!(reader.sees(story.line(0, 1, "r"), second), Verdict::Right);
    assert_eq!(reader.sees(story.line(1, 0, "w"), second), Verdict::Right);
    assert_eq!(broken(reader.sees(story.line(1, 1, "r"), second)), (Rule::Existence, Class::Stale));
}

/// A move from lane to lane happens in both at once.
fn moved() -> Story {
    let story = Story::of(&["wr", "w."]);
    let at = |lane| Place { lane, span: Span::new(1, 2) };
    let op = Some(Op::Remap { from: at(0), to: at(1), keep: false });
    let tick = story.oracle.clock().take();
    story.push(0, "w.", tick, op, Some(1));
    story.push(1, "wr", tick, op, Some(1));
    story
}

#[test]
fn rule_3_a_move_seen_below_has_happened_above() {
    let story = moved();
    let during = window(1, story.now());
    let mut reader = story.reader(0, during);
    assert_eq!(reader.sees(story.line(0, 0, "w"), during), Verdict::Right);
    // Page 1 of lane 0 is left out: it was gone, so it is in lane 1.
    assert_eq!(reader.sees(story.line(1, 0, "w"), during), Verdict::Right);
    let top =
        Observation { start: story.oracle.geometry().end(), end: u64::MAX, page: Page::FOREIGN };
    assert_eq!(broken(reader.sees(top, during)).0, Rule::NoHole);
}

#[test]
fn rule_3_a_move_not_seen_below_may_have_happened_above() {
    let story = moved();
    let during = window(1, story.now());
    for after in [false, true] {
        let mut reader = story.reader(0, during);
        assert_eq!(reader.sees(story.line(0, 0, "w"), during), Verdict::Right);
        assert_eq!(reader.sees(story.line(0, 1, "r"), during), Verdict::Right);
        assert_eq!(reader.sees(story.line(1, 0, "w"), during), Verdict::Right);
        if after {
            assert_eq!(reader.sees(story.line(1, 1, "r"), during), Verdict::Right);
        }
    }
}

#[test]
fn rule_4_no_line_comes_twice_without_growth() {
    let story = Story::of(&["wwrr"]);
    let now = window(story.now(), story.now());
    let mut reader = story.reader(0, now);
    assert_eq!(reader.sees(story.line(0, 0, "ww"), now), Verdict::Right);
    assert_eq!(broken(reader.sees(story.line(0, 0, "ww"), now)), (Rule::Progress, Class::Disorder));
}

#[test]
fn rule_4_but_again_when_it_grew() {
    let story = Story::of(&["ww.r"]);
    let from = story.now();
    story.invoke(0, "wwwr");
    let during = window(from, story.now());
    let mut reader = story.reader(0, during);
    assert_eq!(reader.sees(story.line(0, 0, "ww"), during), Verdict::Right);
    let again = reader.sees(story.line(0, 0, "www"), during);
    assert_eq!(again, Verdict::Tolerated(Tolerated::Twice));
    reader.saved.contract = Contract::Documented;
    let documented = judge(&reader.saved);
    assert!(matches!(documented, Ok(Judgement::Wrong(r)) if r.rule == Rule::NeverBack));
}

#[test]
fn rule_4_behind_a_line_that_could_not_be_decided_it_goes_back_all_the_same() {
    let story = Story::of(&["ww.r"]);
    let from = story.now();
    story.invoke(0, "wwwr");
    let during = window(from, story.now());
    let mut reader = story.reader(2, during);
    let again = reader.sees(story.line(0, 0, "www"), during);
    assert_eq!(again, Verdict::Tolerated(Tolerated::Twice));
    reader.saved.contract = Contract::Documented;
    let documented = judge(&reader.saved);
    assert!(matches!(documented, Ok(Judgement::Wrong(r)) if r.rule == Rule::NeverBack));
}

#[test]
fn rule_4_a_gap_and_then_the_vma_that_filled_it() {
    let story = Story::of(&["r.ww"]);
    let from = story.now();
    story.becomes(0, "rwww");
    story.invoke(0, "rwww");
    let during = window(from, story.now());
    let mut reader = story.reader(0, during);
    assert_eq!(reader.sees(story.line(0, 0, "r"), during), Verdict::Right);
    assert_eq!(reader.sees(story.line(0, 2, "ww"), during), Verdict::Right);
    story.invoke(0, "rwwx");
    let verdict = reader.sees(story.line(0, 1, "www"), during);
    assert_eq!(broken(verdict).0, Rule::Progress, "it did not grow upwards");
}

#[test]
fn rule_5_a_walk_ends_above_the_arena_only() {
    let story = Story::of(&["wwrr"]);
    let now = window(story.now(), story.now());
    let mut reader = story.reader(0, now);
    assert_eq!(reader.sees(story.line(0, 0, "ww"), now), Verdict::Right);
    assert_eq!(broken(reader.ends(now)), (Rule::WholeLines, Class::Truncated));
    let mut reader = story.reader(0, now);
    let geometry = story.oracle.geometry();
    let stack =
        Observation { start: geometry.end(), end: geometry.end() + 0x1000, page: Page::FOREIGN };
    for run in [(0, "ww"), (2, "rr")] {
        assert_eq!(reader.sees(story.line(0, run.0, run.1), now), Verdict::Right);
    }
    assert_eq!(reader.sees(stack, now), Verdict::Right);
    assert_eq!(reader.ends(now), Verdict::Right);
}

#[test]
fn a_query_is_a_walk_of_one_line() {
    let story = Story::of(&["ww.r"]);
    let from = story.now();
    story.invoke(0, "ww.x");
    let during = window(from, story.now());
    let at = |page: usize| story.oracle.geometry().address(0, page) + 5;
    let ask = |page, or_next, seen| {
        let reading = Reading::Query { address: at(page), or_next };
        story.reads(reading, during).asks(seen, during)
    };
    assert_eq!(ask(1, false, Some(story.line(0, 0, "ww"))), Verdict::Right);
    assert_eq!(ask(2, false, None), Verdict::Right);
    assert_eq!(ask(2, true, Some(story.line(0, 3, "x"))), Verdict::Right);
    assert_eq!(broken(ask(3, false, None)), (Rule::NoHole, Class::Hole));
    assert_eq!(broken(ask(2, false, Some(story.line(0, 3, "r")))).0, Rule::Existence);
    assert_eq!(broken(ask(0, true, Some(story.line(0, 3, "r")))).0, Rule::NoHole);
    assert_eq!(broken(ask(2, true, Some(story.line(0, 0, "ww")))).0, Rule::Progress);
}

#[test]
fn one_instant_is_asked_of_a_call_only_by_the_snapshot_contract() {
    let story = Story::of(&["wwrr"]);
    let from = story.now();
    story.invoke(0, "rrww");
    let during = window(from, story.now());
    let lines = [story.line(0, 0, "ww"), story.line(0, 2, "ww")];
    let mut reader = story.reader(0, during);
    let mut snapshot = Snapshot::new(&story.oracle);
    snapshot.begin();
    for line in lines {
        assert_eq!(reader.sees(line, during), Verdict::Right);
        snapshot.line(&line);
    }
    assert_eq!(snapshot.finish(during), Some(false));
    reader.saved.lines.iter_mut().for_each(|line| line.call = Some(0));
    reader.saved.calls = vec![during];
    reader.saved.contract = Contract::Snapshot;
    let second = judge(&reader.saved);
    assert!(matches!(second, Ok(Judgement::Wrong(r)) if r.rule == Rule::OneInstant));
}

#[test]
fn one_instant_shows_a_move_in_both_lanes_or_in_none() {
    let story = moved();
    let during = window(1, story.now());
    let (below, above) = (story.line(0, 1, "r"), story.line(1, 1, "r"));
    // Page 1 of lane 0 is moved to lane 1: before, after, and in both places at once.
    for (moves, one_instant) in
        [(&[below][..], true), (&[above][..], true), (&[below, above][..], false)]
    {
        let mut lines = vec![story.line(0, 0, "w"), story.line(1, 0, "w")];
        lines.extend(moves);
        lines.sort_by_key(|line| line.start);
        let mut reader = story.reader(0, during);
        let mut snapshot = Snapshot::new(&story.oracle);
        for line in &lines {
            assert_eq!(reader.sees(*line, during), Verdict::Right, "{line:?}");
            snapshot.line(line);
        }
        assert_eq!(snapshot.finish(during), Some(one_instant), "{lines:?}");
        reader.saved.lines.iter_mut().for_each(|line| line.call = Some(0));
        reader.saved.calls = vec![during];
        reader.saved.contract = Contract::Snapshot;
        let second = judge(&reader.saved);
        assert_eq!(matches!(second, Ok(Judgement::Right(_))), one_instant, "{second:?}");
    }
}
