//! What goes to standard output.

use std::io::{self, Write as _};

/// Prints what the command was asked for. A reader that has seen enough and closed its end is no error.
pub(super) fn say(text: &str) -> io::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}

/// Prints many lines, buffered. A reader that has seen enough ends the printing, and nothing else.
pub(super) fn say_lines(lines: impl Iterator<Item = String>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let print = || {
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.flush()
    };
    match print() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What the buffer still holds nobody wants; dropping it would try to write it once more.
            let _ = out.into_parts();
            Ok(())
        }
        printed => printed,
    }
}
