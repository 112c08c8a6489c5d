//! The ledger on real files: one process and several, killed ones and full disks included.

// The functions that tests share are tests too, which clippy cannot see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::cast_possible_truncation)]
#![allow(clippy::duplicate_mod, reason = "one suite, compiled for each store")]

mod durability;
mod failure;
mod full_disk;
mod killed_phones;
mod log;
mod migration;
mod opening;
mod plain_sql;
mod sample;

/// What holds for every store, on a file.
mod on_file {
    #[path = "../suite/appending.rs"]
    mod appending;
    #[path = "../suite/approvals.rs"]
    mod approvals;
    #[path = "../suite/attempts.rs"]
    mod attempts;
    #[path = "../suite/damage.rs"]
    mod damage;
    #[path = "../suite/devices.rs"]
    mod devices;
    #[path = "../suite/feed.rs"]
    mod feed;
    #[path = "../suite/key_events.rs"]
    mod key_events;
    #[path = "../suite/notices.rs"]
    mod notices;
    #[path = "../suite/publications.rs"]
    mod publications;
    #[path = "../suite/reading.rs"]
    mod reading;
    #[path = "../suite/remarks.rs"]
    mod remarks;
    pub(crate) mod store;
}

/// The same on PostgreSQL.
mod on_postgres {
    #[path = "../suite/appending.rs"]
    mod appending;
    #[path = "../suite/approvals.rs"]
    mod approvals;
    mod archiving;
    #[path = "../suite/attempts.rs"]
    mod attempts;
    mod claiming;
    #[path = "../suite/damage.rs"]
    mod damage;
    #[path = "../suite/devices.rs"]
    mod devices;
    mod faults;
    #[path = "../suite/feed.rs"]
    mod feed;
    #[path = "../suite/key_events.rs"]
    mod key_events;
    #[path = "../suite/notices.rs"]
    mod notices;
    #[path = "../suite/publications.rs"]
    mod publications;
    #[path = "../suite/reading.rs"]
    mod reading;
    #[path = "../suite/remarks.rs"]
    mod remarks;
    mod replicas;
    mod schema;
    pub(crate) mod store;
}
