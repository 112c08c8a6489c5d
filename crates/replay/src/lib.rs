//! Two months of a bank's life in 2020, with the wave of thefts hidden in it.
pub mod attempt;
pub mod bank;
pub mod calendar;
mod chance;
pub mod controls;
pub mod geography;
pub mod life;
pub mod plain;
pub mod plot;
pub mod population;
pub mod reaction;
pub mod report;
pub mod seeds;
pub mod tally;
pub mod trials;
pub mod wave;
pub mod world;
