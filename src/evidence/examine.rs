//! What a saved incident shows: judged from the file alone.

use super::file::TearError;
use super::incident::{Account, SavedDifference, SavedIncident, SavedMismatch, SavedStall};
use crate::engine::{Call, Party};
use crate::host::{Doing, ThreadFile};
use crate::model::Op;
use crate::verify::{Memfd, SavedStandstill, Unlike, compare};

/// What a file shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    /// It proves the mismatch it says: these lanes differ.
    Mismatch(Vec<Unlike>),
    /// Its lines show the layouts that it has.
    Alike,
    /// It shows something else than it says: something in it was changed.
    Other {
        /// What the file says.
        said: String,
        /// What is in it.
        is: String,
    },
    /// It is the account of a stall, and consistent. No file can prove that time passed.
    Stall,
    /// It has what the kernel said, and that is a splat. No file can prove that the kernel said it.
    Splat,
    /// It is the account of a stall that can't be true, or does not suffice.
    Doubtful(&'static str),
}

impl SavedIncident {
    /// Judges the file by itself. Of a mismatch, the lines are read and compared in the second way.
    /// Of a stall, the parts of the account are compared with each other.
    ///
    /// # Errors
    /// When its parts can't be read.
    pub fn examine(&self) -> Result<Shown, TearError> {
        let named = self.named().to_string();
        if self.signature != named {
            return Ok(Shown::Other { said: self.signature.clone(), is: named });
        }
        match &self.account {
            Account::Mismatch(mismatch) => self.compare(mismatch),
            Account::Stall(stall) => {
                for lane in &stall.lanes {
                    let records = lane.records(self.geometry.pages);
                    records.map_err(|why| TearError::Layout { lane: lane.lane, why })?;
                }
                Ok(self.believe(stall))
            }
            Account::Splat(splat) => Ok(match splat.splat() {
                Some(_) => Shown::Splat,
                None => Shown::Doubtful("its lines are nothing that the kernel says of itself"),
            }),
        }
    }

    /// The lanes that differ, found in the second way.
    ///
    /// # Errors
    /// When a layout or a line can't be read.
    pub fn unlike(&self, mismatch: &SavedMismatch) -> Result<Vec<Unlike>, TearError> {
        for lane in &mismatch.lanes {
            let records = lane.records(self.geometry.pages);
            records.map_err(|why| TearError::Layout { lane: lane.lane, why })?;
        }
        let lanes = mismatch.lanes.iter().map(|lane| {
            let newest = lane.versions.last().filter(|version| version.known);
            (lane.lane, newest.map(|version| &version.layout[..]))
        });
        let files = self.files.iter().map(|file| Memfd {
            dev: (file.dev_major, file.dev_minor),
            inode: file.inode,
            name: &file.name.0,
        });
        Ok(compare(&SavedStandstill {
            geometry: self.geometry,
            files: files.collect(),
            lines: mismatch.lines.iter().map(|line| &line.0[..]).collect(),
            lanes: lanes.collect(),
        })?)
    }

    fn compare(&self, mismatch: &SavedMismatch) -> Result<Shown, TearError> {
        let unlike = self.unlike(mismatch)?;
        if unlike.is_empty() {
            return Ok(Shown::Alike);
        }
        let words = |lane: u16| {
            let saved = mismatch.lanes.iter().find(|saved| saved.lane == lane);
            saved.and_then(|saved| saved.versions.last()).map(|version| version.layout.clone())
        };
        let differences: Vec<SavedDifference> = unlike
            .iter()
            .map(|unlike| SavedDifference {
                lane: unlike.lane,
                expected: words(unlike.lane).unwrap_or_default(),
                read: Unlike::words(&unlike.read),
            })
            .collect();
        if differences == mismatch.differences {
            return Ok(Shown::Mismatch(unlike));
        }
        let told = |differences: &[SavedDifference]| {
            let told = |d: &SavedDifference| {
                format!("lane {} should be {} and is read as {}", d.lane, d.expected, d.read)
            };
            differences.iter().map(told).collect::<Vec<_>>().join("; ")
        };
        Ok(Shown::Other { said: told(&mismatch.differences), is: told(&differences) })
    }

    fn believe(&self, stall: &SavedStall) -> Shown {
        let doubt = Shown::Doubtful;
        if stall.waited_ns <= stall.limit_ns {
            return doubt("it waited no longer than its limit");
        }
        if stall.since_ns.checked_add(stall.waited_ns) != Some(self.found_ns) {
            return doubt("what it waited does not lead from when it began to when it was found");
        }
        let stuck = stall.parties.iter().find(|party| party.worker == stall.worker);
        let agrees = |stuck: &Party| {
            (stuck.tid, stuck.call, stuck.doing) == (stall.tid, stall.call, stall.doing)
        };
        if !stall.parties.is_empty() && !stuck.is_some_and(agrees) {
            return doubt("what it says of the stuck thread is not what it says of all threads");
        }
        let there = |op: Op| op.at().lane.max(op.other_lane().unwrap_or(0)) < self.geometry.lanes;
        let calls = stall.parties.iter().map(|party| party.call).chain([stall.call]);
        if calls.into_iter().any(|call| matches!(call, Some(Call::Operation(op)) if !there(op))) {
            return doubt("its operation is in a lane that the arena has not");
        }
        let names = stall.thread.iter().map(|file| &file.file[..]);
        // Older versions saved the first three.
        let all = names.clone().eq(ThreadFile::NAMES);
        if stall.tid.is_some() && !all && !names.eq(ThreadFile::NAMES[..3].iter().copied()) {
            return doubt(
                "it does not say of its thread what /proc says, or why that is not known",
            );
        }
        match (stall.doing, stall.call) {
            (None, None) => doubt("it names no call: the thread may only have got no CPU"),
            (None, Some(_)) | (Some(Doing::SleepingUninterruptibly), _) => Shown::Stall,
            (Some(Doing::Spinning), _) if stall.system_ns >= Some(stall.limit_ns) => Shown::Stall,
            (Some(Doing::Spinning), _) => doubt("the thread burned too little time in the kernel"),
            (Some(_), _) => doubt("what the thread did is no stall: it was not the kernel's fault"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ArenaText, Incident, Mismatch, Mode, Role, Stall};
    use crate::evidence::{Origins, RawText, Saved, decode};
    use crate::header::Header;
    use crate::host::{Machine, State, thread_files};
    use crate::kernel::{FileIdentity, Identities};
    use crate::model::{FoundRules, Geometry, Kind, KindSet, Place, Span};
    use crate::oracle::{Contract, Mechanism, OPEN, Origin, VersionRecord};
    use crate::repro::scenario::layout_from_words;
    use std::time::Duration;

    const TEXT: &[u8] = b"\
        7f0000000000-7f0000001000 r--p 00000000 00:00 0 \n\
        7f0000002000-7f0000004000 rw-s 00007000 00:01 77                         /memfd:m (deleted)\n\
        7f0000008000-7f000000a000 rw-p 00000000 00:00 0                          [anon:storm-3]\n";
    const LANES: [&str; 2] = [
        "[0..1 r--p anon] [1..2 r--p anon !fork] [2..4 rw-s memfd0+7]",
        "[0..1 rw-p anon:3] [1..2 rw-p anon:3]",
    ];

    fn origins() -> Origins {
        let file = FileIdentity {
            dev_major: 0,
            dev_minor: 1,
            inode: 77,
            name: b"/memfd:m (deleted)".to_vec(),
        };
        Origins {
            header: Header::new(&Machine::here(), Some(1), "mapstorm".into())
                .judged_by(Contract::Series),
            geometry: Geometry::new(0x7f00_0000_0000, 4096, 2, 4),
            identities: Identities::new(12, vec![file]),
            merge_rules: FoundRules::default(),
        }
    }

    fn mismatch(lanes: [&str; 2], differ: &[u16]) -> SavedIncident {
        let origin = Origin { op: None, worker: 0, peer: None, known: true };
        let version = |(lane, words): (u16, &str)| VersionRecord {
            lane,
            version: 9,
            invoked: 5,
            closed: OPEN,
            outline: (&layout_from_words(words, 4).unwrap()).into(),
            origin,
        };
        let incident = Incident::Mismatch(Mismatch {
            standstill: 1,
            at: Duration::from_millis(1),
            text: ArenaText { bytes: TEXT.to_vec(), whole: true },
            lanes: differ.to_vec(),
            versions: (0..).zip(lanes).map(version).collect(),
        });
        SavedIncident::new(&incident, &origins()).0
    }

    fn account(incident: &mut SavedIncident) -> &mut SavedMismatch {
        match &mut incident.account {
            Account::Mismatch(mismatch) => mismatch,
            Account::Stall(_) | Account::Splat(_) => panic!("a mismatch"),
        }
    }

    /// Through the file's form and back.
    fn shown(incident: &SavedIncident) -> Result<Shown, TearError> {
        match decode(&serde_json::to_vec(incident).unwrap())? {
            Saved::SavedIncident(back) => {
                assert_eq!(*back, *incident);
                back.examine()
            }
            _ => panic!("an incident"),
        }
    }

    #[test]
    fn a_lane_that_differs_is_proved() {
        let Ok(Shown::Mismatch(unlike)) = shown(&mismatch(LANES, &[0])) else {
            panic!("a mismatch")
        };
        assert_eq!((unlike.len(), unlike[0].lane), (1, 0));
        assert_eq!(unlike[0].first().0.unwrap().to_string(), "[1..2 r--p anon]");
    }

    #[test]
    fn no_byte_of_either_side_can_be_another() {
        let right = mismatch(LANES, &[0]);
        let fails = |changed: &SavedIncident, what: &str| {
            let shown = shown(changed);
            assert!(!matches!(shown, Ok(Shown::Mismatch(_) | Shown::Stall)), "{what}: {shown:?}");
        };
        for line in 0..3 {
            for at in 0..account(&mut right.clone()).lines[line].0.len() {
                let mut changed = right.clone();
                let RawText(text) = &mut account(&mut changed).lines[line];
                text[at] ^= 1;
                let what = String::from_utf8_lossy(text).into_owned();
                fails(&changed, &what);
            }
        }
        for (lane, words) in LANES.into_iter().enumerate() {
            // What the words are made anew of is the same whatever maps does not tell.
            let words = layout_from_words(words, 4).unwrap().to_string();
            for at in 0..words.len() {
                let mut text = words.clone().into_bytes();
                text[at] ^= 1;
                let text = String::from_utf8(text).unwrap();
                let mut changed = right.clone();
                account(&mut changed).lanes[lane].versions[0].layout = text.clone();
                fails(&changed, &text);
            }
        }
        let mut changed = right.clone();
        account(&mut changed).differences[0].read = "empty".into();
        fails(&changed, "what was found");
        let mut changed = right.clone();
        changed.signature = "mismatch/-/remap/-".into();
        fails(&changed, "the signature");
    }

    #[test]
    fn where_nothing_differs_nothing_is_proved() {
        let alike = ["[0..1 r--p anon] [2..4 rw-s memfd0+7]", LANES[1]];
        assert_eq!(shown(&mismatch(alike, &[0])).unwrap(), Shown::Alike);
        let mut unknown = mismatch(LANES, &[0]);
        account(&mut unknown).lanes[0].versions[0].known = false;
        assert_eq!(shown(&unknown).unwrap(), Shown::Alike);
        let mut without = mismatch(LANES, &[0]);
        account(&mut without).lanes.remove(0);
        assert_eq!(shown(&without).unwrap(), Shown::Alike);
    }

    /// A reader that spins, and a mutator that was preempted on its CPU.
    fn parties() -> Vec<Party> {
        let reader = Party {
            worker: 3,
            role: Role::Reader,
            tid: Some(u32::MAX >> 1),
            rests: false,
            state: Some(State::Runnable),
            doing: Some(Doing::Spinning),
            cpu: Some(0),
            allowed_cpus: "0-1".into(),
            still_ns: 5_000_000_000,
            idle_ns: 0,
            completed_calls: 17,
            call: Some(Call::Read(Mode::Short)),
            invoked: None,
            place: None,
            files: Vec::new(),
        };
        let at = Place { lane: 0, span: Span::new(0, 1) };
        let mutator = Party {
            worker: 4,
            role: Role::Mutator,
            tid: Some(7),
            doing: Some(Doing::WaitingForCpu),
            idle_ns: 4_900_000_000,
            call: Some(Call::Operation(Op::Unmap { at })),
            invoked: Some(5),
            ..reader.clone()
        };
        vec![reader, mutator]
    }

    fn stall(change: impl FnOnce(&mut SavedStall)) -> SavedIncident {
        let incident = Incident::Stall(Stall {
            worker: 3,
            tid: Some(u32::MAX >> 1),
            at: Duration::from_secs(9),
            waited: Duration::from_secs(5),
            limit: Duration::from_secs(4),
            doing: Doing::Spinning,
            system: Duration::from_secs(4),
            call: Some(Call::Read(Mode::Short)),
            completed: 17,
            mechanism: Some(Mechanism::SpinningInLookup),
            operations: KindSet::EMPTY.with(Kind::Unmap),
            reader: Some(Mode::Short),
            thread: thread_files(i32::MAX).into(),
            text: vec![b"1000-2000 r--p 00000000 00:00 0 ".to_vec()],
            versions: Vec::new(),
            parties: parties(),
            log: vec!["a line".into()],
        });
        let mut incident = SavedIncident::new(&incident, &origins()).0;
        let Account::Stall(stall) = &mut incident.account else { panic!("a stall") };
        change(stall);
        incident
    }

    /// The account of the thread alone, as older versions saved it.
    fn without(change: impl FnOnce(&mut SavedStall)) -> SavedIncident {
        let mut older = stall(|stall| {
            stall.parties.clear();
            change(stall);
        });
        older.signature = "stall/-/-/-".into();
        older
    }

    #[test]
    fn a_stall_is_believed_when_its_account_agrees_with_itself() {
        let right = stall(|_| ());
        assert_eq!(right.signature, "stall/spinning-in-lookup/unmap/short");
        assert_eq!(shown(&right).unwrap(), Shown::Stall);
        // Files of older versions tell of the thread alone, and are called after nothing.
        let mut older = stall(|stall| stall.parties.clear());
        assert!(matches!(shown(&older).unwrap(), Shown::Other { .. }));
        older.signature = "stall/-/-/-".into();
        assert_eq!(shown(&older).unwrap(), Shown::Stall);
        let runs = stall(|stall| stall.parties[1].idle_ns = 0);
        let other = Shown::Other {
            said: "stall/spinning-in-lookup/unmap/short".into(),
            is: "stall/unknown/unmap/short".into(),
        };
        assert_eq!(shown(&runs).unwrap(), other);
        let unmap = r#"{"operation": {"op": "unmap", "at": {"lane": 9, "start": 0, "len": 1}}}"#;
        let elsewhere: Call = serde_json::from_str(unmap).unwrap();
        for (what, doubtful) in [
            ("time", stall(|stall| stall.waited_ns += 1)),
            ("limit", stall(|stall| stall.limit_ns = stall.waited_ns)),
            ("no call", without(|stall| (stall.call, stall.doing) = (None, None))),
            ("another call", stall(|stall| stall.call = None)),
            ("another thread", stall(|stall| stall.tid = Some(1))),
            ("no time in the kernel", stall(|stall| stall.system_ns = Some(3_999_999_999))),
            ("no CPU", without(|stall| stall.doing = Some(Doing::WaitingForCpu))),
            ("another arena", without(|stall| stall.call = Some(elsewhere))),
            ("thread", stall(|stall| stall.thread.truncate(2))),
        ] {
            let shown = shown(&doubtful).unwrap();
            assert!(matches!(shown, Shown::Doubtful(_)), "{what}: {shown:?}");
        }
    }
}
