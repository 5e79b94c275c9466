//! The ways of reading, one row each. All that depends on how something is read asks its row.

use crate::host::query_works;
use crate::kernel::MapsFile;
use crate::vocabulary::spoken;
use arrayvec::ArrayVec;
use rustix::io::Errno;

/// What a way of reading delivers, and how that is taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reads {
    /// Text, by read calls.
    Text(Course, Parser),
    /// Answers of PROCMAP_QUERY, each one line.
    Answers,
}

/// Where the read calls of a walk begin, and how long they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Course {
    /// From the bottom, a page a call.
    Pages,
    /// From the bottom, with small odd buffers.
    Pieces,
    /// At a random offset, then the pages after it.
    Middle,
    /// One call at a random offset, on a descriptor that readers share.
    Shared,
}

/// Which lines of the text are judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parser {
    /// All of them.
    Lines,
    /// The first of each VMA. The lines that follow it, as in smaps, are passed over.
    Headers,
}

/// The lock that the file is read under, by the file for which it is observed. Where that is
/// mmap_lock, each call has to show one instant, whatever the contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// That of maps: the locks of single VMAs since Linux 6.17.
    Maps,
    /// That of smaps.
    Smaps,
}

/// How to find out whether this kernel offers a way of reading.
type Probe = fn(path: &str) -> Result<(), Errno>;

/// Of what every kernel has: that maps can be read at all is tried elsewhere.
fn always(_: &str) -> Result<(), Errno> {
    Ok(())
}

/// Whether the file can be opened.
fn opens(path: &str) -> Result<(), Errno> {
    MapsFile::open(path).map(drop)
}

/// Whether the file answers queries.
fn answers(path: &str) -> Result<(), Errno> {
    query_works(&mut MapsFile::open(path)?)
}

/// A row of the table.
struct Way {
    /// Its name in `--read`, in scenarios, reports and saved files.
    word: &'static str,
    /// What `--help` says of it.
    about: &'static str,
    path: &'static str,
    reads: Reads,
    lock: Lock,
    /// How often it is drawn, compared with the others.
    weight: usize,
    /// Whether a storm reads this way unless told otherwise.
    default: bool,
    offered: Probe,
    /// What it takes, where it is not offered.
    takes: &'static str,
}

macro_rules! ways {
    ($($mode:ident { word: $word:literal, about: $about:literal, $($rest:tt)* })*) => {
        /// A way of reading, by its name.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
        #[repr(u8)]
        pub enum Mode {
            $(#[doc = $about] #[serde(rename = $word)] $mode,)*
        }

        impl Mode {
            /// How many there are.
            pub const COUNT: usize = [$($word),*].len();

            /// All ways of reading.
            pub const ALL: [Mode; Mode::COUNT] = [$(Mode::$mode),*];
        }

        /// By [`Mode`].
        const WAYS: [Way; Mode::COUNT] = [$(Way { word: $word, about: $about, $($rest)* }),*];
    };
}

// Whole pages from the bottom are drawn most often, because they read most lines for their time.
// smaps goes through page tables; where it does so under mmap_lock, mutators stand and wait.
ways! {
    Walk {
        word: "walk",
        about: "maps from the bottom, a page a call",
        path: "/proc/self/maps",
        reads: Reads::Text(Course::Pages, Parser::Lines),
        lock: Lock::Maps,
        weight: 6,
        default: true,
        offered: always,
        takes: "/proc",
    }
    Pread {
        word: "pread",
        about: "maps at a random offset, then the pages after it",
        path: "/proc/self/maps",
        reads: Reads::Text(Course::Middle, Parser::Lines),
        lock: Lock::Maps,
        weight: 3,
        default: true,
        offered: always,
        takes: "/proc",
    }
    Short {
        word: "short",
        about: "maps from the bottom, with small odd buffers",
        path: "/proc/self/maps",
        reads: Reads::Text(Course::Pieces, Parser::Lines),
        lock: Lock::Maps,
        weight: 1,
        default: true,
        offered: always,
        takes: "/proc",
    }
    Shared {
        word: "shared",
        about: "maps at a random offset, on a descriptor that readers share",
        path: "/proc/self/maps",
        reads: Reads::Text(Course::Shared, Parser::Lines),
        lock: Lock::Maps,
        weight: 1,
        default: true,
        offered: always,
        takes: "/proc",
    }
    Query {
        word: "query",
        about: "PROCMAP_QUERY, with and without the next VMA",
        path: "/proc/self/maps",
        reads: Reads::Answers,
        lock: Lock::Maps,
        weight: 2,
        default: true,
        offered: answers,
        takes: "PROCMAP_QUERY came with Linux 6.11",
    }
    Smaps {
        word: "smaps",
        about: "the header lines of smaps from the bottom, a page a call",
        path: "/proc/self/smaps",
        reads: Reads::Text(Course::Pages, Parser::Headers),
        lock: Lock::Smaps,
        weight: 1,
        default: false,
        offered: opens,
        takes: "/proc/self/smaps takes CONFIG_PROC_PAGE_MONITOR",
    }
    Thread {
        word: "thread",
        about: "/proc/thread-self/maps from the bottom, a page a call",
        path: "/proc/thread-self/maps",
        reads: Reads::Text(Course::Pages, Parser::Lines),
        lock: Lock::Maps,
        weight: 1,
        default: false,
        offered: opens,
        takes: "/proc/thread-self came with Linux 3.17",
    }
}

/// A set of ways of reading, in the order of [`Mode::ALL`].
pub type ModeSet = ArrayVec<Mode, { Mode::COUNT }>;

/// By [`Mode`], the first way that reads from the same descriptor of a reader.
const SOURCES: [usize; Mode::COUNT] = {
    let mut sources = [0; Mode::COUNT];
    let mut at = 0;
    while at < Mode::COUNT {
        while !same_source(&WAYS[sources[at]], &WAYS[at]) {
            sources[at] += 1;
        }
        at += 1;
    }
    sources
};

const fn same_source(one: &Way, other: &Way) -> bool {
    let (a, b) = (one.path.as_bytes(), other.path.as_bytes());
    let mut same = one.is_shared() == other.is_shared() && a.len() == b.len();
    let mut at = 0;
    while same && at < a.len() {
        same = a[at] == b[at];
        at += 1;
    }
    same
}

impl Way {
    const fn is_shared(&self) -> bool {
        matches!(self.reads, Reads::Text(Course::Shared, _))
    }
}

impl Mode {
    const fn way(self) -> &'static Way {
        &WAYS[self as usize]
    }

    /// The word `--read` takes.
    pub const fn word(self) -> &'static str {
        self.way().word
    }

    /// The file it reads.
    pub const fn path(self) -> &'static str {
        self.way().path
    }

    /// What it delivers.
    #[inline]
    pub const fn reads(self) -> Reads {
        self.way().reads
    }

    /// The lock its file is read under.
    pub const fn lock(self) -> Lock {
        self.way().lock
    }

    /// How often it is drawn, compared with the others.
    pub(super) const fn weight(self) -> usize {
        self.way().weight
    }

    /// Whether a storm reads this way unless told otherwise.
    pub const fn is_default(self) -> bool {
        self.way().default
    }

    /// Whether it asks for VMAs, instead of reading text.
    #[inline]
    pub const fn is_query(self) -> bool {
        matches!(self.reads(), Reads::Answers)
    }

    /// Whether other lines stand between those that are judged.
    #[inline]
    pub const fn has_details(self) -> bool {
        matches!(self.reads(), Reads::Text(_, Parser::Headers))
    }

    /// Whether every line of the text is judged.
    pub const fn has_plain_lines(self) -> bool {
        matches!(self.reads(), Reads::Text(_, Parser::Lines))
    }

    /// How it goes through the text; `None` for queries.
    pub const fn course(self) -> Option<Course> {
        match self.reads() {
            Reads::Text(course, _) => Some(course),
            Reads::Answers => None,
        }
    }

    /// Whether a walk begins in mid-file.
    pub const fn begins_in_middle(self) -> bool {
        matches!(self.course(), Some(Course::Middle | Course::Shared))
    }

    /// Whether its descriptor is shared by all readers.
    pub(super) const fn is_shared(self) -> bool {
        self.way().is_shared()
    }

    /// The number of the descriptor it reads from, among those of a reader.
    #[inline]
    pub(super) const fn source(self) -> usize {
        SOURCES[self as usize]
    }

    /// Whether this kernel offers it.
    ///
    /// # Errors
    /// What was given. [`Mode::takes`] is what to tell with it.
    pub fn offered(self) -> Result<(), Errno> {
        (self.way().offered)(self.path())
    }

    /// What it takes, where it is not offered.
    pub const fn takes(self) -> &'static str {
        self.way().takes
    }

    /// The help of `--read`.
    pub fn help() -> String {
        let mut help = "Ways of reading to use, separated by commas:".to_owned();
        for way in &WAYS {
            help += &format!("\n{:<7} {}", way.word, way.about);
        }
        let others: Vec<&str> =
            WAYS.iter().filter(|way| !way.default).map(|way| way.word).collect();
        help + &format!("\n[default: all that this kernel has, without {}]", others.join(" and "))
    }
}

spoken!(Mode, "way of reading");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_serves_everywhere() {
        let storm = include_str!("../../docs/storm.md");
        for mode in Mode::ALL {
            let word = mode.word();
            assert_eq!(word.parse(), Ok(mode));
            assert_eq!(serde_json::to_value(mode).unwrap(), word);
            assert!(storm.contains(&format!("| `{word}` |")), "docs/storm.md lacks {word}");
        }
    }

    #[test]
    fn a_descriptor_serves_all_ways_that_read_the_same_file_alike() {
        let source = |mode: Mode| Mode::ALL[mode.source()];
        for (mode, same) in [
            (Mode::Walk, Mode::Walk),
            (Mode::Pread, Mode::Walk),
            (Mode::Query, Mode::Walk),
            (Mode::Shared, Mode::Shared),
            (Mode::Smaps, Mode::Smaps),
        ] {
            assert_eq!(source(mode), same, "{mode}");
        }
    }

    #[test]
    fn what_every_kernel_has_is_offered() {
        for mode in [Mode::Walk, Mode::Pread, Mode::Short, Mode::Shared] {
            assert_eq!(mode.offered(), Ok(()));
        }
        assert_eq!(answers("/proc/self/stat"), Err(Errno::NOTTY));
        assert_eq!(opens("/proc/self/none"), Err(Errno::NOENT));
    }
}
