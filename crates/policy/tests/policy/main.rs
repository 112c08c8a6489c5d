//! The rules as their authors and the gateway meet them. One program, because each would link Cedar anew.

mod alarms;
mod builtin_rules;
mod case_files;
mod deciding;
mod guide;
mod patterns;
mod records;
mod refused_sets;
mod rehearsing;
