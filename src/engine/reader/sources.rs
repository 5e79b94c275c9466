//! The descriptors of a reader: one for each file that it reads, and those that readers share.

use crate::engine::modes::Mode;
use crate::kernel::MapsFile;
use rustix::io::Errno;

/// What a reader reads from, by [`Mode::source`].
pub(in crate::engine) struct Sources<M>([Option<M>; Mode::COUNT]);

impl<M> Sources<M> {
    /// `own` for the ways that read maps alone, and `shared` for [`Mode::Shared`].
    pub(in crate::engine) fn of_maps(own: M, shared: Option<M>) -> Sources<M> {
        let mut sources = Sources([const { None }; Mode::COUNT]);
        sources.put(Mode::Walk, own);
        if let Some(shared) = shared {
            sources.put(Mode::Shared, shared);
        }
        sources
    }

    /// What a way reads from, to be [put](Sources::put) back.
    #[inline]
    pub(in crate::engine) fn take(&mut self, mode: Mode) -> Option<M> {
        self.0[mode.source()].take()
    }

    #[inline]
    pub(in crate::engine) fn put(&mut self, mode: Mode, source: M) {
        self.0[mode.source()] = Some(source);
    }

    /// Each with something around it; `with` is given its number, too.
    pub(in crate::engine) fn map<N>(self, mut with: impl FnMut(usize, M) -> N) -> Sources<N> {
        let mut number = 0;
        Sources(self.0.map(|source| {
            number += 1;
            source.map(|source| with(number - 1, source))
        }))
    }
}

impl Sources<MapsFile> {
    /// Opens the descriptors that all readers share, where they read in one of these ways.
    ///
    /// # Errors
    /// What open(2) gave.
    pub(in crate::engine) fn shared(modes: &[Mode]) -> Result<Sources<MapsFile>, Errno> {
        let mut sources = Sources([const { None }; Mode::COUNT]);
        for mode in modes.iter().filter(|mode| mode.is_shared()) {
            sources.put(*mode, MapsFile::open(mode.path())?);
        }
        Ok(sources)
    }

    /// Those of one reader that reads in these ways: the shared ones, and others of its own.
    ///
    /// # Errors
    /// What open(2) gave.
    pub(in crate::engine) fn open_own(&self, modes: &[Mode]) -> Result<Sources<MapsFile>, Errno> {
        let mut sources = Sources(self.0.clone());
        for &mode in modes {
            if sources.0[mode.source()].is_none() {
                sources.put(mode, MapsFile::open(mode.path())?);
            }
        }
        Ok(sources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_once_and_only_when_it_is_read() {
        let modes = [Mode::Walk, Mode::Short, Mode::Shared];
        let shared = Sources::shared(&modes).unwrap();
        let mut own = shared.open_own(&modes).unwrap();
        assert_eq!(own.0.iter().flatten().count(), 2);
        assert!(own.take(Mode::Smaps).is_none());
        assert!(own.take(Mode::Walk).is_some() && own.take(Mode::Pread).is_none());
        assert!(Sources::shared(&[Mode::Walk]).unwrap().0.iter().all(Option::is_none));
    }
}
