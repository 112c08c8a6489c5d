//! The `cashgate` binary.
fn main() {}
