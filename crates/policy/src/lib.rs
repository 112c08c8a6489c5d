//! Fraud rules in Cedar: facts in, a decision with its reasons out.
//!
//! This crate knows which facts a rule may use ([`Facts`]), what was seen lately that facts are made of ([`patterns::Patterns`]), which rule
//! sets are fit to decide ([`cases`] among them), and how the answers of several rules become one [`Verdict`]. It must never know what time it
//! is, what a customer is told, or how much an account has left (that is `limits`). A set is read once and never changes; deciding does
//! no IO and takes no lock.
//!
//! Everything that goes wrong leads to [`Verdict::Forbid`], never the other way: Cedar itself skips a rule that fails while it
//! runs, which would let through what that rule was to stop.

pub mod cases;
mod decision;
mod difference;
mod facts;
pub mod patterns;
mod problem;
mod question;
mod record;
mod rehearsal;
mod rules;
mod set;
mod sources;

pub use decision::{Decision, Verdict};
pub use difference::Difference;
pub use facts::{Attestation, Channel, Facts, NotAnAttestation};
pub use problem::{PolicyError, Problem};
pub use record::RecordError;
pub use rehearsal::{Change, Example, Recorded, Rehearsal, rehearse};
pub use set::{Checked, PolicySet};
