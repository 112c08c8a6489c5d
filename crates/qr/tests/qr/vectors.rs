//! The committed test vectors are true, and say no less than the tables they were made from.

use std::collections::BTreeSet;

use cashgate_qr::approval::{self, ApprovalError, ApprovalStatement, DeviceKey};
use cashgate_qr::ids::QrTokenDigest;
use cashgate_qr::money::Money;
use cashgate_qr::{KeySet, verify};
use serde_json::Value;

use super::crafted_tokens::{proof_in, sha256, signed_bytes};
use super::refusals::error_code;
use super::refused_tokens::refused_tokens;
use super::test_keys::{is_high_s, published_set};

fn tokens() -> Value {
    serde_json::from_str(include_str!("../../vectors/tokens.json")).unwrap()
}

fn approvals() -> Value {
    serde_json::from_str(include_str!("../../vectors/approvals.json")).unwrap()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| unreachable!("{member} is text in {value}"))
}

fn bytes(value: &Value, member: &str) -> Vec<u8> {
    hex::decode(text(value, member)).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn published_keys() -> KeySet {
    KeySet::from_jwks(&tokens()["jwks"].to_string()).unwrap()
}

#[test]
fn both_forms_of_the_key_set_hold_the_published_keys() {
    assert_eq!(published_keys(), published_set());
    assert_eq!(KeySet::from_cose_key_set(&bytes(&tokens(), "cose_key_set")), Ok(published_set()));
}

#[test]
fn valid_tokens_verify_and_say_what_is_written_beside_them() {
    let (tokens, keys) = (tokens(), published_keys());
    for vector in list(&tokens["valid"]) {
        let name = text(vector, "name");
        let verified = verify(text(vector, "text"), &keys).unwrap();
        let (claims, written) = (verified.claims(), &vector["claims"]);
        assert_eq!(claims.network.as_str(), text(written, "network"), "{name}");
        assert_eq!(claims.atm.as_str(), text(written, "atm"), "{name}");
        assert_eq!(Some(claims.issued_at.unix_ms()), written["issued_unix_s"].as_u64().map(|s| s * 1000), "{name}");
        assert_eq!(Some(u64::from(claims.lifetime_seconds)), written["lifetime_s"].as_u64(), "{name}");
        assert_eq!(claims.qr_session.as_bytes().to_vec(), bytes(written, "qr_session"), "{name}");
        assert_eq!(claims.nonce.0.to_vec(), bytes(written, "nonce"), "{name}");
        assert_eq!(claims.amount.map(Money::minor_units), written["amount_minor_units"].as_u64(), "{name}");
        let currency = claims.amount.map(|amount| amount.currency().to_string());
        assert_eq!(currency.as_deref(), written["currency"].as_str(), "{name}");
        // Vectors of before there were replicas have no such member: those tokens verify as ever.
        assert_eq!(claims.replica.map(u64::from), written["replica"].as_u64(), "{name}");
        assert_eq!(verified.digest().0.to_vec(), bytes(vector, "digest"), "{name}");
        assert_eq!(verified.key_id().to_string(), text(vector, "key_id"), "{name}");
        let signed = signed_bytes(&bytes(vector, "cose_sign1"));
        assert_eq!(sha256(&signed).to_vec(), bytes(vector, "signed_digest"), "{name}");
        let tree_size = proof_in(&bytes(vector, "cose_sign1")).map(|(size, ..)| size as u64);
        assert_eq!(tree_size, vector["tree"]["size"].as_u64(), "{name}");
        assert_eq!(verified.expires_at().unix_ms() / 1000, vector["expires_unix_s"].as_u64().unwrap(), "{name}");
    }
}

#[test]
fn every_size_of_tree_is_among_the_valid_tokens() {
    let tokens = tokens();
    let size = |vector: &Value| vector["tree"]["size"].as_u64();
    let sizes: BTreeSet<Option<u64>> = list(&tokens["valid"]).iter().map(size).collect();
    assert_eq!(sizes, [None, Some(2), Some(4), Some(8), Some(16), Some(32), Some(64)].into());
}

#[test]
fn a_high_and_a_low_s_are_among_the_valid_tokens() {
    let tokens = tokens();
    let signature = |vector: &Value| -> [u8; 64] { *bytes(vector, "cose_sign1").last_chunk().unwrap() };
    let high: Vec<bool> = list(&tokens["valid"]).iter().map(|vector| is_high_s(signature(vector))).collect();
    assert!(high.contains(&true) && high.contains(&false), "{high:?}");
}

#[test]
fn invalid_tokens_are_refused_for_the_reason_written_beside_them() {
    let (tokens, keys) = (tokens(), published_keys());
    for vector in list(&tokens["invalid"]) {
        let refusal = verify(text(vector, "text"), &keys).map_err(error_code);
        assert_eq!(refusal, Err(text(vector, "error")), "{}", text(vector, "name"));
    }
}

#[test]
fn every_refusal_of_the_table_is_in_the_file() {
    let tokens = tokens();
    let named: Vec<(&str, &str)> =
        list(&tokens["invalid"]).iter().map(|vector| (text(vector, "name"), text(vector, "error"))).collect();
    let table: Vec<(&str, &str)> = refused_tokens().iter().map(|token| (token.name, token.error)).collect();
    assert_eq!(named, table, "run `cargo run -p cashgate-qr --example make_vectors`");
}

#[test]
fn approvals_verify_or_fail_as_written() {
    let approvals = approvals();
    let key = DeviceKey::from_spki_der(&bytes(&approvals["device_key"], "spki_der")).unwrap();
    for (vector, expected) in list(&approvals["valid"])
        .iter()
        .map(|vector| (vector, None))
        .chain(list(&approvals["invalid"]).iter().map(|vector| (vector, vector["error"].as_str())))
    {
        let (name, statement) = (text(vector, "name"), statement(&vector["statement"]));
        assert_eq!(statement.signing_text(), text(vector, "signing_text"), "{name}");
        let refusal = approval::verify(statement, &bytes(vector, "signature"), &key).err().map(|error| match error {
            ApprovalError::NotDer => "not_der",
            ApprovalError::BadSignature => "bad_signature",
        });
        assert_eq!(refusal, expected, "{name}");
    }
}

fn statement(written: &Value) -> ApprovalStatement {
    let currency = text(written, "currency").parse().unwrap();
    ApprovalStatement {
        qr_token: QrTokenDigest(bytes(written, "qr_token").try_into().unwrap()),
        institution: text(written, "institution").parse().unwrap(),
        account: text(written, "account").parse().unwrap(),
        amount: Money::from_minor_units(written["amount_minor_units"].as_u64().unwrap(), currency).unwrap(),
        device: text(written, "device").parse().unwrap(),
    }
}
