//! The simulation at work: worlds by seed, every crash of every scenario, days of outage, the program's replay. One program, because each
//! would link the gateway anew; planted bugs have their own, because a bug is planted for a whole process.

mod crashes;
mod outage;
mod replay;
mod worlds;
