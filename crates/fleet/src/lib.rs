//! Simulated ATMs, phones and core banking over the real wire
