//! The keys that sign QR tokens: which there are, which signs, and how one takes over from another without a code being refused.

mod attending;
mod hsm;
pub(crate) mod messages;
mod office;
mod refusal;
mod ring;
#[cfg(test)]
mod testing;

pub use hsm::{FoundKey, KeyHsm};
pub use office::{KeyOffice, KeySettings, KeyStanding, KeyStatus, Rotation};
pub use refusal::KeyRefusal;
pub use ring::{IllegalBecause, IllegalKeyEvent, KeyRing, KeyRow, KeyState, Successor};
