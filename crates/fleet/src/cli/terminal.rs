//! Lines in, JSON lines out.

use std::io::{self, Write};

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader, Stdin};

/// Writes one JSON object as a line and flushes it, so that whoever reads the pipe sees it at once.
pub(super) fn print_line(object: &impl Serialize) -> io::Result<()> {
    print_text(&as_line(object)?)
}

/// The same for what must reach somebody: a reader that is gone is an error.
pub(super) fn hand_over_line(object: &impl Serialize) -> io::Result<()> {
    write_out(&as_line(object)?)
}

fn as_line(object: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(object)?;
    line.push(b'\n');
    Ok(line)
}

/// Writes text as it is.
pub(super) fn print_text(text: &[u8]) -> io::Result<()> {
    match write_out(text) {
        // Whoever reads has seen enough; no reason to make noise.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn write_out(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    out.flush()
}

/// Writes a picture where it does not disturb the JSON lines.
pub(super) fn print_picture(picture: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(picture.as_bytes())?;
    out.flush()
}

/// The lines of standard input.
pub(super) fn operator_lines() -> OperatorLines {
    OperatorLines { input: BufReader::new(tokio::io::stdin()), line: Vec::new() }
}

/// See [`operator_lines`].
pub(super) struct OperatorLines {
    input: BufReader<Stdin>,
    /// What of a line has come so far; kept here, so that a caller may stop waiting and come again.
    line: Vec<u8>,
}

impl OperatorLines {
    /// The next line, or nothing at the end. Bytes that are not UTF-8 become replacement characters: a command that nobody knows.
    pub(super) async fn next_line(&mut self) -> io::Result<Option<String>> {
        if self.input.read_until(b'\n', &mut self.line).await? == 0 && self.line.is_empty() {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned()))
    }
}
