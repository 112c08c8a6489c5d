//! How far a consumer has come in the feed, on disk.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Why a consumer does not know how far it has come.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    /// The disk said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it: two would alert everybody twice.
    #[error("{path} is in use by another process; stop it or choose another file")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It holds something else. To begin at its start would alert everybody again, so it is a person's to decide.
    #[error(
        "{path} does not say how far its consumer has come ({source}); put back a copy, or remove it and use --after"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The last sequence number that was dealt with.
    sequence: u64,
}

/// A file that names the last event that was dealt with. Only one process can have it. It is replaced as a whole: a power cut leaves the old one or
/// the new one.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    /// Held, not read: the file itself is replaced, so a lock on it would be lost.
    _lock: File,
    sequence: u64,
}

impl Progress {
    /// Opens the file; if there is none yet, the consumer begins behind `after`.
    ///
    /// # Errors
    /// The disk, another process, or a file that holds something else.
    pub fn open(path: &Path, after: u64) -> Result<Self, ProgressError> {
        let io = |source| ProgressError::Io { path: path.to_owned(), source };
        let lock = beside(path, "lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(lock).map_err(io)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => ProgressError::InUse { path: path.to_owned() },
            TryLockError::Error(source) => io(source),
        })?;
        let sequence = match std::fs::read(path) {
            Ok(bytes) => {
                serde_json::from_slice::<Written>(&bytes)
                    .map_err(|source| ProgressError::Damaged { path: path.to_owned(), source })?
                    .sequence
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => after,
            Err(error) => return Err(io(error)),
        };
        Ok(Self { path: path.to_owned(), _lock: lock, sequence })
    }

    /// The last event that was dealt with; 0 for none.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Everything up to this event has been dealt with. It is on the disk when this returns. Blocking.
    ///
    /// # Errors
    /// The disk. What was written before still holds.
    pub fn advance(&mut self, sequence: u64) -> Result<(), ProgressError> {
        let io = |source| ProgressError::Io { path: self.path.clone(), source };
        let fresh = beside(&self.path, "new");
        let mut line = serde_json::to_vec(&Written { sequence }).map_err(|error| io(io::Error::other(error)))?;
        line.push(b'\n');
        let mut file = File::create(&fresh).map_err(io)?;
        file.write_all(&line).and_then(|()| file.sync_all()).map_err(io)?;
        std::fs::rename(&fresh, &self.path).map_err(io)?;
        // The new name must survive too.
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(io)?;
        self.sequence = sequence;
        Ok(())
    }
}

/// A file next to another, such as `alerts.json.new`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.json");
        let mut progress = Progress::open(&path, 5).unwrap();
        assert_eq!(progress.sequence(), 5);
        for sequence in [6, 9] {
            progress.advance(sequence).unwrap();
        }
        drop(progress);
        assert_eq!(Progress::open(&path, 5).unwrap().sequence(), 9, "the file counts, not where a first start begins");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"sequence\":9}\n");
    }

    #[test]
    fn two_consumers_cannot_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.json");
        let mut first = Progress::open(&path, 0).unwrap();
        first.advance(1).unwrap();
        assert!(matches!(Progress::open(&path, 0), Err(ProgressError::InUse { .. })));
        drop(first);
        Progress::open(&path, 0).unwrap();
    }

    #[test]
    fn a_half_written_successor_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alerts.json");
        Progress::open(&path, 0).unwrap().advance(41).unwrap();
        std::fs::write(folder.path().join("alerts.json.new"), "{\"sequ").unwrap();
        let mut progress = Progress::open(&path, 0).unwrap();
        assert_eq!(progress.sequence(), 41);
        progress.advance(42).unwrap();
        drop(progress);
        assert_eq!(Progress::open(&path, 0).unwrap().sequence(), 42);
    }

    #[test]
    fn a_damaged_file_alerts_nobody_again() {
        for content in ["", "{\"sequence\":", "{\"sequence\":-1}", "{\"sequence\":1,\"more\":2}", "7"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("alerts.json");
            std::fs::write(&path, content).unwrap();
            assert!(matches!(Progress::open(&path, 0), Err(ProgressError::Damaged { .. })), "{content}");
        }
    }
}
