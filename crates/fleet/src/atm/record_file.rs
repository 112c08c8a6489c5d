//! The machine's durable record: one JSON line a fact, on the disk before `append` returns.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::book::Fact;

/// The record's name in the machine's state folder.
pub const RECORD_FILE_NAME: &str = "commands.jsonl";

/// Why the record could not be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The disk said no. The machine must stop: what it remembers can no longer be relied upon.
    #[error("{path}: {source}")]
    Io {
        /// The record.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{path} is in use: another machine runs on this state folder; stop it or choose another folder")]
    InUse {
        /// The record.
        path: PathBuf,
    },
    /// A finished line is not a fact. Only the last line may be torn.
    #[error(
        "{path}, line {line}, is damaged ({source}); a machine that forgot a command could pay twice, so it does not start"
    )]
    Damaged {
        /// The record.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

/// An open record. Only one process can have it.
#[derive(Debug)]
pub struct RecordFile {
    file: File,
    path: PathBuf,
}

impl RecordFile {
    /// Opens the record in a state folder, makes both if they are missing, and cuts off a torn last line: it was never acknowledged, so
    /// nothing has followed from it.
    ///
    /// # Errors
    /// The disk, another process, or a damaged line.
    pub fn open(state_dir: &Path) -> Result<(Self, Vec<Fact>), RecordError> {
        let path = state_dir.join(RECORD_FILE_NAME);
        let io = |source| RecordError::Io { path: path.clone(), source };
        std::fs::create_dir_all(state_dir).map_err(io)?;
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => RecordError::InUse { path: path.clone() },
            TryLockError::Error(source) => io(source),
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let finished = finished_part(&bytes);
        let facts = parse(finished, &path)?;
        if finished.len() < bytes.len() {
            file.set_len(finished.len() as u64).map_err(io)?;
        }
        file.seek(SeekFrom::End(0)).map_err(io)?;
        file.sync_all().map_err(io)?;
        // The name must survive too, not only the content.
        File::open(state_dir).and_then(|folder| folder.sync_all()).map_err(io)?;
        Ok((Self { file, path }, facts))
    }

    /// Writes a fact. It is on the disk when this returns.
    ///
    /// # Errors
    /// The disk. The record must not be used any further then.
    pub fn append(&mut self, fact: &Fact) -> Result<(), RecordError> {
        let io = |source| RecordError::Io { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(fact).map_err(|error| io(io::Error::other(error)))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(io)?;
        self.file.sync_data().map_err(io)
    }
}

/// Reads a record without opening it for use, also while a machine runs on it.
///
/// # Errors
/// The disk or a damaged line.
pub fn read_facts(state_dir: &Path) -> Result<Vec<Fact>, RecordError> {
    let path = state_dir.join(RECORD_FILE_NAME);
    let bytes = std::fs::read(&path).map_err(|source| RecordError::Io { path: path.clone(), source })?;
    parse(finished_part(&bytes), &path)
}

/// Everything up to the last line feed.
fn finished_part(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |position| position + 1);
    bytes.get(..end).unwrap_or_default()
}

fn parse(finished: &[u8], path: &Path) -> Result<Vec<Fact>, RecordError> {
    let lines = finished.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate();
    let fact = |(index, line): (usize, &[u8])| {
        serde_json::from_slice(line).map_err(|source| RecordError::Damaged {
            path: path.to_owned(),
            line: index + 1,
            source,
        })
    };
    lines.map(fact).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(id: &str) -> Fact {
        Fact::Acknowledged { withdrawal_id: id.to_owned() }
    }

    #[test]
    fn reads_what_it_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let (mut record, facts) = RecordFile::open(folder.path()).unwrap();
        assert_eq!(facts, vec![]);
        record.append(&fact("a")).unwrap();
        record.append(&fact("b")).unwrap();
        assert_eq!(read_facts(folder.path()).unwrap(), vec![fact("a"), fact("b")]);
        drop(record);
        assert_eq!(RecordFile::open(folder.path()).unwrap().1, vec![fact("a"), fact("b")]);
    }

    #[test]
    fn every_torn_last_line_is_cut_off_and_written_over() {
        let line = format!("{}\n", serde_json::to_string(&fact("torn")).unwrap());
        for length in 0..line.len() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(RECORD_FILE_NAME);
            let whole = format!("{}\n", serde_json::to_string(&fact("a")).unwrap());
            std::fs::write(&path, format!("{whole}{}", &line[..length])).unwrap();
            let (mut record, facts) = RecordFile::open(folder.path()).unwrap();
            assert_eq!(facts, vec![fact("a")], "{length} bytes of the last line");
            record.append(&fact("b")).unwrap();
            assert_eq!(read_facts(folder.path()).unwrap(), vec![fact("a"), fact("b")], "{length}");
        }
    }

    #[test]
    fn a_damaged_finished_line_stops_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let good = serde_json::to_string(&fact("a")).unwrap();
        std::fs::write(folder.path().join(RECORD_FILE_NAME), format!("{good}\n{{\"fact\":\n{good}\n")).unwrap();
        assert!(matches!(RecordFile::open(folder.path()), Err(RecordError::Damaged { line: 2, .. })));
    }

    #[test]
    fn two_machines_cannot_share_a_record() {
        let folder = tempfile::tempdir().unwrap();
        let first = RecordFile::open(folder.path()).unwrap();
        assert!(matches!(RecordFile::open(folder.path()), Err(RecordError::InUse { .. })));
        drop(first);
        RecordFile::open(folder.path()).unwrap();
    }
}
