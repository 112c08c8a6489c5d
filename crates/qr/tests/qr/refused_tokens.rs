//! Every way of being wrong that the format knows, one token each. The test vectors are made from this table too.

use ciborium::Value;

use super::crafted_tokens::{CraftedToken, cbor, map, text, usual_fields};
use super::refused_batches::{
    bad_batch_signatures, malformed_batch_headers, malformed_entries, malformed_proofs, other_trees,
};
use super::test_keys::{forger, published, usual_claims};

/// A text that is not a genuine token.
pub(crate) struct RefusedToken {
    /// What is wrong with it.
    pub(crate) name: &'static str,
    pub(crate) text: String,
    /// The error's name in the test vectors.
    pub(crate) error: &'static str,
}

pub(crate) fn refused_tokens() -> Vec<RefusedToken> {
    let mut all = Vec::new();
    for (error, named) in [
        ("malformed", malformed_texts()),
        ("malformed", malformed_envelopes()),
        ("malformed", malformed_claims()),
        ("malformed", other_trees()),
        ("malformed", malformed_proofs()),
        ("malformed", malformed_batch_headers()),
        ("malformed", malformed_entries()),
        ("bad_signature", bad_signatures()),
        ("bad_signature", bad_batch_signatures()),
    ] {
        all.extend(named.into_iter().map(|(name, text)| RefusedToken { name, text, error }));
    }
    let genuine = usual_token().text(&published()[0]);
    let foreign = CraftedToken::naming(&forger(), cbor(&Value::Map(usual_fields()))).text(&forger());
    all.extend([
        RefusedToken { name: "nothing at all", text: String::new(), error: "not_a_qr_token" },
        RefusedToken { name: "another prefix", text: genuine.replacen("CG1:", "HC1:", 1), error: "not_a_qr_token" },
        RefusedToken {
            name: "prefix in lower case",
            text: genuine.replacen("CG1:", "cg1:", 1),
            error: "not_a_qr_token",
        },
        RefusedToken { name: "a space before the prefix", text: format!(" {genuine}"), error: "not_a_qr_token" },
        RefusedToken { name: "longer than any token", text: format!("CG1:{}", "0".repeat(763)), error: "too_long" },
        RefusedToken { name: "signed with a key that is not published", text: foreign, error: "unknown_key" },
    ]);
    all
}

/// Names and texts.
pub(crate) type Named = Vec<(&'static str, String)>;

fn usual_token() -> CraftedToken {
    CraftedToken::naming(&published()[0], cbor(&Value::Map(usual_fields())))
}

fn malformed_texts() -> Named {
    let key = &published()[0];
    let genuine = usual_token().text(key);
    let bytes = usual_token().bytes(&usual_token().signature(key));
    assert_eq!(bytes.len() % 2, 1, "the last byte must stand alone for the non-canonical pair below");
    let (head, last_pair) = genuine.split_at(genuine.len() - 2);
    let digits = |c: u8| b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:".iter().position(|d| *d == c).unwrap();
    let last_value = digits(last_pair.as_bytes()[0]) + 45 * digits(last_pair.as_bytes()[1]);
    let digit = |value: usize| char::from(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"[value]);
    let overflowing = format!("{head}{}{}", digit((last_value + 256) % 45), digit((last_value + 256) / 45));
    vec![
        ("the prefix alone", "CG1:".into()),
        ("base45 in lower case", format!("CG1:{}", genuine[4..].to_lowercase())),
        ("a character outside base45", format!("{}#{}", &genuine[..10], &genuine[11..])),
        ("a line feed at the end", format!("{genuine}\n")),
        ("three characters worth more than 65535", format!("{}:::{}", &genuine[..7], &genuine[10..])),
        ("two last characters worth more than 255", overflowing),
        ("one character too many", format!("{genuine}0")),
        ("cut in the middle", genuine[..genuine.len() / 2 + 1].into()),
        ("last byte missing", text(&bytes[..bytes.len() - 1])),
        ("a byte behind the end", text(&[bytes.as_slice(), &[0]].concat())),
        ("CBOR that is something else", text(&cbor(&"CG1".into()))),
    ]
}

fn malformed_envelopes() -> Named {
    let key = &published()[0];
    let kid = || Value::from(key.key_id().0.as_slice());
    let with_protected = |fields| CraftedToken { protected: cbor(&fields), ..usual_token() }.text(key);
    let with_unprotected = |fields| CraftedToken { unprotected: fields, ..usual_token() }.text(key);
    let signature = usual_token().signature(key);
    let value = || usual_token().value(&signature);
    let Value::Array(mut detached) = value() else { unreachable!("a COSE_Sign1 is an array") };
    detached[2] = Value::Null;
    let indefinite = [&[0x9f], &usual_token().bytes(&signature)[1..], &[0xff]].concat();
    let long_signature = [signature.as_slice(), &[0]].concat();
    vec![
        ("tagged as COSE_Sign1", text(&cbor(&Value::Tag(18, Box::new(value()))))),
        ("tagged as COSE_Sign1 and as CWT", text(&cbor(&Value::Tag(61, Box::new(Value::Tag(18, Box::new(value()))))))),
        ("array of indefinite length", text(&indefinite)),
        ("payload detached", text(&cbor(&Value::Array(detached)))),
        ("algorithm ES384", with_protected(map([(1, (-35).into()), (4, kid())]))),
        ("algorithm HMAC 256", with_protected(map([(1, 5.into()), (4, kid())]))),
        ("no algorithm", with_protected(map([(4, kid())]))),
        ("no key id", with_protected(map([(1, (-7).into())]))),
        ("key id of 3 bytes", with_protected(map([(1, (-7).into()), (4, key.key_id().0[..3].into())]))),
        ("key id before the algorithm", with_protected(map([(4, kid()), (1, (-7).into())]))),
        ("algorithm twice", with_protected(map([(1, (-7).into()), (1, (-7).into()), (4, kid())]))),
        ("one more protected header", with_protected(map([(1, (-7).into()), (3, 60.into()), (4, kid())]))),
        ("empty protected header", CraftedToken { protected: vec![], ..usual_token() }.text(key)),
        ("key id in the unprotected header too", with_unprotected(map([(4, kid())]))),
        ("something else in the unprotected header", with_unprotected(map([(99, true.into())]))),
        ("signature of 63 bytes", text(&usual_token().bytes(&signature[..63]))),
        ("signature of 65 bytes", text(&usual_token().bytes(&long_signature))),
        ("no signature", text(&usual_token().bytes(&[]))),
    ]
}

/// Properly signed, so that only the claims are wrong: what a bug at the gateway would mint.
fn malformed_claims() -> Named {
    let mut named = Named::new();
    let mut add =
        |name, payload| named.push((name, CraftedToken::naming(&published()[0], payload).text(&published()[0])));
    let with = |extra: &[(i64, Value)]| {
        let mut fields = usual_fields();
        for (key, value) in extra {
            let key = Value::from(*key);
            match fields.iter_mut().find(|(found, _)| *found == key) {
                Some((_, replaced)) => *replaced = value.clone(),
                None => fields.push((key, value.clone())),
            }
        }
        cbor(&Value::Map(fields))
    };
    let usual = || cbor(&Value::Map(usual_fields()));
    let without = |index: usize| {
        let mut fields = usual_fields();
        fields.remove(index);
        cbor(&Value::Map(fields))
    };
    let needed = ["no version", "no network", "no ATM", "no issued", "no lifetime", "no QR session", "no nonce"];
    needed.into_iter().enumerate().for_each(|(index, name)| add(name, without(index)));
    add("an empty payload", vec![]);
    add("claims that are an array", cbor(&Value::Array(vec![1.into()])));
    add("one more claim", with(&[(11, 0.into())]));
    add("a replica beyond the highest", with(&[(10, 32_768.into())]));
    add("a claim with a name", cbor(&Value::Map([usual_fields(), vec![("x".into(), 0.into())]].concat())));
    add("a claim twice", cbor(&Value::Map([usual_fields(), usual_fields()[6..].to_vec()].concat())));
    add("claims in another order", cbor(&Value::Map(usual_fields().into_iter().rev().collect())));
    add("map of indefinite length", [&[0xbf], &usual()[1..], &[0xff]].concat());
    add("a number in a longer form", [&usual()[..2], &[0x18, 0x01], &usual()[3..]].concat());
    add("a byte behind the claims", [usual().as_slice(), &[0]].concat());
    add("version 2", with(&[(1, 2.into())]));
    add("network with a space", with(&[(2, "j cn".into())]));
    add("network of 65 characters", with(&[(2, "n".repeat(65).into())]));
    add("empty ATM id", with(&[(3, "".into())]));
    add("ATM id as bytes", with(&[(3, b"TYO-0042".as_slice().into())]));
    add("issued before 1970", with(&[(4, (-1).into())]));
    add("issued as a float", with(&[(4, 1_795_316_645.0.into())]));
    add("issued beyond all time", with(&[(4, u64::MAX.into())]));
    add("lifetime of nothing", with(&[(5, 0.into())]));
    add("lifetime of 301 seconds", with(&[(5, 301.into())]));
    add("lifetime of 65566 seconds", with(&[(5, 65_566.into())]));
    add("QR session as text", with(&[(6, "019aa93e-5d88-7001-8203-040506070809".into())]));
    add("nonce of 15 bytes", with(&[(7, [7_u8; 15].as_slice().into())]));
    add("nonce of 17 bytes", with(&[(7, [7_u8; 17].as_slice().into())]));
    add("amount without currency", with(&[(8, 30_000.into())]));
    add("currency without amount", with(&[(9, "JPY".into())]));
    add("amount of nothing", with(&[(8, 0.into()), (9, "JPY".into())]));
    add("negative amount", with(&[(8, (-30_000).into()), (9, "JPY".into())]));
    add("amount above the largest", with(&[(8, 1_000_000_000_001_u64.into()), (9, "JPY".into())]));
    add("amount as a float", with(&[(8, 30_000.0.into()), (9, "JPY".into())]));
    add("currency in lower case", with(&[(8, 30_000.into()), (9, "jpy".into())]));
    add("amount and currency absent by null", with(&[(8, Value::Null), (9, Value::Null)]));
    named
}

fn bad_signatures() -> Named {
    let [key, other] = &published();
    let signature = usual_token().signature(key);
    let signed_with = |signature: &[u8]| text(&usual_token().bytes(signature));
    let mut flipped = signature;
    flipped[63] ^= 1;
    let swapped: Vec<u8> = [&signature[32..], &signature[..32]].concat();
    let mut other_atm = usual_claims();
    other_atm.atm = "TYO-0043".parse().unwrap();
    let genuine_at_other_atm = key.mint(&other_atm);
    let payload_length = usual_token().payload.len();
    let other_payload = genuine_at_other_atm.bytes()[15..15 + payload_length].to_vec();
    let claims_swapped = CraftedToken { payload: other_payload, ..usual_token() };
    vec![
        ("one bit of the signature changed", signed_with(&flipped)),
        ("r and s changed places", signed_with(&swapped)),
        ("signature of zeros", signed_with(&[0; 64])),
        ("signature of ones", signed_with(&[0xff; 64])),
        ("forged under a published key id", signed_with(&usual_token().signature(&forger()))),
        ("signed with another published key than it names", signed_with(&usual_token().signature(other))),
        (
            "key id changed to that of another published key",
            text(&CraftedToken::naming(other, usual_token().payload).bytes(&signature)),
        ),
        ("claims of another genuine token", text(&claims_swapped.bytes(&signature))),
        ("signed with external data", CraftedToken { external_data: b"x", ..usual_token() }.text(key)),
        ("signed as COSE_Sign", CraftedToken { context: "Signature", ..usual_token() }.text(key)),
    ]
}
