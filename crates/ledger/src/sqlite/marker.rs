//! The marker `<ledger>.damaged`: a refusal that outlives the damaged log.
//!
//! Any program that opens the ledger for writing (`sqlite3` without `-readonly`) folds what SQLite takes of the log and deletes it. Without
//! the marker the next start would find a ledger without a log, and begin on it, and what was acknowledged would be lost unseen.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::open_error::LedgerOpenError;

/// `ledger.db.damaged`.
pub(crate) fn beside(ledger: &Path) -> PathBuf {
    let mut name = OsString::from(ledger);
    name.push(".damaged");
    name.into()
}

/// Leaves the marker, unless there is one. That it cannot be written only weakens the refusal, which is made in any case.
pub(crate) fn leave(ledger: &Path, found: &LedgerOpenError) {
    let marker = beside(ledger);
    match write(&marker, found) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            tracing::error!(marker = %marker.display(), %error, "the marker of a damaged ledger could not be written");
        }
        _ => {}
    }
}

/// What was found, if there is a marker.
pub(crate) fn read(ledger: &Path) -> io::Result<Option<String>> {
    match fs::read(beside(ledger)) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            Ok(Some(text.lines().next().unwrap_or_default().chars().take(LINE_CHARS_MAX).collect()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// As much of the first line as goes into a message.
const LINE_CHARS_MAX: usize = 200;

fn write(marker: &Path, found: &LedgerOpenError) -> io::Result<()> {
    let first = match found {
        LedgerOpenError::LogDamaged { frame: 0, .. } => "the write-ahead log was damaged in its header".to_owned(),
        LedgerOpenError::LogDamaged { frame, offset, .. } => {
            format!("the write-ahead log was damaged in frame {frame}, byte {offset}")
        }
        other => other.to_string(),
    };
    let mut file = File::create_new(marker)?;
    write!(
        file,
        "{first}\n\n{found}.\n\nCashgate does not start on this ledger while this file is here, even if the log is gone.\n\
         Whoever has restored the ledger from backup removes it.\n"
    )?;
    file.sync_all()
}
