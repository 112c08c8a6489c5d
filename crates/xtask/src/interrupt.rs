//! Ctrl-C and SIGTERM as a flag, so that children are stopped and the books are still printed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on Ctrl-C only sets the flag.
pub(crate) fn watch() -> Result<(), String> {
    let flag = FLAG.get_or_init(Arc::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(flag))
            .map_err(|error| format!("cannot listen for signal {signal}: {error}"))?;
    }
    Ok(())
}

pub(crate) fn came() -> bool {
    FLAG.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// The Ctrl-C that came was dealt with; the next one ends what follows.
pub(crate) fn forget() {
    if let Some(flag) = FLAG.get() {
        flag.store(false, Ordering::Relaxed);
    }
}

/// An error once Ctrl-C came; every wait calls it.
pub(crate) fn check() -> Result<(), String> {
    if came() { Err("interrupted".to_owned()) } else { Ok(()) }
}
