//! Open-loop load on a running Cashgate.
//!
//! One process holds thousands of ATMs, each with a stream of its own over mTLS, the phones of an institution behind its app back end, and the institution's
//! core bank. Customers come by the clock ([`arrivals`]) and every latency is counted from the moment at which a customer *meant* to begin, so that a gateway
//! that stalls cannot hide it: a generator that waits for an answer before it asks again leaves out just the requests that would have been slow, which is
//! called coordinated omission. In the end the books of all four sides are compared ([`books`]); a run whose books do not balance has failed.
//!
//! It knows the interfaces in `proto/`, through `cashgate-fleet`, and a few names of the gateway's metrics. **Absent: the gateway.** It must never depend on it,
//! and works against any that speaks the protocol.

pub mod arrivals;
pub mod books;
pub mod certificates;
mod error;
pub mod faults;
mod following;
pub mod gateway_watch;
mod parties;
mod progress;
pub mod recording;
pub mod report;
mod run;
pub mod scenario;
pub mod verdict;
mod visit;

pub use error::RunError;
pub use parties::core_bank::CoreBankError;
pub use parties::phones::PhonesError;
pub use run::{Outcome, Target, register, run};
