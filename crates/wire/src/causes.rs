//! What lies behind an error that says little itself: `transport error` is a refused connection, or a certificate that was not believed.

use std::error::Error;

/// The last in the chain of what an error comes from; the error itself, if it comes from nothing.
#[must_use]
pub fn last(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("transport error")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_last_source_says_what_happened() {
        assert_eq!(last(&Outer(std::io::Error::other("certificate expired"))), "certificate expired");
        assert_eq!(last(&std::fmt::Error), std::fmt::Error.to_string());
    }
}
