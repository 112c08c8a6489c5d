//! The HSM is broken under load in every way there is, and heals. Whatever happens: nothing wrong leaves, everybody gets an answer.

mod failing;
mod failover;
mod finding;
mod hanging;
mod remote;
mod rotating;

use std::time::Duration;

use cashgate_hsm::{HsmConfig, HsmSlot};

use crate::api::{self, Access};
use crate::faulty::FINALIZED_OVER_CALLS;
use crate::harness::{ModuleUnderTest, PIN};

/// Through the faulty module, with pauses that make tests short.
fn config(module: &ModuleUnderTest) -> HsmConfig {
    HsmConfig {
        patience: Duration::from_secs(8),
        retry_first: Duration::from_millis(50),
        retry_max: Duration::from_millis(400),
        ..api::config(&Access { module: module.faulty.module(), ..Access::of(module) })
    }
}

fn slot(module: &std::path::Path, token_label: &str) -> HsmSlot {
    HsmSlot { module: module.to_owned(), token_label: token_label.to_owned(), pin: PIN.into() }
}

/// PKCS#11 leaves undefined what happens when a module is finalised around a call, so it must never be.
fn never_finalised_over_a_call(module: &ModuleUnderTest) {
    assert_eq!(module.faulty.calls(FINALIZED_OVER_CALLS), 0);
}
