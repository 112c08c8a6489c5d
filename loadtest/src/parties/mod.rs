//! The parties around a gateway, in this process: thousands of light ATMs, phones, and a core bank.

pub(crate) mod atms;
pub(crate) mod core_bank;
pub(crate) mod phones;
