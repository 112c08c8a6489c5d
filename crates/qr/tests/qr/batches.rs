//! One signature for many: every token of every batch is genuine, alone and offline, and nothing beside it is.

use std::collections::BTreeSet;

use cashgate_qr::{BATCH_MAX, EncodeError, QrClaims, UnsignedBatch, verify};
use proptest::prelude::*;

use super::crafted_tokens::{CraftedToken, cbor, entries_of, leaf_hash, proof_in, text, usual_fields};
use super::round_trip::signed_digest;
use super::test_keys::{for_several, forger, is_high_s, published, published_set, usual_claims, with_other_s, yen};

#[test]
fn every_token_of_every_batch_verifies_and_says_its_own_claims() {
    let keys = published_set();
    for count in 1..=BATCH_MAX {
        let claims = for_several(count, &usual_claims());
        let tokens = published()[0].mint_batch(&claims);
        assert_eq!(tokens.len(), count);
        for (token, claims) in tokens.iter().zip(&claims) {
            let verified = verify(&token.text(), &keys).unwrap();
            assert_eq!(verified.claims(), claims, "one of {count}");
            assert_eq!(verified.digest(), token.digest(), "one of {count}");
        }
    }
}

#[test]
fn a_batch_of_one_is_the_single_form() {
    let key = &published()[0];
    let crafted = CraftedToken::naming(key, cbor(&ciborium::Value::Map(usual_fields())));
    let unsigned = UnsignedBatch::new(&[usual_claims()], key.key_id()).unwrap();
    let signature = key.sign_digest(unsigned.digest());
    let tokens = unsigned.signed_with(signature);
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].bytes(), crafted.bytes(&signature));
    assert_eq!(proof_in(tokens[0].bytes()), None);
}

#[test]
fn the_bytes_of_a_batch_are_those_of_another_encoder_and_another_tree() {
    let key = &published()[1];
    for count in 2..=BATCH_MAX {
        let claims = for_several(count, &usual_claims());
        let entries = entries_of(&claims);
        let unsigned = UnsignedBatch::new(&claims, key.key_id()).unwrap();
        let signature = key.sign_digest(unsigned.digest());
        for (token, claims) in unsigned.signed_with(signature).iter().zip(&claims) {
            let entry = entries_of(std::slice::from_ref(claims)).remove(0);
            let index = entries.iter().position(|other| *other == entry).unwrap();
            let crafted = CraftedToken::in_tree(key, &entries, index);
            assert_eq!(token.bytes(), crafted.bytes(&signature), "{index} of {count}");
        }
    }
}

#[test]
fn the_order_of_asking_does_not_show() {
    let key = &published()[0];
    let mut claims = for_several(13, &usual_claims());
    let asked = UnsignedBatch::new(&claims, key.key_id()).unwrap();
    let signature = key.sign_digest(asked.digest());
    let tokens = asked.signed_with(signature);
    claims.reverse();
    let asked_backwards = UnsignedBatch::new(&claims, key.key_id()).unwrap();
    let mut backwards = asked_backwards.signed_with(signature);
    backwards.reverse();
    assert_eq!(backwards, tokens);
}

#[test]
fn a_token_tells_nothing_of_its_neighbours() {
    let claims = for_several(8, &usual_claims());
    let tokens = published()[0].mint_batch(&claims);
    let other_nonce = QrClaims { nonce: claims[0].nonce, ..claims[1].clone() };
    // Knowing all of a neighbour's claims but the nonce, the leaf cannot be recognised in the path.
    let guess = leaf_hash(&entries_of(&[other_nonce])[0]);
    for token in &tokens {
        let (_, _, path) = proof_in(token.bytes()).unwrap();
        assert!(!path.contains(&guess));
        for neighbour in
            claims.iter().filter(|claims| verify(&token.text(), &published_set()).unwrap().claims() != *claims)
        {
            let held = |bytes: &[u8]| token.bytes().windows(bytes.len()).any(|window| window == bytes);
            assert!(!held(neighbour.qr_session.as_bytes()) && !held(&neighbour.nonce.0));
        }
    }
}

#[test]
fn places_are_all_different_and_the_tree_is_the_next_power_of_two() {
    for count in 2..=BATCH_MAX {
        let tokens = published()[0].mint_batch(&for_several(count, &usual_claims()));
        let proofs: Vec<_> = tokens.iter().map(|token| proof_in(token.bytes()).unwrap()).collect();
        let places: BTreeSet<usize> = proofs.iter().map(|(_, index, _)| *index).collect();
        assert_eq!(places, (0..count).collect(), "{count}");
        assert!(proofs.iter().all(|(size, _, path)| *size == count.next_power_of_two() && *size == 1 << path.len()));
    }
}

#[test]
fn a_wrong_signature_is_noticed_before_tokens_leave() {
    let [key, other] = published();
    for count in [1, 2, 64] {
        let unsigned = UnsignedBatch::new(&for_several(count, &usual_claims()), key.key_id()).unwrap();
        let signature = key.sign_digest(unsigned.digest());
        assert!(unsigned.is_signed_by(&key.public(), &signature));
        assert!(unsigned.is_signed_by(&key.public(), &with_other_s(signature)), "a high s is as good as a low one");
        assert!(!unsigned.is_signed_by(&other.public(), &signature));
        assert!(!unsigned.is_signed_by(&key.public(), &other.sign_digest(unsigned.digest())));
        assert!(!unsigned.is_signed_by(&other.public(), &other.sign_digest(unsigned.digest())), "it names another key");
        assert!(!unsigned.is_signed_by(&key.public(), &forger().sign_digest(unsigned.digest())));
        assert!(!unsigned.is_signed_by(&key.public(), &[0; 64]));
        let mut flipped = signature;
        flipped[40] ^= 4;
        assert!(!unsigned.is_signed_by(&key.public(), &flipped));
    }
}

#[test]
fn what_cannot_share_a_signature_is_not_encoded() {
    let key_id = published()[0].key_id();
    let check = |claims: &[QrClaims], expected| {
        assert_eq!(UnsignedBatch::new(claims, key_id).map(drop), Err(expected));
    };
    check(&[], EncodeError::BatchSize { claims: 0 });
    check(&for_several(65, &usual_claims()), EncodeError::BatchSize { claims: 65 });
    let mut claims = for_several(7, &usual_claims());
    claims[3].amount = Some(yen(0));
    assert_eq!(claims[3].check(), Err(EncodeError::ZeroAmount));
    check(&claims, EncodeError::ZeroAmount);
    claims.remove(3);
    assert!(UnsignedBatch::new(&claims, key_id).is_ok());
}

#[test]
fn the_forms_never_share_a_digest() {
    let key_id = published()[0].key_id();
    let claims = for_several(2, &usual_claims());
    let batch = UnsignedBatch::new(&claims, key_id).unwrap().digest();
    assert!(claims.iter().all(|claims| signed_digest(claims, key_id) != batch));
}

#[test]
fn every_changed_bit_of_a_batched_token_is_refused() {
    let keys = published_set();
    for count in [2, 3, 64] {
        let tokens = published()[0].mint_batch(&for_several(count, &usual_claims()));
        let bytes = tokens[count / 2].bytes();
        for (index, bit) in (0..bytes.len()).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
            let mut changed = bytes.to_vec();
            changed[index] ^= 1 << bit;
            assert!(verify(&text(&changed), &keys).is_err(), "bit {bit} of byte {index}, {count} in the batch");
        }
    }
}

#[test]
fn a_batch_has_a_twin_as_a_single_token_has() {
    let key = &published()[0];
    let unsigned = UnsignedBatch::new(&for_several(3, &usual_claims()), key.key_id()).unwrap();
    let signature = key.sign_digest(unsigned.digest());
    let twin = with_other_s(signature);
    assert_ne!(is_high_s(signature), is_high_s(twin));
    let (tokens, twins) = (unsigned.clone().signed_with(signature), unsigned.signed_with(twin));
    for (one, other) in tokens.iter().zip(&twins) {
        let [one, other] = [one, other].map(|token| verify(&token.text(), &published_set()).unwrap());
        assert_eq!(one.claims(), other.claims());
        assert_ne!(one.digest(), other.digest());
    }
}

proptest! {
    #[test]
    fn any_piece_changed_in_any_token_of_any_batch_is_refused(
        count in 2..=BATCH_MAX, which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
        length in 0..40_usize, piece in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let tokens = published()[0].mint_batch(&for_several(count, &usual_claims()));
        let genuine = tokens[which.index(count)].bytes();
        let mut bytes = genuine.to_vec();
        // The signature's twin is as good; it is left alone here.
        let at = at.index(bytes.len() - 64);
        bytes.splice(at..(at + length).min(genuine.len() - 64), piece);
        prop_assume!(bytes != genuine);
        prop_assert!(verify(&text(&bytes), &published_set()).is_err());
    }

    #[test]
    fn no_token_verifies_with_the_proof_of_another(
        count in 2..=BATCH_MAX, one in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(),
    ) {
        let (one, other) = (one.index(count), other.index(count));
        prop_assume!(one != other);
        let tokens = published()[0].mint_batch(&for_several(count, &usual_claims()));
        let tail = |index: usize| tokens[index].bytes().len() - 66 - 65;
        let (mine, theirs) = (tokens[one].bytes(), tokens[other].bytes());
        let swapped = [&mine[..tail(one)], &theirs[tail(other)..]].concat();
        prop_assert!(verify(&text(&swapped), &published_set()).is_err());
    }
}
