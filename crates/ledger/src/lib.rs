//! Durable withdrawals: append-only steps, group commit, replay, queries
