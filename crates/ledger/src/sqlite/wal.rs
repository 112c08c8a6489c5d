//! Reads the write-ahead log before SQLite does, to tell its two kinds of bad end apart.
//!
//! The format is <https://www.sqlite.org/fileformat2.html#walformat>: a header of 32 bytes with two salts, then frames of 24 bytes and a
//! page each. A frame carries the salts, whether it ends a commit, and a checksum over all frames before it. When the log starts over,
//! the salts change and the new frames overwrite the old ones, so frames with other salts may follow the last good one: they are history
//! that the ledger file already has.
//!
//! SQLite takes the frames up to the last commit before the first one that does not fit, and drops the rest without a word. That is right
//! for what a crash leaves in the middle of a write. It is wrong when a frame in the middle was damaged later: then commits that were
//! acknowledged follow it. What tells them apart is that every commit is synced before the next one is begun. So a crash leaves at most
//! one unfinished commit behind the last good one, and
//! - no frame continues the checksum of a commit's last frame unless that commit was finished, and
//! - no two ends of commits with the salts of this log lie behind the first bad frame.
//!
//! Where one of these is broken, the log is *damaged*. Otherwise its tail is *torn*. Some cases cannot be decided: damage that hits the end
//! of the log looks like a crash in the middle of a write, and may have hit the last acknowledged commit, or the last two if the marks
//! that tell them apart were hit as well. They count as torn. [`TornTail::commit_mark`] says where this is likely; without it, only a tail
//! that is a short piece at the very end of the file is certainly no acknowledged commit.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::records::Sequence;

/// What a crash left at the end of the write-ahead log, and SQLite has cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// Where in the log it begins, in bytes.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// Whether the end of a commit is in it. Then the write had got far, or the last one or two acknowledged commits were damaged after
    /// they were written; that cannot be told. Compare the last minutes with what ATMs and core banking have. `false`: a write that did not
    /// get to its end, which nobody was told of. This is certain only where the file ends in it; elsewhere damage may have hit the mark.
    pub commit_mark: bool,
    /// The sequence of the last step before it, which is the last that the ledger has.
    pub after_sequence: Sequence,
}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, bytes, commit_mark, after_sequence } = self;
        write!(f, "an unfinished write of {bytes} bytes after sequence {after_sequence} (byte {offset} of the log)")?;
        f.write_str(match commit_mark {
            true => {
                " was cut off; it may have been the last acknowledged commit or the last two, damaged afterwards: reconcile the last \
                 minutes with ATMs and core banking"
            }
            false => " was cut off; it has no end of a commit, so nothing in it was acknowledged unless the end itself was damaged",
        })
    }
}

/// How the log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogEnd {
    /// With a commit.
    Whole,
    /// With a write that was not finished, as far as can be told.
    Torn { offset: u64, bytes: u64, commit_mark: bool },
    /// Not: the frame there does not fit, and acknowledged commits follow it. Frame 0 is the header.
    Damaged { frame: u64, offset: u64 },
}

/// `ledger.db-wal`, as SQLite calls it.
pub(crate) fn path_of(ledger: &Path) -> PathBuf {
    let mut name = OsString::from(ledger);
    name.push("-wal");
    name.into()
}

/// Reads the log of the ledger at `ledger`. No log is a whole one.
pub(crate) fn end_of_log(ledger: &Path) -> io::Result<LogEnd> {
    match File::open(path_of(ledger)) {
        Ok(file) => Log::read(BufReader::with_capacity(256 * 1024, file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LogEnd::Whole),
        Err(error) => Err(error),
    }
}

/// Copies the log to `ledger.db-wal.torn`, or with a number behind it: older copies stay. Returns the copy's name.
pub(crate) fn keep_torn(ledger: &Path) -> io::Result<PathBuf> {
    let log = path_of(ledger);
    for number in 1..=TORN_KEPT_MAX {
        let mut name = OsString::from(&log);
        name.push(if number == 1 { ".torn".to_owned() } else { format!(".torn.{number}") });
        let kept = PathBuf::from(name);
        let mut file = match File::create_new(&kept) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        let copied = File::open(&log).and_then(|mut log| io::copy(&mut log, &mut file)).and_then(|_| file.sync_all());
        return match copied {
            Ok(()) => Ok(kept),
            Err(error) => {
                // Half a copy only takes room.
                let _ = std::fs::remove_file(&kept);
                Err(error)
            }
        };
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("there are {TORN_KEPT_MAX} already: move them away")))
}

/// Enough for anyone to have come and looked.
const TORN_KEPT_MAX: u32 = 9;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The last bit of the magic number tells in which order checksums read their words.
const MAGIC_LITTLE_ENDIAN: u32 = 0x377f_0682;
const MAGIC_BIG_ENDIAN: u32 = 0x377f_0683;
const FORMAT_VERSION: u32 = 3_007_000;
/// The page size of every ledger, SQLite's default; used only to find frames behind a header that does not tell.
const PAGE_BYTES_DEFAULT: usize = 4096;

type Checksum = (u32, u32);

/// What the header says that frames are read by.
struct Log {
    big_endian: bool,
    page_bytes: usize,
    salts: (u32, u32),
}

impl Log {
    fn read(mut file: impl Read) -> io::Result<LogEnd> {
        let mut header = [0; HEADER_BYTES];
        if read_up_to(&mut file, &mut header)? < HEADER_BYTES {
            return Ok(LogEnd::Whole); // Made, and not written yet.
        }
        match Self::from_header(&header) {
            Some((log, checksum)) => log.end(file, checksum),
            None => behind_bad_header(file),
        }
    }

    fn from_header(header: &[u8; HEADER_BYTES]) -> Option<(Self, Checksum)> {
        let big_endian = match word(header, 0) {
            MAGIC_BIG_ENDIAN => true,
            MAGIC_LITTLE_ENDIAN => false,
            _ => return None,
        };
        let page_bytes = usize::try_from(word(header, 8)).ok()?;
        let checksum = checksum((0, 0), header.get(..24)?, big_endian);
        let fits = checksum == (word(header, 24), word(header, 28))
            && word(header, 4) == FORMAT_VERSION
            && page_bytes.is_power_of_two()
            && (512..=65_536).contains(&page_bytes);
        let salts = (word(header, 16), word(header, 20));
        fits.then_some((Self { big_endian, page_bytes, salts }, checksum))
    }

    fn end(&self, mut file: impl Read, checksum: Checksum) -> io::Result<LogEnd> {
        let mut slot = vec![0; FRAME_HEADER_BYTES + self.page_bytes];
        let mut walk = Walk::new(checksum, slot.len() as u64);
        loop {
            let found = read_up_to(&mut file, &mut slot)?;
            if found < slot.len() {
                let of_this_log = found < 16 || (word(&slot, 8), word(&slot, 12)) == self.salts;
                return Ok(walk.end(if of_this_log { found as u64 } else { 0 }));
            }
            if let Some(damage) = walk.advance(self.frame(&slot, walk.stored_before)) {
                return Ok(damage);
            }
        }
    }

    fn frame(&self, slot: &[u8], before: Checksum) -> Frame {
        let (header, page) = slot.split_at(FRAME_HEADER_BYTES);
        let stored = (word(header, 16), word(header, 20));
        let over_header = checksum(before, header.get(..8).unwrap_or_default(), self.big_endian);
        Frame {
            of_this_log: (word(header, 8), word(header, 12)) == self.salts,
            continues: checksum(over_header, page, self.big_endian) == stored && word(header, 0) != 0,
            ends_commit: word(header, 4) != 0,
            stored,
        }
    }
}

/// What matters of one frame.
struct Frame {
    /// Whether it has the salts of the header.
    of_this_log: bool,
    /// Whether its checksum continues the one stored in the frame before it.
    continues: bool,
    ends_commit: bool,
    stored: Checksum,
}

/// A walk through the frames: first those that SQLite takes, then those behind the first bad one.
struct Walk {
    slot_bytes: u64,
    frames: u64,
    /// The checksum stored in the last frame seen.
    stored_before: Checksum,
    /// How many frames there are up to the last good commit.
    committed: u64,
    /// The first bad frame, from 1.
    bad: Option<u64>,
    last_ends_commit: bool,
    /// The last frame that belongs to what came after the last good commit.
    tail: u64,
    ends_in_tail: u32,
}

impl Walk {
    fn new(checksum: Checksum, slot_bytes: u64) -> Self {
        Self {
            slot_bytes,
            frames: 0,
            stored_before: checksum,
            committed: 0,
            bad: None,
            last_ends_commit: false,
            tail: 0,
            ends_in_tail: 0,
        }
    }

    /// Takes the next frame; returns the damage, once it is certain.
    fn advance(&mut self, frame: Frame) -> Option<LogEnd> {
        self.frames += 1;
        let good = self.bad.is_none() && frame.of_this_log && frame.continues;
        if good {
            self.tail = self.frames;
            if frame.ends_commit {
                self.committed = self.frames;
            }
        } else {
            let bad = *self.bad.get_or_insert(self.frames);
            if frame.of_this_log {
                self.tail = self.frames;
                self.ends_in_tail += u32::from(frame.ends_commit);
                let after_finished = frame.continues && self.last_ends_commit && self.frames > bad;
                if after_finished || self.ends_in_tail > 1 {
                    return Some(LogEnd::Damaged { frame: bad, offset: self.offset_after(bad - 1) });
                }
            }
        }
        self.stored_before = frame.stored;
        self.last_ends_commit = frame.ends_commit;
        None
    }

    /// The end, after which there is only a piece of a frame.
    fn end(&self, piece_bytes: u64) -> LogEnd {
        let offset = self.offset_after(self.committed);
        let piece_bytes = if self.tail == self.frames { piece_bytes } else { 0 };
        let end = self.offset_after(self.tail.max(self.committed)) + piece_bytes;
        if end == offset {
            LogEnd::Whole
        } else {
            LogEnd::Torn { offset, bytes: end - offset, commit_mark: self.ends_in_tail > 0 }
        }
    }

    fn offset_after(&self, frames: u64) -> u64 {
        HEADER_BYTES as u64 + frames * self.slot_bytes
    }
}

/// The header is synced before the first frame is written, and it lies in one sector. So a bad one with frames behind it is damage, and
/// SQLite would drop the whole log.
fn behind_bad_header(mut file: impl Read) -> io::Result<LogEnd> {
    let mut slot = vec![0; FRAME_HEADER_BYTES + PAGE_BYTES_DEFAULT];
    while read_up_to(&mut file, &mut slot)? >= FRAME_HEADER_BYTES {
        if slot.iter().take(FRAME_HEADER_BYTES).any(|byte| *byte != 0) {
            return Ok(LogEnd::Damaged { frame: 0, offset: 0 });
        }
        slot.fill(0);
    }
    Ok(LogEnd::Whole)
}

/// SQLite's checksum of `bytes`, whose length is a multiple of 8, continued from `seed`.
fn checksum(seed: Checksum, bytes: &[u8], big_endian: bool) -> Checksum {
    let (words, _) = bytes.as_chunks::<4>();
    let (pairs, _) = words.as_chunks::<2>();
    let read = |bytes: [u8; 4]| if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    pairs.iter().fold(seed, |(first, second), [even, odd]| {
        let first = first.wrapping_add(read(*even)).wrapping_add(second);
        (first, second.wrapping_add(read(*odd)).wrapping_add(first))
    })
}

/// The big-endian word at `at`; 0 beyond the end.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u32::from_be_bytes(*word))
}

/// Fills `buffer` as far as the file goes, and returns how far that was.
fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut found = 0;
    while let Some(rest) = buffer.get_mut(found..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(bytes) => found += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod fuzzing;
#[cfg(test)]
mod tests;
