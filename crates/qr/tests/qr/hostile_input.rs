//! Nothing that is scanned may stop the reader, however it is built.

use cashgate_qr::{KeySet, verify};
use ciborium::Value;
use proptest::prelude::*;

use super::crafted_tokens::{CraftedToken, cbor, map, text};
use super::refused_batches::entries;
use super::test_keys::{published, published_set, usual_claims};

#[test]
fn nested_and_boasting_cbor_is_refused_quickly() {
    let nested_arrays = vec![0x81; 504];
    let nested_tags = vec![0xc6; 504];
    let nested_maps = [0xa1, 0x01].repeat(252);
    let endless_array = vec![0x9f; 504];
    let boasting_array = [&[0x9b][..], &[0xff; 8]].concat();
    let boasting_bytes = [&[0x5b][..], &[0xff; 8]].concat();
    let boasting_map = [&[0xbb, 0x7f][..], &[0xff; 7]].concat();
    let key = &published()[0];
    for bytes in [nested_arrays, nested_tags, nested_maps, endless_array, boasting_array, boasting_bytes, boasting_map]
    {
        assert!(verify(&text(&bytes), &published_set()).is_err(), "as an envelope: {bytes:02x?}");
        let payload = bytes[..bytes.len().min(190)].to_vec();
        let signed = CraftedToken::naming(key, payload).text(key);
        assert!(verify(&signed, &published_set()).is_err(), "as signed claims: {bytes:02x?}");
        let proof = Value::from(bytes[..bytes.len().min(210)].to_vec());
        let proofs = map([(396, map([(-1, Value::Array(vec![proof]))]))]);
        let batched = CraftedToken { unprotected: proofs, ..CraftedToken::in_tree(key, &entries(), 0) }.text(key);
        assert!(verify(&batched, &published_set()).is_err(), "as a proof: {bytes:02x?}");
        assert!(KeySet::from_cose_key_set(&bytes).is_err(), "as a key set: {bytes:02x?}");
    }
}

proptest! {
    #[test]
    fn any_text_is_refused(scanned in any::<String>()) {
        prop_assert!(verify(&scanned, &published_set()).is_err());
        let prefixed = format!("CG1:{scanned}");
        prop_assert!(verify(&prefixed, &published_set()).is_err());
    }

    #[test]
    fn any_base45_is_refused(scanned in "CG1:[0-9A-Z $%*+./:-]{0,756}") {
        prop_assert!(verify(&scanned, &published_set()).is_err());
    }

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..504)) {
        prop_assert!(verify(&text(&bytes), &published_set()).is_err());
        let _ = KeySet::from_cose_key_set(&bytes);
    }

    #[test]
    fn any_signed_payload_is_refused(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let key = &published()[0];
        let signed = CraftedToken::naming(key, payload).text(key);
        prop_assert!(verify(&signed, &published_set()).is_err());
    }

    #[test]
    fn any_proof_is_refused(
        proof in proptest::collection::vec(any::<u8>(), 0..210), size in 0..66_u64, index in 0..66_u64,
        path in proptest::collection::vec(any::<[u8; 32]>(), 0..8),
    ) {
        let key = &published()[0];
        for proof in [proof, cbor(&super::crafted_tokens::proof(size, index, &path))] {
            let unprotected = map([(396, map([(-1, Value::Array(vec![proof.into()]))]))]);
            let batched = CraftedToken { unprotected, ..CraftedToken::in_tree(key, &entries(), 1) };
            prop_assert!(verify(&batched.text(key), &published_set()).is_err());
        }
    }

    #[test]
    fn a_token_with_a_foreign_piece_is_refused(
        at in 0..120_usize, length in 0..12_usize, piece in proptest::collection::vec(any::<u8>(), 0..12),
    ) {
        let token = published()[0].mint(&usual_claims());
        let mut bytes = token.bytes().to_vec();
        bytes.splice(at..at + length, piece);
        prop_assume!(bytes != token.bytes());
        prop_assert!(verify(&text(&bytes), &published_set()).is_err());
    }

    #[test]
    fn any_json_is_read_or_refused(text in any::<String>()) {
        let _ = KeySet::from_jwks(&text);
        let in_a_set = format!(r#"{{"keys":[{text}]}}"#);
        let _ = KeySet::from_jwks(&in_a_set);
    }
}
