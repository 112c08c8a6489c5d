//! A signed QR token, and its text form.

use aws_lc_rs::digest::{SHA256, digest};
use cashgate_withdrawal::ids::QrTokenDigest;

use crate::envelope::{ENVELOPE_LENGTH_MAX, Envelope};
use crate::verification::QrTokenError;

/// What every text begins with: whose code it is, and the version of its form.
pub const TEXT_PREFIX: &str = "CG1:";

/// The longest text there is, in characters: ids of 64 characters each, the largest numbers, and a proof in the largest tree. What is
/// longer is refused unread. Base45 makes three characters of two bytes.
pub const TEXT_LENGTH_MAX: usize = TEXT_PREFIX.len() + ENVELOPE_LENGTH_MAX / 2 * 3 + ENVELOPE_LENGTH_MAX % 2 * 2;

/// A signed token, ready to be drawn.
#[derive(Clone, PartialEq, Eq)]
pub struct QrToken {
    bytes: Vec<u8>,
}

impl QrToken {
    pub(crate) fn of(envelope: &Envelope<'_>) -> Self {
        Self { bytes: envelope.to_bytes() }
    }

    /// The text in the picture: [`TEXT_PREFIX`] and the base45 (RFC 9285) of the bytes. Every character is one of QR's alphanumeric
    /// mode. Written anew at each call: where many tokens are signed at once it is not the signing thread that should write them out.
    #[must_use]
    pub fn text(&self) -> String {
        text_of(&self.bytes)
    }

    /// The bytes of the COSE_Sign1.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The token's digest, which the phone signs: see [`crate::VerifiedQrToken::digest`].
    #[must_use]
    pub fn digest(&self) -> QrTokenDigest {
        digest_of(&self.bytes)
    }
}

/// Shows no bytes: a token is good for one withdrawal, and must not reach a log.
impl std::fmt::Debug for QrToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("QrToken(..)")
    }
}

pub(crate) fn digest_of(token_bytes: &[u8]) -> QrTokenDigest {
    QrTokenDigest(sha256(token_bytes))
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut value = [0; 32];
    value.copy_from_slice(digest(&SHA256, bytes).as_ref());
    value
}

/// The bytes behind a text. Only the text that [`text_of`] writes is taken.
pub(crate) fn bytes_of(text: &str) -> Result<Vec<u8>, QrTokenError> {
    if text.len() > TEXT_LENGTH_MAX {
        return Err(QrTokenError::TooLong { length: text.len() });
    }
    let base45 = text.strip_prefix(TEXT_PREFIX).ok_or(QrTokenError::NotAQrToken)?;
    let bytes = base45::decode(base45).map_err(|_| QrTokenError::Malformed { what: "base45" })?;
    // The decoder drops what does not fit into a last single byte.
    if text_of(&bytes) != text {
        return Err(QrTokenError::Malformed { what: "base45: not in its only form" });
    }
    Ok(bytes)
}

/// Written here, because the crate's way was an eighth of what a token costs; reading is the crate's.
fn text_of(token_bytes: &[u8]) -> String {
    let (pairs, last) = token_bytes.as_chunks::<2>();
    let mut text = vec![0; TEXT_PREFIX.len() + pairs.len() * 3 + last.len() * 2];
    let (prefix, base45) = text.split_at_mut(TEXT_PREFIX.len());
    prefix.copy_from_slice(TEXT_PREFIX.as_bytes());
    let (triples, rest) = base45.as_chunks_mut::<3>();
    for (to, pair) in triples.iter_mut().zip(pairs) {
        let value = usize::from(u16::from_be_bytes(*pair));
        let [low, middle] = two_base45_digits(value % 2025);
        let [high, _] = two_base45_digits(value / 2025);
        *to = [low, middle, high];
    }
    if let ([byte], [low, high]) = (last, rest) {
        [*low, *high] = two_base45_digits(usize::from(*byte));
    }
    // The alphabet is ASCII, so this never fails.
    String::from_utf8(text).unwrap_or_default()
}

/// The digits of RFC 9285, section 4.2, of a number below 2025, the low one first.
fn two_base45_digits(value: usize) -> [u8; 2] {
    BASE45_DIGITS.get(value).copied().unwrap_or_default()
}

/// Looked up, because the divisions by 45 were a tenth of what a token costs.
#[allow(clippy::indexing_slicing, reason = "computed by the compiler, which would not let it panic")]
static BASE45_DIGITS: [[u8; 2]; 45 * 45] = {
    const ALPHABET: &[u8; 45] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:";
    let mut digits = [[0; 2]; 45 * 45];
    let mut value = 0;
    while value < digits.len() {
        digits[value] = [ALPHABET[value % 45], ALPHABET[value / 45]];
        value += 1;
    }
    digits
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_text_is_what_the_base45_crate_writes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(text_of(&bytes), format!("{TEXT_PREFIX}{}", base45::encode(&bytes)));
        }
    }
}
