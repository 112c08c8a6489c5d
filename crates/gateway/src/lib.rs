//! Sockets, clock, configuration and telemetry around the lanes; the cashgate binary
