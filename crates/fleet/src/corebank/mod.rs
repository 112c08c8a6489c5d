//! A simulated core bank: accounts and holds in SQLite, served over mTLS, with faults on demand.

mod answers;
mod bank;
mod books;
mod caller;
mod faults;
mod schema;
mod server;

pub use answers::{Lookup, PlaceHold, PlaceHoldAnswer, SettlementAnswer, Standing};
pub use bank::{Bank, BankError};
pub use books::{AccountBooks, HoldBooks};
pub use faults::{BankCommand, BankCommandError, Faults};
pub use server::{BankEvent, Branch, ServeError, serve};

#[cfg(test)]
mod tests;
