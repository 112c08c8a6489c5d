//! One writer: a lock beside the ledger, not on it, so that anyone can go on reading with plain SQL.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::LedgerOpenError;

/// Held as long as a ledger's writer lives. The operating system releases it when the process dies, however it dies.
pub(crate) struct WriterLock {
    _file: File,
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
        Ok(Self { _file: file })
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

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "process {}", std::process::id())
}
