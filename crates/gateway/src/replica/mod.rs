//! One gateway among several that share a ledger.
//!
//! Nothing here decides about a withdrawal: a lane is the same with and without other replicas. What is here says whose an ATM's lane is, and
//! takes it from one replica to the next by what a crash and a restart already do.

mod alarms;
pub mod alone;
mod appending;
mod attempts;
mod following;
mod forwarding;
mod member;
mod peers;
mod pulse;

pub use appending::{append_of, keys_of};
pub use attempts::{Attempts, Heard};
pub use following::{Followers, follow};
pub(crate) use forwarding::{AtmsElsewhere, Forwarding, Route, marked};
pub use member::Member;
pub use peers::{PeerClient, Peers};
pub use pulse::{DEAD_AFTER_USUAL, Pulse};
