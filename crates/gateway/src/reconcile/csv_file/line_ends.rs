//! Every line ends with a line feed and nothing else, so that lines can be counted.

use std::io::{BufRead, Read, Result};

/// Drops carriage returns before line feeds, and adds a line feed where the last line has none.
pub(super) struct LineEnds<R> {
    from: R,
    /// A carriage return was read, and what follows it is not known yet.
    returned: bool,
    last: u8,
}

impl<R> LineEnds<R> {
    pub(super) const fn of(from: R) -> Self {
        Self { from, returned: false, last: b'\n' }
    }
}

impl<R: BufRead> Read for LineEnds<R> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut written = 0;
        while written < out.len() {
            let byte = match (self.from.fill_buf()?.first().copied(), self.returned) {
                (Some(b'\r'), false) => {
                    self.from.consume(1);
                    self.returned = true;
                    continue;
                }
                (Some(b'\n') | None, true) | (None, false) if self.returned || self.last != b'\n' => {
                    // The return, if there was one, is dropped.
                    if !self.from.fill_buf()?.is_empty() {
                        self.from.consume(1);
                    }
                    self.returned = false;
                    b'\n'
                }
                (None, _) => break,
                (Some(_), true) => {
                    self.returned = false;
                    b'\r'
                }
                (Some(byte), false) => {
                    self.from.consume(1);
                    byte
                }
            };
            if let Some(place) = out.get_mut(written) {
                *place = byte;
            }
            self.last = byte;
            written += 1;
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ends_with_one_line_feed() {
        for (text, expected) in [
            ("", ""),
            ("a", "a\n"),
            ("a\n", "a\n"),
            ("a\r\n", "a\n"),
            ("a\r", "a\n"),
            ("a\r\nb", "a\nb\n"),
            ("a\n\r\n\nb\r\n", "a\n\n\nb\n"),
            ("a\rb\n", "a\rb\n"),
            ("a\r\r\n", "a\r\n"),
        ] {
            for buffered in 1..4 {
                let mut read = String::new();
                let from = std::io::BufReader::with_capacity(buffered, text.as_bytes());
                LineEnds::of(from).read_to_string(&mut read).unwrap();
                assert_eq!(read, expected, "{text:?} by {buffered}");
            }
        }
    }
}
