//! What each rpc refuses, in which words; nothing is reserved, written or sent on, and every refusal is counted.

mod approving;
mod at_the_atm;
mod codes;
mod phones;
mod scanning;
mod withdrawals;
