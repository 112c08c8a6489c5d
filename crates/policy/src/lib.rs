//! Fraud rules in Cedar: facts in, a decision with its reasons out
