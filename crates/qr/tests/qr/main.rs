//! The QR token and the approval, tried from outside: as an ATM's gateway makes them, as an app reads them, as a thief bends them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may stop loudly, their helper functions too")]

mod approvals;
mod batches;
mod crafted_tokens;
mod hostile_input;
mod key_sets;
mod picture;
mod refusals;
mod refused_batches;
mod refused_tokens;
mod round_trip;
mod test_keys;
mod vectors;
