//! One line of CSV (RFC 4180).

use std::io::{self, Write};

/// Writes a line. Fields that need it are quoted.
pub(crate) fn write_line(out: &mut impl Write, fields: &[&str]) -> io::Result<()> {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        if field.contains([',', '"', '\r', '\n']) {
            write!(out, "\"{}\"", field.replace('"', "\"\""))?;
        } else {
            out.write_all(field.as_bytes())?;
        }
    }
    out.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_needs_quotes_gets_them() {
        let mut out = Vec::new();
        write_line(&mut out, &["acct-1", "", "a,b", "say \"x\"", "two\nlines"]).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "acct-1,,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\"\n");
    }
}
