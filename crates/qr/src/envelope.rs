//! The COSE_Sign1 (RFC 9052 section 4.2) around the claims: untagged, ES256 and the key's id in the protected header, nothing in
//! the unprotected one.

use cashgate_withdrawal::ids::KeyId;
use coset::iana::Algorithm;
use coset::{CborSerializable, CoseError, CoseSign1, CoseSign1Builder, HeaderBuilder};

pub(crate) const SIGNATURE_LENGTH: usize = 64;

/// The parts of the COSE_Sign1 that differ from token to token.
pub(crate) struct Envelope {
    pub(crate) key_id: KeyId,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: [u8; SIGNATURE_LENGTH],
}

impl Envelope {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, CoseError> {
        self.sign1().to_vec()
    }

    /// The bytes that are signed: the Sig_structure of RFC 9052 section 4.4, without external data.
    pub(crate) fn sig_structure(&self) -> Vec<u8> {
        self.sign1().tbs_data(b"")
    }

    /// Takes only the very bytes that [`Self::to_bytes`] writes. A tag, another algorithm, further headers, longer forms and
    /// trailing bytes all differ from them.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        let sign1 = CoseSign1::from_slice(bytes).map_err(|_| "not an untagged COSE_Sign1")?;
        let key_id = sign1.protected.header.key_id.as_slice().try_into().map_err(|_| "the key id is not 4 bytes")?;
        let signature = sign1.signature.as_slice().try_into().map_err(|_| "the signature is not 64 bytes")?;
        let payload = sign1.payload.ok_or("the payload is missing")?;
        let envelope = Self { key_id: KeyId(key_id), payload, signature };
        match envelope.to_bytes() {
            Ok(canonical) if canonical == bytes => Ok(envelope),
            _ => Err("the COSE_Sign1 has other headers or is not deterministic CBOR"),
        }
    }

    fn sign1(&self) -> CoseSign1 {
        let protected = HeaderBuilder::new().algorithm(Algorithm::ES256).key_id(self.key_id.0.to_vec()).build();
        CoseSign1Builder::new()
            .protected(protected)
            .payload(self.payload.clone())
            .signature(self.signature.to_vec())
            .build()
    }
}
