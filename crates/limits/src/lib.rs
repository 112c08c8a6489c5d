//! What may still be withdrawn, from an account, with a device, at an ATM, by an institution's customers: what is open and what was
//! drawn, decided in one step.
//!
//! This crate knows limit figures, what is counted, and how to check and add in one step, so that two withdrawals that race for the last
//! yen cannot both have it. It must never know async, clocks, time zones, storage, wire formats or randomness: the moment and the
//! beginning of the calendar day come in as arguments, and what has to outlive a crash is rebuilt from outside through
//! [`Limits::restore_reservation`], [`Limits::restore_spent`] and [`Limits::restore_attempts`]. The maps it keeps show nowhere.
//!
//! Four promises:
//! - **One step decides.** A decision holds the guards of all it looks at until everything is checked and added; guards are taken in the
//!   order account, device, ATM, institution.
//! - **A refusal changes nothing**, and leaves no entry behind.
//! - **In doubt it counts.** A forgotten [`Reservation`] stays counted, what lies ahead of a clock that stepped back counts, and notes
//!   that left the machine are counted whatever was reserved.
//! - **What is not limited is not counted**: neither looked at nor stored.
//!
//! ```text
//! account      every withdrawal of 7 days, pace        calendar day, 24 h, 7 d: exact
//! device       every withdrawal of 7 days, attempts    calendar day, 24 h, 7 d: exact
//! ATM          sums by the hour, a currency            24 h, up to an hour longer
//! institution  sums by the hour, a currency            24 h, up to an hour longer
//! ```

mod account;
mod attempts;
mod burst;
mod decision;
mod device;
mod drawn;
mod figures;
mod headroom;
mod key;
mod limits;
mod locked;
mod recount;
mod refusal;
mod request;
mod reservation;
mod shards;
mod sums;
mod table;
#[cfg(test)]
mod tests;
mod window;

pub use burst::Burst;
pub use device::Attempts;
pub use figures::{Caps, FiguresError, LimitFigures, SumCaps, Tier};
pub use limits::Limits;
pub use recount::Recounted;
pub use refusal::{LimitRefusal, Scope, SettleError};
pub use request::{Headroom, HeadroomRequest, LimitRequest, Restored};
pub use reservation::Reservation;
