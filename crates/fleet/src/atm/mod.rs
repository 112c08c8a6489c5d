//! A simulated ATM: a machine without input and output, its durable record, and a driver that connects both to the gateway.

mod book;
mod command;
mod dispenser;
mod dispensing;
mod driver;
mod link;
mod machine;
mod notes;
mod qr_picture;
mod record_file;
mod report;
mod screen;
mod secured;
mod trace;
mod waiting;

pub use book::{Book, BookLine, Entry, Fact};
pub use command::{Command, CommandError, Fault};
pub use dispenser::{
    Authorised, DispenseKey, DispenseKeyError, PresentStatus, Retracted, SecureDispenser, TokenRefused,
};
pub use driver::{AtmError, Ended, Installation, run, run_in_memory, run_secured};
pub use machine::{Input, Machine, Output, Plan};
pub use notes::{Cassettes, Notes, NotesError, value_of};
pub use qr_picture::{QrPictureError, terminal_picture};
pub use record_file::{RECORD_FILE_NAME, RecordError, RecordFile, read_facts};
pub use report::{Evidence, OutcomeWord, Report};
pub use screen::ScreenEvent;
pub use secured::Trick;

#[cfg(test)]
mod tests;
