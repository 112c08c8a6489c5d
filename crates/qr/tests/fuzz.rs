//! Whatever a phone's camera reads, and whatever a key set's address answers: refused, or exactly what was signed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop loudly")]

use std::path::Path;
use std::sync::OnceLock;

use cashgate_fuzz::{Verdict, fuzz};
use cashgate_qr::{KeySet, LIFETIME_SECONDS_MAX, LIFETIME_SECONDS_MIN, QrClaims, TEXT_LENGTH_MAX, verify};
use serde_json::Value;

fn corpus(target: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(target)
}

fn vectors() -> &'static Value {
    static VECTORS: OnceLock<Value> = OnceLock::new();
    VECTORS.get_or_init(|| serde_json::from_str(include_str!("../vectors/tokens.json")).unwrap())
}

fn published_keys() -> &'static KeySet {
    static KEYS: OnceLock<KeySet> = OnceLock::new();
    KEYS.get_or_init(|| KeySet::from_jwks(&vectors()["jwks"].to_string()).unwrap())
}

/// What was signed with the keys of the vectors: nothing else can verify.
fn signed() -> &'static Vec<QrClaims> {
    static SIGNED: OnceLock<Vec<QrClaims>> = OnceLock::new();
    let claims = |vector: &Value| verify(vector["text"].as_str().unwrap(), published_keys()).unwrap().claims().clone();
    SIGNED.get_or_init(|| vectors()["valid"].as_array().unwrap().iter().map(claims).collect())
}

#[test]
fn qr_token() {
    fuzz(&corpus("qr_token"), |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let Ok(token) = verify(&text, published_keys()) else { return Verdict::Refused };
        assert!(text.len() <= TEXT_LENGTH_MAX);
        assert!((LIFETIME_SECONDS_MIN..=LIFETIME_SECONDS_MAX).contains(&token.claims().lifetime_seconds));
        assert!(signed().contains(token.claims()), "nobody signed this: {:?}", token.claims());
        Verdict::Accepted
    });
}

#[test]
fn key_sets() {
    fuzz(&corpus("key_sets"), |bytes| {
        let from_cose = KeySet::from_cose_key_set(bytes).ok();
        let from_jwks = std::str::from_utf8(bytes).ok().and_then(|text| KeySet::from_jwks(text).ok());
        for keys in from_cose.iter().chain(&from_jwks) {
            assert_eq!(
                KeySet::from_jwks(&keys.to_jwks()).as_ref(),
                Ok(keys),
                "what was read is written as it was read"
            );
        }
        Verdict::from(from_cose.is_some() || from_jwks.is_some())
    });
}

/// Makes the corpus out of the vectors: `cargo test -p cashgate-qr --test fuzz -- --ignored`.
#[test]
#[ignore = "writes files"]
fn write_corpus() {
    let put = |target: &str, name: String, bytes: &[u8]| {
        std::fs::create_dir_all(corpus(target)).unwrap();
        std::fs::write(corpus(target).join(name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")), bytes).unwrap();
    };
    for kind in ["valid", "invalid"] {
        for vector in vectors()[kind].as_array().unwrap() {
            let name = format!("{kind} {}", vector["name"].as_str().unwrap());
            put("qr_token", name, vector["text"].as_str().unwrap().as_bytes());
        }
    }
    put("key_sets", "jwks".to_owned(), vectors()["jwks"].to_string().as_bytes());
    put("key_sets", "cose".to_owned(), &hex::decode(vectors()["cose_key_set"].as_str().unwrap()).unwrap());
    put("key_sets", "torn".to_owned(), &hex::decode(&vectors()["cose_key_set"].as_str().unwrap()[..40]).unwrap());
    put("key_sets", "no keys".to_owned(), br#"{"keys":[{"kty":"oct"}]}"#);
}
