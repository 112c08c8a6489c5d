//! The reference consumer of an institution: what it makes of the gateway's event feed for its customers and its fraud desk.
//!
//! An alert goes out first and its place in the feed is written down after, so a break never loses one. A process that is killed just between the two
//! gives the alerts of that one event again, with the same `alert_id`: whoever sends them on drops what it has sent.

mod consumer;
mod progress;
mod words;

pub use consumer::{Consumer, ConsumerError};
pub use progress::{Progress, ProgressError};
pub use words::{Alert, AlertRules, Audience};
