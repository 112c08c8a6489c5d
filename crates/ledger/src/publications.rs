//! Rules and limits that operators published: an append-only table of its own, chained by seals, each with a notice in the one order of
//! steps and notices.
//!
//! A seal covers the body by its digest, so the chain is checked without reading a single body; a body is checked when it is read.

use cashgate_withdrawal::time::Timestamp;

use crate::cells::Cells;
use crate::chain::{self, Link, Placed};
use crate::columns::{self, signed};
use crate::damage::{Damage, Fault};
use crate::error::{AppendError, ReadError};
use crate::notices::Notice;
use crate::records::Sequence;
use crate::seal::{Seal, extend_with_length, extend_with_optional, sha256};

/// Rules and limits to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// When.
    pub at: Timestamp,
    /// Who: an operator's name. Not empty; at most [`Publication::TEXT_BYTES_MAX`] bytes, as each text here.
    pub actor: String,
    /// Why, for the auditor.
    pub note: String,
    /// The version of its rules, as decisions under them name it. Not empty.
    pub version: String,
    /// The rules and limits themselves, opaque to the ledger. Not empty, and at most [`Publication::BODY_BYTES_MAX`].
    pub body: Vec<u8>,
}

impl Publication {
    /// The longest text, in bytes.
    pub const TEXT_BYTES_MAX: usize = 1024;

    /// The longest body, in bytes.
    pub const BODY_BYTES_MAX: usize = 256 * 1024;

    /// The kind of the notice that tells of a publication, and of no other.
    pub const NOTICE_KIND: &'static str = "rules_published";

    /// SHA-256 over the body.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.body)
    }
}

/// A publication as it stands in the ledger, without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPublication {
    /// Its place among all publications: 1, 2, 3 ... without a gap.
    pub number: u64,
    /// The place of the notice about it among all steps and notices: what stands behind it was decided when it was published already.
    pub sequence: Sequence,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// Why.
    pub note: String,
    /// The version of its rules.
    pub version: String,
    /// SHA-256 over its body.
    pub digest: [u8; 32],
    /// SHA-256 over all of the above and the seal of the publication before it.
    pub seal: Seal,
}

/// Stands first in what is hashed, so that no seal of a publication is ever that of a step or a key event.
const PUBLICATION_DOMAIN: &[u8] = b"cashgate ledger publication seal 1\0";

impl StoredPublication {
    /// As it will stand under a number, with its notice at a sequence, behind the publication with the seal `previous`.
    pub(crate) fn of(number: u64, sequence: Sequence, previous: Option<&Seal>, publication: &Publication) -> Self {
        let Publication { at, actor, note, version, .. } = publication.clone();
        let seal = Seal::from_bytes([0; 32]);
        let stored = Self { number, sequence, at, actor, note, version, digest: publication.digest(), seal };
        Self { seal: Seal::of_publication(previous, &stored), ..stored }
    }
}

impl Seal {
    /// The seal of a publication, whatever seal it has. `previous` is that of the publication before it, `None` for the first.
    ///
    /// The hashed bytes are: a domain string; one byte 0, or one byte 1 and the 32 bytes of the previous seal; the number (8 bytes), the
    /// sequence (8), the time in milliseconds (8); actor, note and version, each after its length (4); the digest (32). Numbers are
    /// big-endian.
    #[must_use]
    pub fn of_publication(previous: Option<&Self>, publication: &StoredPublication) -> Self {
        let StoredPublication { number, sequence, at, actor, note, version, digest, seal: _ } = publication;
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(PUBLICATION_DOMAIN);
        extend_with_optional(&mut bytes, previous.map(Self::as_bytes));
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&sequence.0.to_be_bytes());
        bytes.extend_from_slice(&signed(at.unix_ms()).to_be_bytes());
        for text in [actor, note, version] {
            extend_with_length(&mut bytes, text.as_bytes());
        }
        bytes.extend_from_slice(digest);
        Self::from_bytes(sha256(&bytes))
    }
}

impl Link for StoredPublication {
    fn seal(&self) -> Seal {
        self.seal
    }

    /// Its number is in it.
    fn sealed_behind(&self, previous: Option<&Seal>, _number: u64) -> Seal {
        Seal::of_publication(previous, self)
    }

    fn damage(number: u64, fault: Fault) -> Damage {
        Damage::of_publication(number, fault)
    }
}

/// Reads a row of `publications` without its body.
pub(crate) fn placed(row: &impl Cells) -> Result<Placed<StoredPublication>, ReadError> {
    chain::placed(row, columns::publication)
}

/// Whether a body is the one that was published.
pub(crate) fn check_body(publication: &StoredPublication, body: &[u8]) -> Result<(), Damage> {
    if sha256(body) == publication.digest {
        Ok(())
    } else {
        Err(Damage::of_publication(publication.number, Fault::Digest))
    }
}

/// Whether a publication of such lengths, with such a notice, may be written.
pub(crate) fn check(publication: &Publication, notice: &Notice) -> Result<(), AppendError> {
    let Publication { actor, note, version, body, .. } = publication;
    let long = |text: &&String| text.len() > Publication::TEXT_BYTES_MAX;
    if let Some(text) = [actor, note, version].into_iter().find(long) {
        return Err(AppendError::PublicationTooLong { bytes: text.len(), most: Publication::TEXT_BYTES_MAX });
    }
    if body.len() > Publication::BODY_BYTES_MAX {
        return Err(AppendError::PublicationTooLong { bytes: body.len(), most: Publication::BODY_BYTES_MAX });
    }
    if notice.body.len() > Notice::BODY_BYTES_MAX {
        return Err(AppendError::NoticeTooLong { kind: notice.kind, bytes: notice.body.len() });
    }
    let is_told = notice.kind == Publication::NOTICE_KIND && notice.institution.is_none();
    if actor.is_empty() || version.is_empty() || body.is_empty() || !is_told {
        return Err(AppendError::PublicationIncomplete);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by a few lines of another language from the description: a change here breaks every ledger there is.
    #[test]
    fn seals_are_made_as_described() {
        let publication = Publication {
            at: Timestamp::from_unix_ms(1_752_885_361_690),
            actor: "mori".to_owned(),
            note: "a wave".to_owned(),
            version: "published-1-0123456789abcdef".to_owned(),
            body: vec![1, 2, 3],
        };
        let first = StoredPublication::of(1, Sequence(7), None, &publication);
        assert_eq!(first.seal.to_string(), "b90354d93766d52046ff73f3e6fc21f21c46a0997886286086c836da8fdc7b8c");
        let second = StoredPublication::of(2, Sequence(9), Some(&first.seal), &publication);
        assert_eq!(second.seal.to_string(), "0de5bd28dc1a48b4b5a0bfea8abd84d3f17716d78a904b9709b8d24295950ee1");
    }
}
