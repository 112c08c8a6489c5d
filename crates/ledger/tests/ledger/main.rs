//! The ledger on real files: one process and several, killed ones and full disks included.

// The functions that tests share are tests too, which clippy cannot see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::cast_possible_truncation)]

mod appending;
mod approvals;
mod damage;
mod devices;
mod durability;
mod failure;
mod feed;
mod full_disk;
mod key_events;
mod log;
mod migration;
mod notices;
mod opening;
mod plain_sql;
mod reading;
mod remarks;
mod sample;
