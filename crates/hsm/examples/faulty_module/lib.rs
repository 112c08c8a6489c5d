//! A PKCS#11 module that stands in front of a real one and does what broken HSMs do. For tests and benches, never in production.
//!
//! It knows PKCS#11 2.40 calls and a file of orders; it must never know Cashgate. Environment, read when it is loaded:
//!
//! - `FAULTY_MODULE_BEHIND`: the real module;
//! - `FAULTY_MODULE_CONTROL`: the file of orders, see [`control`]. Read at every call, so it may change at any time (replace it by
//!   renaming another one over it). Without it every call passes;
//! - `FAULTY_MODULE_COUNTS`: where to count calls, see [`counts`];
//! - `FAULTY_MODULE_PARAMETERS`: handed to the real module's `C_Initialize` in the field that NSS adds to its arguments, for modules
//!   such as NSS softokn that take their configuration there and nowhere else.
//!
//! Functions that are not in [`counts::FUNCTIONS`] reach the real module without being counted or struck.

#![allow(unsafe_code, reason = "a PKCS#11 module is C functions over C pointers")]
#![allow(non_snake_case, reason = "the functions have the names that PKCS#11 gives them")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a module for tests stops loudly when it is set up wrongly"
)]

mod control;
mod counts;
mod functions;

use std::ffi::CString;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use cryptoki_sys::{
    CK_FUNCTION_LIST, CK_RV, CK_TRUE, CK_ULONG, CKR_ARGUMENTS_BAD, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_OK,
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::control::{Control, Strikes};
use crate::counts::Counts;

/// How soon a call that hangs sees that its line is gone.
const HANG_POLL: Duration = Duration::from_millis(1);

static FRONT: OnceLock<Front> = OnceLock::new();

/// The module in front and the one behind it.
struct Front {
    /// The real module's functions. Its library stays loaded for the rest of the process.
    real: CK_FUNCTION_LIST,
    /// What callers get.
    shown: CK_FUNCTION_LIST,
    control: Control,
    counts: Counts,
    parameters: Option<CString>,
    /// The code that every call answers until `C_Finalize`; 0 (`CKR_OK`) for none.
    sticky: AtomicU64,
    /// How often `C_Finalize` came in: a call that hung across one must not reach the real module afterwards.
    finalized: AtomicU64,
    /// Shared by calls, and had alone by what a device does between them.
    device: RwLock<()>,
}

/// The entry point of a PKCS#11 module.
///
/// # Safety
/// `list` is null or points to where the address of the function list may be written, as PKCS#11 says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    // SAFETY: not null, and the caller's to be written. What it gets is only read: PKCS#11 forbids changing it.
    unsafe { *list = ptr::from_ref(&front().shown).cast_mut() };
    CKR_OK
}

fn front() -> &'static Front {
    FRONT.get_or_init(|| {
        stay_loaded();
        let path = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let real = load(path("FAULTY_MODULE_BEHIND").expect("FAULTY_MODULE_BEHIND names the real module"));
        Front {
            shown: functions::in_front_of(real),
            real,
            control: Control::new(path("FAULTY_MODULE_CONTROL")),
            counts: Counts::new(path("FAULTY_MODULE_COUNTS")),
            parameters: std::env::var("FAULTY_MODULE_PARAMETERS")
                .ok()
                .map(|text| CString::new(text).expect("an environment variable has no zero byte")),
            sticky: AtomicU64::new(CKR_OK),
            finalized: AtomicU64::new(0),
            device: RwLock::new(()),
        }
    })
}

/// Keeps this library mapped until the process ends. Callers unload a module that did not start, and with it would go the counts.
fn stay_loaded() {
    const RTLD_NODELETE: i32 = 0x1000;
    let here = (front as fn() -> &'static Front) as usize;
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux lists what is mapped");
    let own_path = maps.lines().find_map(|line| {
        let (start, end) = line.split_whitespace().next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        (address(start)? <= here && here < address(end)?).then(|| line.find('/').map(|at| line[at..].to_owned()))
    });
    let own_path = own_path.flatten().expect("this library is mapped from a file");
    // SAFETY: this library is loaded already, so nothing of it runs again.
    let library = unsafe { Library::open(Some(&own_path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) };
    std::mem::forget(library.expect("this library can be opened again"));
}

fn load(path: PathBuf) -> CK_FUNCTION_LIST {
    let mut list = ptr::null_mut();
    // SAFETY: the tester names a PKCS#11 module, which may run code when it is loaded and has a C_GetFunctionList of this type.
    // The list that it gives stays valid while the library is loaded, and it is never unloaded.
    unsafe {
        let library = Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL)
            .unwrap_or_else(|error| panic!("the module behind the faulty one: {error}"));
        let entry = library
            .get::<unsafe extern "C" fn(*mut *mut CK_FUNCTION_LIST) -> CK_RV>(b"C_GetFunctionList")
            .unwrap_or_else(|error| panic!("{} is no PKCS#11 module: {error}", path.display()));
        assert_eq!(entry(&raw mut list), CKR_OK, "{} gives its functions", path.display());
        std::mem::forget(library);
        *list
    }
}

/// Everything that happens around a call: it is counted, then hangs, waits or is refused as ordered, or does `call`.
fn around(function: &'static str, call: impl FnOnce(&Strikes) -> CK_RV) -> CK_RV {
    let front = front();
    front.counts.entered(function);
    let strikes = front.control.strikes(function);
    let code = front.refusal(function, &strikes).unwrap_or_else(|| {
        let _shared = front.device.read().unwrap_or_else(PoisonError::into_inner);
        call(&strikes)
    });
    front.counts.returned(function);
    code
}

impl Front {
    fn refusal(&self, function: &str, strikes: &Strikes) -> Option<CK_RV> {
        let finalized = self.finalized.load(Ordering::SeqCst);
        if let Some(line) = &strikes.hang {
            self.counts.entered(counts::HANGING);
            while self.control.has(line) {
                std::thread::sleep(HANG_POLL);
            }
            self.counts.returned(counts::HANGING);
        }
        std::thread::sleep(strikes.delay);
        if let Some(failure) = strikes.fail {
            if failure.sticky {
                self.sticky.store(failure.code, Ordering::SeqCst);
            }
            return Some(failure.code);
        }
        if function == "C_Finalize" {
            return None;
        }
        // Its HSM session's handle may be another's by now.
        if finalized != self.finalized.load(Ordering::SeqCst) {
            return Some(CKR_CRYPTOKI_NOT_INITIALIZED);
        }
        let sticky = self.sticky.load(Ordering::SeqCst);
        if strikes.lose_sessions {
            self.lose_sessions();
        }
        (sticky != CKR_OK).then_some(sticky)
    }

    fn lose_sessions(&self) {
        let (Some(list), Some(close)) = (self.real.C_GetSlotList, self.real.C_CloseAllSessions) else { return };
        // SoftHSM2 crashes if an HSM session is closed while another thread signs in it.
        let _alone = self.device.write().unwrap_or_else(PoisonError::into_inner);
        let mut slots = [0; 64];
        let mut count = slots.len() as CK_ULONG;
        // SAFETY: `count` is the length of `slots`, and both outlive the calls. A code other than CKR_OK leaves nothing to close.
        unsafe {
            if list(CK_TRUE, slots.as_mut_ptr(), &raw mut count) == CKR_OK {
                for slot in slots.iter().take(usize::try_from(count).unwrap_or(0)) {
                    close(*slot);
                }
            }
        }
    }
}
