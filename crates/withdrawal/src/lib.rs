//! Every rule and every legal transition of a cardless withdrawal, as pure functions.
//!
//! This crate knows what a withdrawal is, which event may follow which, and what must be done then. It must never know sockets,
//! threads, files, wire formats, clocks or randomness: time and random bytes come in as arguments, and what is to be made durable
//! or sent goes out as values. Whoever drives it keeps one promise: records first, effects when the records are durable.
//!
//! Start at [`step()`], the heart; [`lane`] puts it to work for one ATM.

pub mod cassettes;
pub mod dispense;
pub mod event;
pub mod evidence;
pub mod ids;
pub mod lane;
pub mod location;
pub mod money;
pub mod notice;
#[cfg(feature = "planted")]
pub mod planted;
pub mod refusal;
pub mod step;
pub mod stop;
pub mod time;
pub mod withdrawal;

pub use step::step;
