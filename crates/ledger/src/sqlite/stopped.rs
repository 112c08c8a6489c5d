//! The log of a ledger file that is to be checked as a whole.

use std::path::Path;

use super::lock::StoppedLock;
use super::open::{resolved, torn_tail};
use super::wal::{self, LogEnd, TornTail};
use super::{SqliteReader, marker};
use crate::open_error::LedgerOpenError;
use crate::records::Sequence;

/// What was found beside the file, and the file opened.
pub(crate) struct Stopped {
    pub(crate) reader: SqliteReader,
    /// What is wrong with the log, each on one line.
    pub(crate) findings: Vec<String>,
    /// Whether a gateway runs on it: its log changes all the time and was not looked at.
    pub(crate) running: bool,
    end: LogEnd,
}

impl Stopped {
    /// What a crash left at the end of the log.
    pub(crate) fn torn_tail(&self, last: Sequence) -> Option<TornTail> {
        torn_tail(self.end, last)
    }
}

/// Looks at the log, then opens the file for reading.
pub(crate) fn looked_at(path: &Path) -> Result<Stopped, LedgerOpenError> {
    let path = &resolved(path);
    let fault = |source| LedgerOpenError::System { path: path.to_path_buf(), doing: "reading its log", source };
    let mut findings = Vec::new();
    if let Some(said) = marker::read(path).map_err(fault)? {
        findings.push(format!("a start found it damaged, and left {}: {said}", marker::beside(path).display()));
    }
    let (end, running) = match StoppedLock::take(path).map_err(fault)? {
        None => (LogEnd::Whole, true),
        Some(_stopped) => (wal::end_of_log(path).map_err(fault)?, false),
    };
    if let LogEnd::Damaged { frame, offset } = end {
        findings.push(format!(
            "frame {frame} (byte {offset}) is damaged and acknowledged commits follow; all else here was read without them"
        ));
    }
    let reader = SqliteReader::open(path, 1)?;
    Ok(Stopped { reader, findings, running, end })
}
