//! How the guest's process 1 and the host speak over the second serial port: one way, in frames.
//!
//! A frame is a line `WORD LENGTH NAME` and so many bytes behind it. Nothing is ever answered, so
//! that an exact guest gets nothing from outside. What a guest had sent before it died can be read;
//! the frame that it was sending then is not whole and is left out.

use std::io::{self, Write};

/// One thing that the guest tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// Process 1 is up; uname's release.
    Begun(String),
    /// Bytes of the program's stdout.
    Stdout(Vec<u8>),
    /// Bytes of the program's stderr.
    Stderr(Vec<u8>),
    /// A file, all of it, under its path below the working folder. A later one replaces it.
    File(String, Vec<u8>),
    /// Where the program's marks lie, the first one first.
    Marks(Vec<u64>),
    /// The result as JSON, whatever the form on stdout.
    Report(Vec<u8>),
    /// Something that process 1 could not do.
    Trouble(String),
    /// The program ended with this code. Nothing comes after it.
    Ended(i32),
}

impl Frame {
    const fn word(&self) -> &'static str {
        match self {
            Frame::Begun(_) => "begun",
            Frame::Stdout(_) => "stdout",
            Frame::Stderr(_) => "stderr",
            Frame::File(..) => "file",
            Frame::Marks(_) => "marks",
            Frame::Report(_) => "report",
            Frame::Trouble(_) => "trouble",
            Frame::Ended(_) => "ended",
        }
    }

    /// Writes the frame.
    ///
    /// # Errors
    /// What writing gave.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let text;
        let (name, bytes): (&str, &[u8]) = match self {
            Frame::Begun(text) | Frame::Trouble(text) => ("", text.as_bytes()),
            Frame::Stdout(bytes) | Frame::Stderr(bytes) | Frame::Report(bytes) => ("", bytes),
            Frame::File(name, bytes) => (name, bytes),
            Frame::Marks(places) => {
                text = places.iter().map(|place| format!("{place:x} ")).collect::<String>();
                ("", text.as_bytes())
            }
            Frame::Ended(number) => {
                text = number.to_string();
                ("", text.as_bytes())
            }
        };
        let mut whole = format!("{} {} {name}\n", self.word(), bytes.len()).into_bytes();
        whole.extend_from_slice(bytes);
        out.write_all(&whole)
    }

    fn read(word: &str, name: &str, bytes: &[u8]) -> Option<Frame> {
        let text = || String::from_utf8_lossy(bytes).into_owned();
        Some(match word {
            "begun" => Frame::Begun(text()),
            "stdout" => Frame::Stdout(bytes.to_vec()),
            "stderr" => Frame::Stderr(bytes.to_vec()),
            "file" => Frame::File(name.to_owned(), bytes.to_vec()),
            "marks" => {
                let all = text();
                let places = all.split_whitespace().map(|word| u64::from_str_radix(word, 16));
                Frame::Marks(places.collect::<Result<_, _>>().ok()?)
            }
            "report" => Frame::Report(bytes.to_vec()),
            "trouble" => Frame::Trouble(text()),
            "ended" => Frame::Ended(text().parse().ok()?),
            _ => return None,
        })
    }
}

/// The bytes are no frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("what came over the second serial port makes no sense from byte {0} on")]
pub struct Garbled(pub usize);

/// Cuts frames out of what has come so far.
#[derive(Default, Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Bytes of frames that were given out.
    taken: usize,
}

impl Frames {
    /// Takes more bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// All that came so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The next frame, if all of it has come.
    ///
    /// # Errors
    /// Where what came is no frame.
    pub fn next(&mut self) -> Result<Option<Frame>, Garbled> {
        let rest = &self.bytes[self.taken..];
        let Some(end) = memchr::memchr(b'\n', rest) else { return Ok(None) };
        let garbled = Garbled(self.taken);
        let head = std::str::from_utf8(&rest[..end]).map_err(|_| garbled)?;
        let mut words = head.splitn(3, ' ');
        let (Some(word), Some(length), Some(name)) = (words.next(), words.next(), words.next())
        else {
            return Err(garbled);
        };
        let length: usize = length.parse().map_err(|_| garbled)?;
        let Some(bytes) = rest.get(end + 1..).and_then(|rest| rest.get(..length)) else {
            return Ok(None);
        };
        let frame = Frame::read(word, name, bytes).ok_or(garbled)?;
        self.taken += end + 1 + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Frame> {
        vec![
            Frame::Begun("7.3.4".into()),
            Frame::Stdout(b"a\nb".to_vec()),
            Frame::Stderr(vec![0, 255, b'\n']),
            Frame::File("tears/hole 1.json".into(), b"{}\n".to_vec()),
            Frame::Report(b"{}".to_vec()),
            Frame::Marks(vec![0x5555_5555_0000, 0]),
            Frame::Trouble("no /sys".into()),
            Frame::Ended(143),
        ]
    }

    #[test]
    fn frames_come_back_however_they_are_cut() {
        let mut bytes = Vec::new();
        all().iter().for_each(|frame| frame.write(&mut bytes).unwrap());
        for cut in [1, 3, 7, bytes.len()] {
            let (mut frames, mut read) = (Frames::default(), Vec::new());
            for part in bytes.chunks(cut) {
                frames.add(part);
                while let Some(frame) = frames.next().unwrap() {
                    read.push(frame);
                }
            }
            assert_eq!(read, all());
        }
    }

    #[test]
    fn a_frame_that_is_cut_off_is_left_out_and_nonsense_is_refused() {
        let mut bytes = Vec::new();
        Frame::Stdout(b"whole".to_vec()).write(&mut bytes).unwrap();
        let whole = bytes.len();
        Frame::Stdout(b"cut off".to_vec()).write(&mut bytes).unwrap();
        let mut frames = Frames::default();
        frames.add(&bytes[..bytes.len() - 1]);
        assert_eq!(frames.next(), Ok(Some(Frame::Stdout(b"whole".to_vec()))));
        assert_eq!(frames.next(), Ok(None));
        let mut frames = Frames::default();
        frames.add(&bytes[..whole]);
        frames.add(b"[   12.3] Kernel panic\n");
        assert!(frames.next().unwrap().is_some());
        assert_eq!(frames.next(), Err(Garbled(whole)));
    }
}
