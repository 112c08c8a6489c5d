//! What an account may still withdraw: outstanding reservations and the day's spending, decided under one guard.
//!
//! This crate knows limit figures, what is counted against each account, and how to check and add in one step, so that two
//! withdrawals that race for the last yen cannot both have it. It must never know async, clocks, time zones, storage, wire
//! formats or randomness: the moment and the calendar day come in as arguments, and what has to outlive a crash is rebuilt from
//! outside through [`Limits::restore_reservation`] and [`Limits::restore_spent`]. The map it keeps (dashmap) shows nowhere.
//!
//! Three promises:
//! - **One guard decides.** Everything that is counted against an account lies in one entry; no decision looks at it twice.
//! - **A refusal changes nothing**, and leaves no entry behind.
//! - **In doubt it counts.** A forgotten [`Reservation`] stays counted, a clock that steps back forgets nothing, and notes that
//!   left the machine are counted whatever was reserved.

mod account;
mod burst;
mod figures;
mod limits;
mod refusal;
mod reservation;
#[cfg(test)]
mod tests;

pub use burst::Burst;
pub use figures::{FiguresError, LimitFigures};
pub use limits::{AccountKey, Headroom, Limits};
pub use refusal::{LimitRefusal, RestoreError, SettleError};
pub use reservation::Reservation;
