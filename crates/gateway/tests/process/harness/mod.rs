//! A folder made by `cashgate init`, the gateway that serves it as a process of its own, and scripted peers on the real wire.

#![allow(dead_code, reason = "two programs share it, and each leaves something of it to the other")]

mod atm;
pub(crate) mod certificates;
mod collector;
mod core_bank;
mod feed;
mod phone;
mod ports;
pub(crate) mod publishing;
mod recording;
mod refusals;
mod site;
mod store;

use std::time::Duration;

pub(crate) use atm::{Atm, Heard, hello, report_dispensed, yen};
pub(crate) use collector::{Collector, attribute};
pub(crate) use core_bank::{Call, CoreBank, HoldScript};
pub(crate) use feed::notices;
pub(crate) use phone::{Phone, raw_signature, withdrawal_state};
pub(crate) use publishing::{PERMIT, no_more_than};
pub(crate) use refusals::{Refusals, in_words};
pub(crate) use site::{Port, Site};
pub(crate) use store::{LedgerKind, Store};

/// How long anything may take that is to happen. A test never asserts that something is quick.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// What `found` finds at last.
pub(crate) async fn eventually<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = found().await {
                return found;
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("it never came to this: {what}"))
}

/// What a future gives, which must not take for ever.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("it never came to this: {what}"))
}
