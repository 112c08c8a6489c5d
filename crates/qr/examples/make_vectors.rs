//! Writes `vectors/*.json` anew: `cargo run -p cashgate-qr --example make_vectors`.
//!
//! Keys and claims are fixed, ECDSA is not: every run draws other signatures, so the texts, digests and signatures change while
//! everything else stays. Run it when the format or a table of cases changes, and commit what it wrote.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool for developers may stop loudly")]

use std::path::Path;

use cashgate_qr::approval::{ApprovalStatement, DeviceKey};
use cashgate_qr::ids::{Nonce, QrSessionId, QrTokenDigest};
use cashgate_qr::money::Money;
use cashgate_qr::time::Timestamp;
use cashgate_qr::{BATCH_MAX, QrClaims, QrToken, REPLICA_MAX, UnsignedBatch, verify};
use fast_qr::qr::QRBuilder;
use fast_qr::{ECL, Mode};
use serde_json::{Value, json};

#[path = "../tests/qr/crafted_tokens.rs"]
mod crafted_tokens;
#[path = "../tests/qr/refused_batches.rs"]
mod refused_batches;
#[path = "../tests/qr/refused_tokens.rs"]
mod refused_tokens;
#[path = "../tests/qr/test_keys.rs"]
mod test_keys;

use crafted_tokens::{leaf_hash, proof_in, root_from, signed_bytes};
use test_keys::{
    TestKey, for_several, forger, is_high_s, phone, published, published_set, usual_claims, with_other_s, yen,
};

fn main() {
    let valid = valid_tokens();
    let digest = valid[0].1.digest();
    write("tokens.json", &tokens_file(&valid));
    write("approvals.json", &approvals_file(digest));
}

fn write(name: &str, document: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    std::fs::write(path, serde_json::to_string_pretty(document).unwrap() + "\n").unwrap();
}

fn tokens_file(valid: &[(&str, QrToken)]) -> Value {
    let private =
        |key: &TestKey| json!({ "key_id": key.key_id().to_string(), "private_key": hex::encode(key.private) });
    let refused = refused_tokens::refused_tokens();
    json!({
        "about": "QR tokens of cashgate-qr, see README.md. Binary values are lower-case hexadecimal. The private keys are for tests only.",
        "jwks": serde_json::from_str::<Value>(&published_set().to_jwks()).unwrap(),
        "cose_key_set": hex::encode(published_set().to_cose_key_set().unwrap()),
        "test_private_keys": published().iter().map(private).collect::<Vec<_>>(),
        "valid": valid.iter().map(|(name, token)| valid_token(name, token)).collect::<Vec<_>>(),
        "invalid": refused.iter().map(|token| json!({ "name": token.name, "text": token.text, "error": token.error }))
            .collect::<Vec<_>>(),
    })
}

fn valid_tokens() -> Vec<(&'static str, QrToken)> {
    let [key, successor] = published();
    let usual = usual_claims;
    let shortest = QrClaims {
        network: "n".parse().unwrap(),
        atm: "1".parse().unwrap(),
        issued_at: Timestamp::from_unix_ms(0),
        lifetime_seconds: 1,
        qr_session: QrSessionId::from_bytes([0; 16]),
        nonce: Nonce([0; 16]),
        amount: None,
        replica: None,
    };
    let longest = QrClaims {
        network: "n".repeat(64).parse().unwrap(),
        atm: "A.z_9-".repeat(11)[..64].parse().unwrap(),
        issued_at: Timestamp::from_unix_ms(u64::from(u32::MAX) * 1000 + 1000),
        lifetime_seconds: 300,
        qr_session: QrSessionId::from_bytes([0xff; 16]),
        nonce: Nonce([0xff; 16]),
        amount: Some(yen(Money::MINOR_UNITS_MAX)),
        replica: Some(REPLICA_MAX),
    };
    let euros = Money::from_minor_units(12_050, "EUR".parse().unwrap()).unwrap();
    let single = vec![
        ("amount chosen in the app, low s", mint_with_s(&key, &usual(), false)),
        ("amount chosen in the app, high s", mint_with_s(&key, &usual(), true)),
        ("30000 yen chosen at the ATM", key.mint(&QrClaims { amount: Some(yen(30_000)), ..usual() })),
        ("120.50 euros chosen at the ATM", key.mint(&QrClaims { amount: Some(euros), ..usual() })),
        ("the smallest amount", key.mint(&QrClaims { amount: Some(yen(1)), ..usual() })),
        ("signed with the other published key", successor.mint(&usual())),
        ("a lifetime of 24 seconds, the first of two bytes", key.mint(&QrClaims { lifetime_seconds: 24, ..usual() })),
        ("shown by replica 0", key.mint(&QrClaims { replica: Some(0), ..usual() })),
        (
            "shown by replica 24, amount chosen at the ATM",
            key.mint(&QrClaims { replica: Some(24), amount: Some(yen(30_000)), ..usual() }),
        ),
        ("the shortest claims", key.mint(&shortest)),
        ("the longest claims of this age", key.mint(&longest)),
    ];
    single.into_iter().chain(valid_batched_tokens(&longest)).collect()
}

fn valid_batched_tokens(longest: &QrClaims) -> Vec<(&'static str, QrToken)> {
    let [key, successor] = published();
    let usual = |count| for_several(count, &usual_claims());
    let with_amount = for_several(5, &QrClaims { amount: Some(yen(30_000)), ..usual_claims() });
    let at = |tokens: Vec<QrToken>, index: usize| {
        tokens.into_iter().find(|token| proof_in(token.bytes()).is_some_and(|(_, found, _)| found == index)).unwrap()
    };
    vec![
        ("left of two", at(key.mint_batch(&usual(2)), 0)),
        ("right of two", at(key.mint_batch(&usual(2)), 1)),
        ("last of three, beside the empty entry", at(key.mint_batch(&usual(3)), 2)),
        ("of five, low s", at(mint_batch_with_s(&key, &with_amount, false), 1)),
        ("of five, high s", at(mint_batch_with_s(&key, &with_amount, true), 4)),
        ("one of eight", at(key.mint_batch(&usual(8)), 5)),
        ("one of 16, signed with the other published key", at(successor.mint_batch(&usual(16)), 9)),
        ("last of 31", at(key.mint_batch(&usual(31)), 30)),
        ("last of 33, the right half but for it empty", at(key.mint_batch(&usual(33)), 32)),
        ("first of 64", at(key.mint_batch(&usual(BATCH_MAX)), 0)),
        ("last of 64", at(key.mint_batch(&usual(BATCH_MAX)), 63)),
        ("the longest claims in the largest tree", at(key.mint_batch(&for_several(BATCH_MAX, longest)), 40)),
    ]
}

fn mint_with_s(key: &TestKey, claims: &QrClaims, high: bool) -> QrToken {
    mint_batch_with_s(key, std::slice::from_ref(claims), high).remove(0)
}

fn mint_batch_with_s(key: &TestKey, claims: &[QrClaims], high: bool) -> Vec<QrToken> {
    let unsigned = UnsignedBatch::new(claims, key.key_id()).unwrap();
    let signature = key.sign_digest(unsigned.digest());
    unsigned.signed_with(if is_high_s(signature) == high { signature } else { with_other_s(signature) })
}

fn valid_token(name: &str, token: &QrToken) -> Value {
    let verified = verify(&token.text(), &published_set()).unwrap();
    let claims = verified.claims();
    let qr = QRBuilder::new(token.text()).mode(Mode::Alphanumeric).ecl(ECL::M).build().unwrap();
    json!({
        "name": name,
        "text": token.text(),
        "cose_sign1": hex::encode(token.bytes()),
        "digest": hex::encode(verified.digest().0),
        "signed_digest": hex::encode(crafted_tokens::sha256(&signed_bytes(token.bytes()))),
        "tree": tree(token.bytes()),
        "qr_version": (qr.size - 17) / 4,
        "key_id": verified.key_id().to_string(),
        "expires_unix_s": verified.expires_at().unix_ms() / 1000,
        "claims": {
            "network": claims.network.as_str(),
            "atm": claims.atm.as_str(),
            "issued_unix_s": claims.issued_at.unix_ms() / 1000,
            "lifetime_s": claims.lifetime_seconds,
            "qr_session": hex::encode(claims.qr_session.as_bytes()),
            "nonce": hex::encode(claims.nonce.0),
            "amount_minor_units": claims.amount.map(Money::minor_units),
            "currency": claims.amount.map(|amount| amount.currency().to_string()),
            "replica": claims.replica,
        },
    })
}

/// What a reader computes on the way to the root; null in the single form.
fn tree(token: &[u8]) -> Value {
    let Some((size, index, path)) = proof_in(token) else { return Value::Null };
    let token: ciborium::Value = ciborium::from_reader(token).unwrap();
    let leaf = leaf_hash(token.as_array().unwrap()[2].as_bytes().unwrap());
    json!({
        "size": size,
        "leaf_index": index,
        "leaf_hash": hex::encode(leaf),
        "path": path.iter().map(hex::encode).collect::<Vec<_>>(),
        "root": hex::encode(root_from(leaf, index, &path)),
    })
}

fn approvals_file(qr_token: QrTokenDigest) -> Value {
    let device = DeviceKey::from_sec1_uncompressed(&phone().sec1).unwrap();
    let usual = || ApprovalStatement {
        qr_token,
        institution: "bank-a".parse().unwrap(),
        account: "7f3a9c".parse().unwrap(),
        amount: yen(30_000),
        device: "phone-1".parse().unwrap(),
    };
    let euros = Money::from_minor_units(12_050, "EUR".parse().unwrap()).unwrap();
    let signed = |statement: &ApprovalStatement| phone().sign_der(statement.signing_text().as_bytes());
    let valid = [
        ("30000 yen", usual()),
        ("120.50 euros", ApprovalStatement { amount: euros, ..usual() }),
        ("the largest amount", ApprovalStatement { amount: yen(Money::MINOR_UNITS_MAX), ..usual() }),
        ("ids with every kind of character", ApprovalStatement { account: "A.z_9-".parse().unwrap(), ..usual() }),
    ];
    let text = usual().signing_text();
    let text_digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let raw = phone().sign_digest(text_digest.as_ref().try_into().unwrap());
    let other_amount = ApprovalStatement { amount: yen(30_001), ..usual() };
    let other_account = ApprovalStatement { account: "7f3a9d".parse().unwrap(), ..usual() };
    let invalid = [
        ("signed by another phone", forger().sign_der(text.as_bytes()), "bad_signature"),
        ("signed for another amount", signed(&other_amount), "bad_signature"),
        ("signed for another account", signed(&other_account), "bad_signature"),
        ("signed with a line feed at the end", phone().sign_der(format!("{text}\n").as_bytes()), "bad_signature"),
        ("r and s as 64 raw bytes", raw.to_vec(), "not_der"),
        ("a byte behind the signature", [signed(&usual()), vec![0]].concat(), "not_der"),
        ("no signature", vec![], "not_der"),
    ];
    let approval = |name: &str, statement: &ApprovalStatement, signature: &[u8]| {
        json!({
            "name": name,
            "statement": statement_object(statement),
            "signing_text": statement.signing_text(),
            "signature": hex::encode(signature),
        })
    };
    let refused = |(name, signature, error): &(&str, Vec<u8>, &str)| {
        let mut vector = approval(name, &usual(), signature);
        vector["error"] = (*error).into();
        vector
    };
    json!({
        "about": "Approvals of cashgate-qr, see README.md. Binary values are lower-case hexadecimal. The private key is for tests only.",
        "device_key": {
            "private_key": hex::encode(phone().private),
            "spki_der": hex::encode(device.to_spki_der()),
            "sec1_uncompressed": hex::encode(device.sec1_uncompressed()),
        },
        "valid": valid.iter().map(|(name, statement)| approval(name, statement, &signed(statement))).collect::<Vec<_>>(),
        "invalid": invalid.iter().map(refused).collect::<Vec<_>>(),
    })
}

fn statement_object(statement: &ApprovalStatement) -> Value {
    json!({
        "qr_token": hex::encode(statement.qr_token.0),
        "institution": statement.institution.as_str(),
        "account": statement.account.as_str(),
        "amount_minor_units": statement.amount.minor_units(),
        "currency": statement.amount.currency().as_str(),
        "device": statement.device.as_str(),
    })
}
