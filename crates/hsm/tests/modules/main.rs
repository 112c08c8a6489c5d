//! One suite on every PKCS#11 module there is to try, and the broken ones: each case in a process and an HSM token of its own.
//!
//! Needs the Debian packages `softhsm2`, `libnss3`, `libnss3-tools`, `p11-kit` and `p11-kit-modules`, and the module of
//! `examples/faulty_module`, which `cargo test` builds (`cargo test --test modules` alone does not: it takes the last one built).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests stop loudly; clippy.toml allows it in test functions, this in what they call"
)]

mod api;
mod direct;
mod faults;
mod faulty;
mod harness;
mod load;
mod remote;
mod server;
mod suite;
mod supervision;

use crate::harness::suite_on;

suite_on!(softhsm: Kind::SoftHsm);
suite_on!(softokn: Kind::Softokn);
suite_on!(remote_softhsm: Kind::RemoteSoftHsm);
