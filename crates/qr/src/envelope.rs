//! The COSE_Sign1 (RFC 9052 section 4.2) around the claims: untagged, with ES256 and the key's id in the protected header.
//!
//! In the single form the unprotected header is empty and the signature covers the claims. In the batched form the protected header
//! names the Merkle tree of RFC 9162 as well, the unprotected one holds the proof that these claims are in it, and the signature
//! covers the tree's root: COSE Receipts, RFC 9942. Because the signed protected headers differ, a signature of the one form is
//! never one of the other.

use std::borrow::Cow;

use cashgate_withdrawal::ids::KeyId;
use ciborium::Value;
use coset::{CborSerializable, CoseSign1};

use crate::cbor::{self, MINUS_1, MINUS_7};
use crate::claims::CLAIMS_LENGTH_MAX;
use crate::merkle::{Hash, InclusionProof, PROOF_LENGTH_MAX, leaf_hash};

pub(crate) const SIGNATURE_LENGTH: usize = 64;

/// The longest COSE_Sign1, in bytes: the longest claims in the largest tree.
pub(crate) const ENVELOPE_LENGTH_MAX: usize =
    LENGTH_AROUND_CLAIMS + CLAIMS_LENGTH_MAX + LENGTH_OF_BATCH_HEADERS + PROOF_LENGTH_MAX;

/// The array's head, the protected header, the empty unprotected one, the claims' head and the signature.
const LENGTH_AROUND_CLAIMS: usize = 1 + (1 + 9) + 1 + 2 + (2 + SIGNATURE_LENGTH);
/// What 395 adds to the protected header, and what 396 adds around the proof.
const LENGTH_OF_BATCH_HEADERS: usize = 4 + (3 + 1 + 1 + 1 + 2);

// Header labels: RFC 9052 section 3.1, and RFC 9942 section 2.
const ALG: u64 = 1;
const KID: u64 = 4;
const VDS: u64 = 395;
const VDP: u64 = 396;
/// The value of `vds`: the tree of RFC 9162 with SHA-256 (RFC 9942 section 5.1).
const RFC9162_SHA256: u64 = 1;

/// The parts of the COSE_Sign1 that differ from token to token.
pub(crate) struct Envelope<'a> {
    pub(crate) key_id: KeyId,
    /// Absent in the single form.
    pub(crate) proof: Option<InclusionProof>,
    pub(crate) payload: Cow<'a, [u8]>,
    pub(crate) signature: [u8; SIGNATURE_LENGTH],
}

impl Envelope<'_> {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let proof_length = self.proof.as_ref().map(|proof| LENGTH_OF_BATCH_HEADERS + proof.length());
        let mut to = Vec::with_capacity(LENGTH_AROUND_CLAIMS + self.payload.len() + proof_length.unwrap_or(0));
        cbor::array(&mut to, 4);
        write_protected(&mut to, self.key_id, self.proof.is_some());
        write_unprotected(&mut to, self.proof.as_ref());
        cbor::bytes(&mut to, &self.payload);
        cbor::bytes(&mut to, &self.signature);
        to
    }

    /// The bytes that the signature covers.
    pub(crate) fn sig_structure(&self) -> Vec<u8> {
        match &self.proof {
            None => sig_structure(self.key_id, Signed::Claims(&self.payload)),
            Some(proof) => sig_structure(self.key_id, Signed::Root(&proof.root(leaf_hash(&self.payload)))),
        }
    }

    /// Takes only the very bytes that [`Self::to_bytes`] writes. A tag, another algorithm, further headers, a proof without its tree
    /// or a tree without its proof, longer forms and trailing bytes all differ from them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        let sign1 = CoseSign1::from_slice(bytes).map_err(|_| "not an untagged COSE_Sign1")?;
        let key_id = sign1.protected.header.key_id.as_slice().try_into().map_err(|_| "the key id is not 4 bytes")?;
        let signature = sign1.signature.as_slice().try_into().map_err(|_| "the signature is not 64 bytes")?;
        let payload = sign1.payload.ok_or("the payload is missing")?;
        let proof = match sign1.unprotected.rest.as_slice() {
            [] => None,
            // The labels are compared below, with all other bytes.
            [(_, proofs)] => Some(only_inclusion_proof(proofs)?),
            _ => return Err("the unprotected header holds something else than proofs"),
        };
        let envelope = Self { key_id: KeyId(key_id), proof, payload: Cow::Owned(payload), signature };
        if envelope.to_bytes() != bytes {
            return Err("the COSE_Sign1 has other headers or is not deterministic CBOR");
        }
        Ok(envelope)
    }
}

/// What a signature covers.
pub(crate) enum Signed<'a> {
    /// The claims of one token.
    Claims(&'a [u8]),
    /// The root of the tree over the claims of several.
    Root(&'a Hash),
}

/// The Sig_structure of RFC 9052 section 4.4, without external data.
pub(crate) fn sig_structure(key_id: KeyId, signed: Signed<'_>) -> Vec<u8> {
    let (payload, is_batch) = match signed {
        Signed::Claims(payload) => (payload, false),
        Signed::Root(root) => (root.as_slice(), true),
    };
    let mut to = Vec::with_capacity(32 + payload.len());
    cbor::array(&mut to, 4);
    cbor::text(&mut to, "Signature1");
    write_protected(&mut to, key_id, is_batch);
    cbor::bytes(&mut to, b"");
    cbor::bytes(&mut to, payload);
    to
}

fn write_protected(to: &mut Vec<u8>, key_id: KeyId, is_batch: bool) {
    cbor::bytes_head(to, if is_batch { 13 } else { 9 });
    cbor::map(to, if is_batch { 3 } else { 2 });
    cbor::unsigned(to, ALG);
    to.push(MINUS_7);
    cbor::unsigned(to, KID);
    cbor::bytes(to, &key_id.0);
    if is_batch {
        cbor::unsigned(to, VDS);
        cbor::unsigned(to, RFC9162_SHA256);
    }
}

fn write_unprotected(to: &mut Vec<u8>, proof: Option<&InclusionProof>) {
    let Some(proof) = proof else {
        return cbor::map(to, 0);
    };
    cbor::map(to, 1);
    cbor::unsigned(to, VDP);
    cbor::map(to, 1);
    to.push(MINUS_1);
    cbor::array(to, 1);
    cbor::bytes_head(to, proof.length());
    proof.write(to);
}

/// The proof in `{-1: [proof]}`.
fn only_inclusion_proof(proofs: &Value) -> Result<InclusionProof, &'static str> {
    const NOT_ONE: &str = "the proofs are not exactly one inclusion proof";
    const NOT_A_PROOF: &str = "the inclusion proof is not [tree size, leaf index, [hashes of 32 bytes]]";
    let Some([(_, Value::Array(inclusion))]) = proofs.as_map().map(Vec::as_slice) else { return Err(NOT_ONE) };
    let [Value::Bytes(proof)] = inclusion.as_slice() else { return Err(NOT_ONE) };
    let Ok(Value::Array(parts)) = ciborium::from_reader(proof.as_slice()) else { return Err(NOT_A_PROOF) };
    let [Value::Integer(tree_size), Value::Integer(leaf_index), Value::Array(path)] = parts.as_slice() else {
        return Err(NOT_A_PROOF);
    };
    let (Ok(tree_size), Ok(leaf_index)) = (u64::try_from(*tree_size), u64::try_from(*leaf_index)) else {
        return Err(NOT_A_PROOF);
    };
    let path: Option<Vec<Hash>> = path.iter().map(|hash| hash.as_bytes()?.as_slice().try_into().ok()).collect();
    InclusionProof::new(tree_size, leaf_index, path.ok_or(NOT_A_PROOF)?)
}
