//! Making QR tokens, in two phases so that an HSM signs between them: once for one, or once for all that wait.

use std::borrow::Cow;
use std::sync::Arc;

use cashgate_withdrawal::ids::{KeyId, Nonce};

use crate::claims::{EncodedClaims, LIFETIME_SECONDS_MAX, LIFETIME_SECONDS_MIN, QrClaims, REPLICA_MAX};
use crate::envelope::{Envelope, SIGNATURE_LENGTH, Signed, sig_structure};
use crate::merkle::{BATCH_MAX, Hash, Tree, leaf_hash};
use crate::public_key::PublicKey;
use crate::qr_token::{QrToken, sha256};

/// Why claims cannot become tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The lifetime is out of range.
    #[error("a QR token lives {LIFETIME_SECONDS_MIN} to {LIFETIME_SECONDS_MAX} seconds, not {seconds}")]
    LifetimeNotAllowed {
        /// The lifetime that was asked for, in seconds.
        seconds: u16,
    },
    /// An amount of nothing. Leave the amount out if the customer chooses it in the app.
    #[error("the amount in a QR token must be above zero; leave it out if it is chosen in the app")]
    ZeroAmount,
    /// The replica's number is too high.
    #[error("a replica's number is at most {REPLICA_MAX}, not {replica}")]
    ReplicaNotAllowed {
        /// The number.
        replica: u16,
    },
    /// No claims, or more than [`BATCH_MAX`].
    #[error("one signature covers the claims of 1 to {BATCH_MAX} QR tokens, not {claims}")]
    BatchSize {
        /// How many there were.
        claims: usize,
    },
}

/// Claims that wait for one signature. One alone becomes a token in the single form; several become a Merkle tree, and each token
/// carries the proof that its claims are in it.
#[derive(Clone, Debug)]
pub struct UnsignedBatch {
    key_id: KeyId,
    payloads: Vec<Vec<u8>>,
    /// Absent for one alone.
    placed: Option<PlacedTree>,
    digest: [u8; 32],
}

/// The tree, and where in it the claims stand.
#[derive(Clone, Debug)]
struct PlacedTree {
    tree: Tree,
    /// The leaf index of each claim.
    places: Vec<usize>,
}

impl UnsignedBatch {
    /// Encodes claims for the key that will sign them.
    ///
    /// # Errors
    /// There are none or more than [`BATCH_MAX`], or one of them may not become a token: ask [`QrClaims::check`] before they wait
    /// with others, so that nobody's mistake is everybody's.
    pub fn new(claims: &[QrClaims], key_id: KeyId) -> Result<Self, EncodeError> {
        check_size(claims.len())?;
        let payloads = claims.iter().map(QrClaims::to_payload).collect::<Result<Vec<_>, _>>()?;
        Ok(Self::over(payloads, key_id))
    }

    /// As [`Self::new`], of claims that were encoded before their nonces were known.
    ///
    /// # Errors
    /// There are none or more than [`BATCH_MAX`].
    pub fn with_nonces<'a>(
        claims: impl ExactSizeIterator<Item = (&'a EncodedClaims, Nonce)>,
        key_id: KeyId,
    ) -> Result<Self, EncodeError> {
        check_size(claims.len())?;
        Ok(Self::over(claims.map(|(claims, nonce)| claims.with_nonce(nonce)).collect(), key_id))
    }

    fn over(payloads: Vec<Vec<u8>>, key_id: KeyId) -> Self {
        let (placed, signed) = match payloads.as_slice() {
            [alone] => (None, sig_structure(key_id, Signed::Claims(alone))),
            several => {
                let placed = PlacedTree::over(several);
                let signed = sig_structure(key_id, Signed::Root(placed.tree.root()));
                (Some(placed), signed)
            }
        };
        Self { key_id, payloads, placed, digest: sha256(&signed) }
    }

    /// What the HSM signs with `CKM_ECDSA`: the SHA-256 of the COSE Sig_structure.
    ///
    /// It is not a token's digest, [`QrToken::digest`], which covers the signature too.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Whether the signature is that of the key that the batch was made for. One verification, whatever the number of tokens: so
    /// that what a faulty HSM signed never reaches a screen.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey, signature: &[u8; SIGNATURE_LENGTH]) -> bool {
        key.key_id() == self.key_id && key.verifies_digest(&self.digest, signature)
    }

    /// The claims under their signature, in their order. It is r and s, each 32 bytes big-endian, as `CKM_ECDSA` gives it. A high s is as
    /// good as a low one.
    ///
    /// The signature is not checked here; [`Self::is_signed_by`] does.
    #[must_use]
    pub fn signed(self, signature: [u8; SIGNATURE_LENGTH]) -> Vec<SignedClaims> {
        let Self { key_id, payloads, placed, .. } = self;
        let (tree, places) = placed.map_or((None, Vec::new()), |PlacedTree { tree, places }| (Some(tree), places));
        let seal = Arc::new(BatchSeal { key_id, tree, signature });
        let places = places.into_iter().chain(std::iter::repeat(0)); // One alone has no place.
        let of_one = |(payload, place)| SignedClaims { payload, place, seal: Arc::clone(&seal) };
        payloads.into_iter().zip(places).map(of_one).collect()
    }

    /// The tokens of [`Self::signed`].
    #[must_use]
    pub fn signed_with(self, signature: [u8; SIGNATURE_LENGTH]) -> Vec<QrToken> {
        self.signed(signature).iter().map(SignedClaims::token).collect()
    }
}

/// Claims that are signed. Their token is put together when it is asked for, by whoever waits for it: the thread that signs has other
/// batches to sign.
#[derive(Clone)]
pub struct SignedClaims {
    payload: Vec<u8>,
    place: usize,
    seal: Arc<BatchSeal>,
}

/// Shows no bytes, like the token itself.
impl std::fmt::Debug for SignedClaims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignedClaims(..)")
    }
}

/// What the tokens of a batch have in common.
struct BatchSeal {
    key_id: KeyId,
    /// Absent for one alone.
    tree: Option<Tree>,
    signature: [u8; SIGNATURE_LENGTH],
}

impl SignedClaims {
    /// The token.
    #[must_use]
    pub fn token(&self) -> QrToken {
        let BatchSeal { key_id, tree, signature } = &*self.seal;
        let proof = tree.as_ref().map(|tree| tree.proof(self.place));
        let payload = Cow::Borrowed(self.payload.as_slice());
        QrToken::of(&Envelope { key_id: *key_id, proof, payload, signature: *signature })
    }
}

const fn check_size(claims: usize) -> Result<(), EncodeError> {
    if 1 <= claims && claims <= BATCH_MAX { Ok(()) } else { Err(EncodeError::BatchSize { claims }) }
}

impl PlacedTree {
    /// The leaves stand in the order of their hashes. Every entry holds a random nonce, so that is a random order, and a place in
    /// the tree tells nobody who asked first.
    fn over(payloads: &[Vec<u8>]) -> Self {
        let mut leaves: Vec<(Hash, usize)> =
            payloads.iter().enumerate().map(|(number, payload)| (leaf_hash(payload), number)).collect();
        leaves.sort_unstable();
        let mut places = vec![0; leaves.len()];
        for (place, (_, number)) in leaves.iter().enumerate() {
            if let Some(of_claims) = places.get_mut(*number) {
                *of_claims = place;
            }
        }
        Self { tree: Tree::over(leaves.into_iter().map(|(hash, _)| hash).collect()), places }
    }
}
