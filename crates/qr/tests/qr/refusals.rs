//! What is not a genuine token is refused, for the right reason.

use cashgate_qr::{EncodeError, QrClaims, QrTokenError, verify};

use super::crafted_tokens::{CraftedToken, cbor, text, usual_fields};
use super::refused_batches::entries;
use super::refused_tokens::refused_tokens;
use super::test_keys::{published, published_set, usual_claims, yen};

#[test]
fn the_crafted_token_is_genuine_before_it_is_bent() {
    let key = &published()[0];
    let crafted = CraftedToken::naming(key, cbor(&ciborium::Value::Map(usual_fields())));
    let verified = verify(&crafted.text(key), &published_set()).unwrap();
    assert_eq!(verified.claims(), &usual_claims());
    let entries = entries();
    for index in 0..5 {
        assert!(verify(&CraftedToken::in_tree(key, &entries, index).text(key), &published_set()).is_ok(), "{index}");
    }
}

#[test]
fn every_way_of_being_wrong_is_refused_for_its_reason() {
    let keys = published_set();
    for token in refused_tokens() {
        let refusal = verify(&token.text, &keys).map_err(error_code);
        assert_eq!(refusal, Err(token.error), "{}: {:?}", token.name, verify(&token.text, &keys));
    }
}

#[test]
fn every_changed_bit_is_refused() {
    let (token, keys) = (published()[0].mint(&usual_claims()), published_set());
    for index in 0..token.bytes().len() {
        for bit in 0..8 {
            let mut bytes = token.bytes().to_vec();
            bytes[index] ^= 1 << bit;
            assert!(verify(&text(&bytes), &keys).is_err(), "bit {bit} of byte {index}");
        }
    }
}

#[test]
fn every_changed_character_is_refused() {
    let (token, keys) = (published()[0].mint(&usual_claims()), published_set());
    for index in 0..token.text().len() {
        for other in ["0", "Z", ":", " ", "a"].into_iter().filter(|other| *other != &token.text()[index..=index]) {
            let mut changed = token.text().to_owned();
            changed.replace_range(index..=index, other);
            assert!(verify(&changed, &keys).is_err(), "{other:?} at {index}");
        }
    }
}

#[test]
fn every_truncation_is_refused() {
    let (token, keys) = (published()[0].mint(&usual_claims()), published_set());
    for length in 0..token.bytes().len() {
        assert!(verify(&text(&token.bytes()[..length]), &keys).is_err(), "{length} bytes");
    }
    for length in 0..token.text().len() {
        assert!(verify(&token.text()[..length], &keys).is_err(), "{length} characters");
    }
}

#[test]
fn what_no_reader_takes_is_not_written() {
    let check = |claims: QrClaims, expected| {
        assert_eq!(QrClaims::check(&claims), Err(expected));
    };
    for seconds in [0, 301, u16::MAX] {
        let claims = QrClaims { lifetime_seconds: seconds, ..usual_claims() };
        check(claims, EncodeError::LifetimeNotAllowed { seconds });
    }
    check(QrClaims { amount: Some(yen(0)), ..usual_claims() }, EncodeError::ZeroAmount);
    let replica = 32_768;
    check(QrClaims { replica: Some(replica), ..usual_claims() }, EncodeError::ReplicaNotAllowed { replica });
}

/// An error's name in the test vectors.
pub(crate) fn error_code(error: QrTokenError) -> &'static str {
    match error {
        QrTokenError::TooLong { .. } => "too_long",
        QrTokenError::NotAQrToken => "not_a_qr_token",
        QrTokenError::Malformed { .. } => "malformed",
        QrTokenError::UnknownKey { .. } => "unknown_key",
        QrTokenError::BadSignature => "bad_signature",
    }
}
