//! Private keys for tests, made from their names: they stand for the HSM's keys, a phone's key and a forger's.

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::digest::{Digest, SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use cashgate_qr::ids::{KeyId, Nonce, QrSessionId};
use cashgate_qr::money::{Currency, Money};
use cashgate_qr::time::Timestamp;
use cashgate_qr::{KeySet, PublicKey, QrClaims, QrToken, UnsignedBatch};

/// A P-256 key pair.
pub(crate) struct TestKey {
    pub(crate) private: [u8; 32],
    pub sec1: [u8; 65],
}

impl TestKey {
    /// The private key is the SHA-256 of the name.
    pub(crate) fn named(name: &str) -> Self {
        let private: [u8; 32] = digest(&SHA256, name.as_bytes()).as_ref().try_into().unwrap();
        let public = PrivateKey::from_private_key(&ECDH_P256, &private).unwrap().compute_public_key().unwrap();
        Self { private, sec1: public.as_ref().try_into().unwrap() }
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey::from_sec1_uncompressed(&self.sec1).unwrap()
    }

    pub(crate) fn key_id(&self) -> KeyId {
        self.public().key_id()
    }

    /// What an HSM does with `CKM_ECDSA`: signs a digest, gives r and s.
    pub(crate) fn sign_digest(&self, digest: [u8; 32]) -> [u8; 64] {
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.private, &self.sec1);
        let digest = Digest::import_less_safe(&digest, &SHA256).unwrap();
        pair.unwrap().sign_digest(&digest).unwrap().as_ref().try_into().unwrap()
    }

    /// What a phone does: hashes a text, signs it, gives DER.
    pub(crate) fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_ASN1_SIGNING, &self.private, &self.sec1);
        pair.unwrap().sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    /// One token, in the single form.
    pub(crate) fn mint(&self, claims: &QrClaims) -> QrToken {
        self.mint_batch(std::slice::from_ref(claims)).pop().unwrap()
    }

    /// Tokens under one signature.
    pub(crate) fn mint_batch(&self, claims: &[QrClaims]) -> Vec<QrToken> {
        let unsigned = UnsignedBatch::new(claims, self.key_id()).unwrap();
        let signature = self.sign_digest(unsigned.digest());
        unsigned.signed_with(signature)
    }
}

/// Claims like these for several customers: each with a QR session and a nonce of its own.
pub(crate) fn for_several(count: usize, like: &QrClaims) -> Vec<QrClaims> {
    let numbered = |number: usize| {
        let unique: [u8; 32] = digest(&SHA256, &number.to_be_bytes()).as_ref().try_into().unwrap();
        let [qr_session, nonce] = [&unique[..16], &unique[16..]].map(|half| half.try_into().unwrap());
        QrClaims { qr_session: QrSessionId::from_bytes(qr_session), nonce: Nonce(nonce), ..like.clone() }
    };
    (0..count).map(numbered).collect()
}

/// The two published keys of the tests: the one that signs, and its successor.
pub(crate) fn published() -> [TestKey; 2] {
    [TestKey::named("cashgate-qr test key 1"), TestKey::named("cashgate-qr test key 2")]
}

pub(crate) fn published_set() -> KeySet {
    KeySet::new(published().iter().map(TestKey::public)).unwrap()
}

/// A key that nobody published.
pub(crate) fn forger() -> TestKey {
    TestKey::named("cashgate-qr test forger")
}

pub(crate) fn phone() -> TestKey {
    TestKey::named("cashgate-qr test phone")
}

pub(crate) fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).unwrap()
}

/// 2026-11-22T03:04:05Z.
pub(crate) const ISSUED_UNIX_S: u64 = 1_795_316_645;

/// A usual token: a short network id, an ATM id of 8 characters, 30 seconds.
pub(crate) fn usual_claims() -> QrClaims {
    QrClaims {
        network: "jcn".parse().unwrap(),
        atm: "TYO-0042".parse().unwrap(),
        issued_at: Timestamp::from_unix_ms(ISSUED_UNIX_S * 1000),
        lifetime_seconds: 30,
        qr_session: QrSessionId::from_bytes(*b"\x01\x9a\xa9\x3e\x5d\x88\x70\x01\x82\x03\x04\x05\x06\x07\x08\x09"),
        nonce: Nonce(*b"\xf0\xe1\xd2\xc3\xb4\xa5\x96\x87\x78\x69\x5a\x4b\x3c\x2d\x1e\x0f"),
        amount: None,
        replica: None,
    }
}

/// The order n of P-256's group, minus s: the other signature that is as good.
pub(crate) fn with_other_s(signature: [u8; 64]) -> [u8; 64] {
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let mut other = signature;
    let mut borrow = 0;
    for index in (0..32).rev() {
        let difference = i32::from(order[index]) - i32::from(signature[32 + index]) - borrow;
        other[32 + index] = u8::try_from(difference.rem_euclid(256)).unwrap();
        borrow = i32::from(difference < 0);
    }
    other
}

/// Whether s is above n / 2.
pub(crate) fn is_high_s(signature: [u8; 64]) -> bool {
    signature[32..] > with_other_s(signature)[32..]
}
