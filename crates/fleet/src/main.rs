//! The `cashgate-fleet` binary.
fn main() {}
