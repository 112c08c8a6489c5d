//! Lines in, JSON lines out.

use std::io::{self, Write};

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

/// Writes one JSON object as a line and flushes it, so that whoever reads the pipe sees it at once.
pub(super) fn print_line(object: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(object)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

/// Writes a picture where it does not disturb the JSON lines.
pub(super) fn print_picture(picture: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(picture.as_bytes())?;
    out.flush()
}

/// The lines of standard input.
pub(super) fn operator_lines() -> Lines<BufReader<Stdin>> {
    BufReader::new(tokio::io::stdin()).lines()
}
