//! What the module is told to do: a text file, read at every call.
//!
//! One order a line; empty lines and lines that begin with `#` say nothing. `FUNCTION` is a PKCS#11 name such as `C_Sign`, or `*` for
//! every function but `C_Initialize` and `C_Finalize`.
//!
//! | order | what the call does |
//! |---|---|
//! | `delay FUNCTION 5ms` | takes this much longer (`us`, `ms`, `s`) |
//! | `hang FUNCTION` | does not return until the line is gone from the file |
//! | `fail FUNCTION CKR_NAME` | returns the code (a name or a hexadecimal value) and does not reach the device |
//! | `fail FUNCTION CKR_NAME sticky` | the same, and from then on so does every call until `C_Finalize`, even when the line is gone |
//! | `wrong FUNCTION` | `C_Sign`: one bit of the signature is flipped; `C_Verify`: the opposite answer; `C_GenerateRandom`: zeros |
//! | `short FUNCTION` | `C_Sign`: half the signature; `C_FindObjects`: no objects; `C_GetSlotList`: no slots |
//! | `lose_sessions FUNCTION` | all HSM sessions (and the login) are closed before the call, as by a device that started again |
//! | `renumber 7` | slot ids are 7 higher, in lists and in every call that takes one |
//!
//! All but `renumber` may end with `times N` (the first N calls only) or `every N` (each Nth call only). Calls are counted by line from
//! the moment it appears; a line that goes and comes back counts anew.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cryptoki_sys::{CK_RV, CK_SLOT_ID};

/// The answers that a test may name.
const CODES: [(&str, CK_RV); 21] = [
    ("CKR_HOST_MEMORY", cryptoki_sys::CKR_HOST_MEMORY),
    ("CKR_SLOT_ID_INVALID", cryptoki_sys::CKR_SLOT_ID_INVALID),
    ("CKR_GENERAL_ERROR", cryptoki_sys::CKR_GENERAL_ERROR),
    ("CKR_FUNCTION_FAILED", cryptoki_sys::CKR_FUNCTION_FAILED),
    ("CKR_DEVICE_ERROR", cryptoki_sys::CKR_DEVICE_ERROR),
    ("CKR_DEVICE_MEMORY", cryptoki_sys::CKR_DEVICE_MEMORY),
    ("CKR_DEVICE_REMOVED", cryptoki_sys::CKR_DEVICE_REMOVED),
    ("CKR_FUNCTION_NOT_SUPPORTED", cryptoki_sys::CKR_FUNCTION_NOT_SUPPORTED),
    ("CKR_KEY_HANDLE_INVALID", cryptoki_sys::CKR_KEY_HANDLE_INVALID),
    ("CKR_MECHANISM_INVALID", cryptoki_sys::CKR_MECHANISM_INVALID),
    ("CKR_OBJECT_HANDLE_INVALID", cryptoki_sys::CKR_OBJECT_HANDLE_INVALID),
    ("CKR_OPERATION_ACTIVE", cryptoki_sys::CKR_OPERATION_ACTIVE),
    ("CKR_OPERATION_NOT_INITIALIZED", cryptoki_sys::CKR_OPERATION_NOT_INITIALIZED),
    ("CKR_PIN_INCORRECT", cryptoki_sys::CKR_PIN_INCORRECT),
    ("CKR_PIN_LOCKED", cryptoki_sys::CKR_PIN_LOCKED),
    ("CKR_SESSION_CLOSED", cryptoki_sys::CKR_SESSION_CLOSED),
    ("CKR_SESSION_COUNT", cryptoki_sys::CKR_SESSION_COUNT),
    ("CKR_SESSION_HANDLE_INVALID", cryptoki_sys::CKR_SESSION_HANDLE_INVALID),
    ("CKR_TOKEN_NOT_PRESENT", cryptoki_sys::CKR_TOKEN_NOT_PRESENT),
    ("CKR_USER_NOT_LOGGED_IN", cryptoki_sys::CKR_USER_NOT_LOGGED_IN),
    ("CKR_CRYPTOKI_NOT_INITIALIZED", cryptoki_sys::CKR_CRYPTOKI_NOT_INITIALIZED),
];

/// What strikes one call.
#[derive(Default)]
pub(crate) struct Strikes {
    /// The line that the call waits for to disappear.
    pub(crate) hang: Option<String>,
    pub(crate) delay: Duration,
    pub(crate) fail: Option<Failure>,
    pub(crate) wrong: bool,
    pub(crate) short: bool,
    pub(crate) lose_sessions: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: CK_RV,
    pub(crate) sticky: bool,
}

/// The control file and what its lines have struck so far.
pub(crate) struct Control {
    path: Option<PathBuf>,
    calls_by_line: Mutex<HashMap<String, u64>>,
}

impl Control {
    /// Without a file the module in front changes nothing.
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, calls_by_line: Mutex::default() }
    }

    /// What strikes the call that comes in now.
    pub(crate) fn strikes(&self, function: &str) -> Strikes {
        let mut calls_by_line = self.calls_by_line.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: a call that had read the file before the last would forget what that one counted.
        let orders = self.orders();
        calls_by_line.retain(|line, _| orders.iter().any(|order| order.line == *line));
        let mut strikes = Strikes::default();
        for order in orders.into_iter().filter(|order| order.means(function)) {
            let calls = calls_by_line.entry(order.line.clone()).or_default();
            *calls += 1;
            if order.rhythm.strikes(*calls) {
                order.add_to(&mut strikes);
            }
        }
        strikes
    }

    pub(crate) fn has(&self, line: &str) -> bool {
        self.orders().iter().any(|order| order.line == line)
    }

    /// How much higher the slot ids are now.
    pub(crate) fn slot_offset(&self) -> CK_SLOT_ID {
        self.orders().iter().fold(0, |sum, order| match order.fault {
            Fault::Renumber(offset) => sum + offset,
            _ => sum,
        })
    }

    fn orders(&self) -> Vec<Order> {
        // A file that is not there is empty: a test takes it away to end all faults.
        let text = self.path.as_ref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        orders(&text).unwrap_or_else(|error| panic!("the faulty module's control file: {error}"))
    }
}

/// One line of the control file.
#[derive(Debug, PartialEq)]
pub(crate) struct Order {
    line: String,
    function: String,
    fault: Fault,
    rhythm: Rhythm,
}

#[derive(Debug, PartialEq)]
enum Fault {
    Delay(Duration),
    Hang,
    Fail(Failure),
    Wrong,
    Short,
    LoseSessions,
    Renumber(CK_SLOT_ID),
}

#[derive(Debug, PartialEq)]
enum Rhythm {
    Always,
    Times(u64),
    Every(u64),
}

/// Reads a control file.
///
/// # Errors
/// The first line that is no order.
pub(crate) fn orders(text: &str) -> Result<Vec<Order>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| Order::read(line).ok_or_else(|| format!("{line:?} is no order"))).collect()
}

impl Order {
    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (words, rhythm) = match words.as_slice() {
            [before @ .., "times", n] => (before, Rhythm::Times(n.parse().ok()?)),
            [before @ .., "every", n] => (before, Rhythm::Every(n.parse().ok().filter(|n| *n > 0)?)),
            all => (all, Rhythm::Always),
        };
        let (function, fault) = match words {
            ["renumber", offset] if rhythm == Rhythm::Always => ("*", Fault::Renumber(offset.parse().ok()?)),
            ["delay", function, duration] => (*function, Fault::Delay(read_duration(duration)?)),
            ["hang", function] => (*function, Fault::Hang),
            ["fail", function, code] => (*function, Fault::Fail(Failure { code: read_code(code)?, sticky: false })),
            ["fail", function, code, "sticky"] => {
                (*function, Fault::Fail(Failure { code: read_code(code)?, sticky: true }))
            }
            ["wrong", function @ ("C_Sign" | "C_Verify" | "C_GenerateRandom")] => (*function, Fault::Wrong),
            ["short", function @ ("C_Sign" | "C_FindObjects" | "C_GetSlotList")] => (*function, Fault::Short),
            ["lose_sessions", function] => (*function, Fault::LoseSessions),
            _ => return None,
        };
        let function_is_known = function == "*" || super::counts::FUNCTIONS.contains(&function);
        function_is_known.then(|| Self { line: line.to_owned(), function: function.to_owned(), fault, rhythm })
    }

    fn means(&self, function: &str) -> bool {
        match self.function.as_str() {
            "*" => !matches!(function, "C_Initialize" | "C_Finalize"),
            named => named == function,
        }
    }

    fn add_to(self, strikes: &mut Strikes) {
        match self.fault {
            Fault::Delay(duration) => strikes.delay += duration,
            Fault::Hang => strikes.hang = Some(self.line),
            Fault::Fail(failure) => strikes.fail = Some(failure),
            Fault::Wrong => strikes.wrong = true,
            Fault::Short => strikes.short = true,
            Fault::LoseSessions => strikes.lose_sessions = true,
            Fault::Renumber(_) => {}
        }
    }
}

impl Rhythm {
    fn strikes(&self, calls: u64) -> bool {
        match self {
            Self::Always => true,
            Self::Times(n) => calls <= *n,
            Self::Every(n) => calls.is_multiple_of(*n),
        }
    }
}

fn read_duration(word: &str) -> Option<Duration> {
    let (digits, unit) = word.split_at(word.find(|character: char| !character.is_ascii_digit())?);
    let n = digits.parse().ok()?;
    match unit {
        "us" => Some(Duration::from_micros(n)),
        "ms" => Some(Duration::from_millis(n)),
        "s" => Some(Duration::from_secs(n)),
        _ => None,
    }
}

fn read_code(word: &str) -> Option<CK_RV> {
    match word.strip_prefix("0x") {
        Some(digits) => CK_RV::from_str_radix(digits, 16).ok(),
        None => CODES.iter().find(|(name, _)| *name == word).map(|(_, code)| *code),
    }
}
