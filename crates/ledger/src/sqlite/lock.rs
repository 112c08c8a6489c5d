//! One writer: a lock beside the ledger, not on it, so that anyone can go on reading with plain SQL.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::open_error::LedgerOpenError;

/// Held as long as a ledger's writer lives. The operating system releases it when the process dies, however it dies.
pub(crate) struct WriterLock {
    file: File,
}

impl Drop for WriterLock {
    /// Said, and not left to the file's closing: a child that this process is about to start has the file open too, until it becomes another
    /// program.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "the ledger's lock ends with the process");
        }
    }
}

impl WriterLock {
    /// Takes the lock of the ledger at `path`, or says who has it.
    pub(crate) fn take(path: &Path) -> Result<Self, LedgerOpenError> {
        let lock_path = beside(path);
        let fault = |source| LedgerOpenError::Lock { path: lock_path.clone(), source };
        // Not truncated before it is ours: the text in it names the holder. Never deleted: a deleted file can be locked twice.
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LedgerOpenError::InUse { path: path.to_path_buf(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(fault(error)),
        }
        sign(&mut file).map_err(fault)?;
        Ok(Self { file })
    }
}

/// Keeps writers out for a moment, without becoming one: several may hold it.
pub(crate) struct StoppedLock {
    _file: Option<File>,
}

impl StoppedLock {
    /// `None` if a writer has the ledger. Writes nothing: where there is no lock file there is no writer.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(beside(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(Self { _file: None })),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Self { _file: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// `ledger.db` is locked by `ledger.db.lock`.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    name.into()
}

fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "which did not leave its name".to_owned(),
    }
}

/// Written over the old name before the rest is cut, so that it takes no new room: a full disk must not keep the gateway from starting,
/// and a name that cannot be written is no reason not to either.
fn sign(file: &mut File) -> io::Result<()> {
    let name = format!("process {}\n", std::process::id());
    match file.rewind().and_then(|()| file.write_all(name.as_bytes())) {
        Ok(()) => file.set_len(name.len() as u64),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
        Err(error) => Err(error),
    }
}
