//! Runs a fuzz target over its corpus and over mutations of it, as a plain test on stable Rust.
//!
//! It knows bytes, files and how to change bytes so that they stay nearly right. It must never know what the bytes mean: targets stand beside what
//! they fuzz, in `tests/fuzz.rs` of each crate, and say whether the bytes were accepted.
//!
//! A run takes one second a target, or as many as `CASHGATE_FUZZ_SECONDS` says (`cargo xtask fuzz --seconds 60`). What fails is shrunk and printed;
//! put the bytes into the corpus as a file, and they are tried first for ever after.

#![allow(clippy::print_stdout, clippy::panic, reason = "it serves tests, which stop loudly and say what they did")]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use bolero::check;

/// Says how many seconds each target runs.
const SECONDS: &str = "CASHGATE_FUZZ_SECONDS";
/// No input grows larger than this, in bytes: no message does.
const LENGTH_MAX: usize = 20 * 1024;

/// One change of some bytes: where (modulo their length), with what, and how.
type Change = (u16, u8, u8);

/// Whether a target took its input for what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did, and checked that what it took is within its bounds.
    Accepted,
    /// It refused it.
    Refused,
}

impl From<bool> for Verdict {
    fn from(accepted: bool) -> Self {
        if accepted { Self::Accepted } else { Self::Refused }
    }
}

/// Fuzzes `target`, which panics if something is wrong. `corpus` is a folder of files, each an input of its own.
///
/// # Panics
///
/// The target did; or the corpus cannot be read, is empty, or holds nothing that is accepted or nothing that is refused: then it tests little.
pub fn fuzz(corpus: &Path, target: fn(&[u8]) -> Verdict) {
    let corpus = read(corpus);
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    for (name, bytes) in &corpus {
        // The name is on the screen if this one panics.
        println!("corpus: {name}");
        match target(bytes) {
            Verdict::Accepted => accepted += 1,
            Verdict::Refused => refused += 1,
        }
    }
    assert!(accepted > 0, "nothing in the corpus is accepted: mutations of it test only the door");
    assert!(refused > 0, "nothing in the corpus is refused: put in what must be");
    let seeds: Vec<Vec<u8>> = corpus.into_iter().map(|(_, bytes)| bytes).collect();
    let seconds = std::env::var(SECONDS).ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(1);
    let counted = Mutex::new((0_u64, 0_u64));
    check!()
        .with_type::<(u16, u16, Vec<Change>)>()
        .with_max_len(256)
        .with_test_time(Duration::from_secs(seconds))
        .for_each(|(first, second, changes)| {
            let verdict = target(&mutated(&seeds, *first, *second, changes));
            if let Ok(mut counted) = counted.lock() {
                match verdict {
                    Verdict::Accepted => counted.0 += 1,
                    Verdict::Refused => counted.1 += 1,
                }
            }
        });
    let (accepted, refused) = counted.into_inner().unwrap_or_default();
    println!("{} mutations in {seconds} s: {accepted} accepted, {refused} refused", accepted + refused);
}

fn read(corpus: &Path) -> Vec<(String, Vec<u8>)> {
    let cannot = |error| -> ! { panic!("the corpus {}: {error}", corpus.display()) };
    let entries = std::fs::read_dir(corpus).unwrap_or_else(|error| cannot(error));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap_or_else(|error| cannot(error)).path()).collect();
    files.sort();
    let named =
        |file: PathBuf| (file.display().to_string(), std::fs::read(&file).unwrap_or_else(|error| cannot(error)));
    files.into_iter().map(named).collect()
}

/// One input of the corpus with changes, some of them taken from another one.
fn mutated(seeds: &[Vec<u8>], first: u16, second: u16, changes: &[Change]) -> Vec<u8> {
    let seed = |number: u16| seeds.get(usize::from(number) % seeds.len().max(1)).map_or(&[][..], Vec::as_slice);
    let (mut bytes, other) = (seed(first).to_vec(), seed(second));
    // Mostly few: a message with many changes gets no further than the first check.
    let many = [1, 1, 2, 2, 4, 4, 8, changes.len()].get(usize::from(second) % 8).copied().unwrap_or(1);
    for (place, byte, how) in changes.iter().take(many) {
        change(&mut bytes, other, usize::from(*place), *byte, *how);
        bytes.truncate(LENGTH_MAX);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], place: usize, byte: u8, how: u8) {
    let at = place % (bytes.len() + 1);
    let many = usize::from(byte) % 16 + 1;
    let upto = (at + many).min(bytes.len());
    let part = other.get(place % (other.len() + 1)..).unwrap_or_default();
    match how % 10 {
        0 => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
        1 => bytes.iter_mut().skip(at).take(1).for_each(|old| *old ^= 1 << (byte % 8)),
        2 => bytes.insert(at, byte),
        3 => drop(bytes.drain(at..upto)),
        // The same again: lists that are too long, keys that come twice.
        4 => {
            let again = bytes.get(at..upto).unwrap_or_default().to_vec();
            bytes.splice(at..at, again);
        }
        5 => bytes.truncate(at),
        // A part of another input, beside or instead of what is here.
        6 => drop(bytes.splice(at..at, part.iter().copied().take(many * 4)).collect::<Vec<_>>()),
        7 => drop(bytes.splice(at..upto, part.iter().copied().take(many)).collect::<Vec<_>>()),
        // Numbers at their ends.
        8 => bytes.iter_mut().skip(at).take(many).for_each(|old| *old = 0xff),
        _ => bytes.iter_mut().skip(at).take(many).for_each(|old| *old = 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_changes_something_and_none_grows_without_end() {
        for how in 0..10 {
            let differs = (0..200).any(|place| {
                let mut bytes = b"abcdefghij".to_vec();
                change(&mut bytes, b"0123456789", place, 3, how);
                bytes != b"abcdefghij"
            });
            assert!(differs, "{how}");
        }
        let grown = mutated(&[vec![b'a'; LENGTH_MAX]], 0, 7, &[(0, 15, 4); 50]);
        assert_eq!(grown.len(), LENGTH_MAX);
    }

    #[test]
    fn without_changes_the_corpus_comes_as_it_is() {
        let seeds = [b"one".to_vec(), b"two".to_vec()];
        assert_eq!(mutated(&seeds, 3, 0, &[]), b"two");
        assert_eq!(mutated(&[], 3, 0, &[(1, 1, 0)]), b"", "an empty corpus is no reason to panic here");
    }
}
