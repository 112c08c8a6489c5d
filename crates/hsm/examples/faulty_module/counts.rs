//! How often each function was called, in a file that a test reads while the module runs.
//!
//! One line a function, always as long and in the same place: name, calls that came in, calls that returned. What came in and did
//! not return is inside now, or hangs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// `C_Finalize` came in while other calls were inside, which PKCS#11 leaves undefined: a fault of the caller.
pub(crate) const FINALIZED_OVER_CALLS: &str = "finalized_over_calls";

/// Calls that an order made hang, whatever their function. A call that is only slow is inside its function too, but not here.
pub(crate) const HANGING: &str = "hanging";

/// What is counted, and what an order in the control file may name.
pub(crate) const FUNCTIONS: [&str; 35] = [
    "C_Initialize",
    "C_Finalize",
    "C_GetInfo",
    "C_GetSlotList",
    "C_GetSlotInfo",
    "C_GetTokenInfo",
    "C_GetMechanismList",
    "C_GetMechanismInfo",
    "C_InitToken",
    "C_InitPIN",
    "C_OpenSession",
    "C_CloseSession",
    "C_CloseAllSessions",
    "C_GetSessionInfo",
    "C_Login",
    "C_Logout",
    "C_CreateObject",
    "C_DestroyObject",
    "C_GetAttributeValue",
    "C_FindObjectsInit",
    "C_FindObjects",
    "C_FindObjectsFinal",
    "C_SignInit",
    "C_Sign",
    "C_SignUpdate",
    "C_SignFinal",
    "C_VerifyInit",
    "C_Verify",
    "C_GenerateKey",
    "C_GenerateKeyPair",
    "C_DeriveKey",
    "C_GenerateRandom",
    "C_EncryptInit",
    FINALIZED_OVER_CALLS,
    HANGING,
];

const LINE_LENGTH: u64 = 50;

/// The counts of this process, since it loaded the module first.
pub(crate) struct Counts {
    file: Option<File>,
    rows: Mutex<[Row; FUNCTIONS.len()]>,
}

#[derive(Clone, Copy, Default)]
struct Row {
    calls: u64,
    returned: u64,
}

impl Counts {
    /// Without a path nothing is written.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        let file = path.map(|path| {
            File::create(&path).unwrap_or_else(|error| panic!("the faulty module's counts {}: {error}", path.display()))
        });
        let counts = Self { file, rows: Mutex::new([Row::default(); FUNCTIONS.len()]) };
        for function in FUNCTIONS {
            counts.change(function, |_| {});
        }
        counts
    }

    pub(crate) fn entered(&self, function: &str) {
        if function == "C_Finalize" && self.inside() > 0 {
            self.change(FINALIZED_OVER_CALLS, |row| *row = Row { calls: row.calls + 1, returned: row.returned + 1 });
        }
        self.change(function, |row| row.calls += 1);
    }

    pub(crate) fn returned(&self, function: &str) {
        self.change(function, |row| row.returned += 1);
    }

    fn inside(&self) -> u64 {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.iter().map(|row| row.calls - row.returned).sum()
    }

    fn change(&self, function: &str, change: impl FnOnce(&mut Row)) {
        let index = FUNCTIONS.iter().position(|name| *name == function).expect("every function here is in the list");
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut rows[index]);
        // Written under the lock, so that no older figure follows a newer one.
        if let Some(file) = &self.file {
            let Row { calls, returned } = rows[index];
            let line = format!("{function:<21} {calls:>13} {returned:>13}\n");
            file.write_all_at(line.as_bytes(), index as u64 * LINE_LENGTH).expect("the counts can be written");
        }
    }
}
