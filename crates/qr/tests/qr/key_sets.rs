//! Published keys: JSON and CBOR read back what was written, and nothing doubtful is taken.

use cashgate_qr::{KEYS_MAX, KeyError, KeySet, KeySetError, PublicKey};
use ciborium::Value;

use super::crafted_tokens::{cbor, map};
use super::test_keys::{TestKey, published, published_set};

#[test]
fn a_key_id_is_the_beginning_of_the_jwk_thumbprint() {
    // The P-256 key of RFC 7517 appendix A.1; its RFC 7638 thumbprint was computed apart from this crate.
    let jwks = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","kid":"727f88fd"}]}"#;
    let expected = "727f88fd".parse().unwrap();
    assert!(KeySet::from_jwks(jwks).unwrap().key(expected).is_some());
}

#[test]
fn key_sets_read_what_they_write() {
    for count in [0, 1, 2, 24, KEYS_MAX] {
        let keys = (0..count).map(|number| TestKey::named(&format!("key {number}")).public());
        let set = KeySet::new(keys).unwrap();
        assert_eq!(set.len(), count);
        assert_eq!(KeySet::from_jwks(&set.to_jwks()).as_ref(), Ok(&set));
        assert_eq!(KeySet::from_cose_key_set(&set.to_cose_key_set().unwrap()).as_ref(), Ok(&set));
    }
}

#[test]
fn a_key_set_is_written_in_one_way() {
    let [one, other] = published().map(|key| key.public());
    let sets = [[one.clone(), other.clone()], [other, one]].map(|keys| KeySet::new(keys).unwrap());
    assert_eq!(sets[0].to_jwks(), sets[1].to_jwks());
    assert_eq!(sets[0].to_cose_key_set(), sets[1].to_cose_key_set());
    let ids: Vec<_> = sets[0].keys().map(PublicKey::key_id).collect();
    assert!(ids.is_sorted());
}

#[test]
fn a_cose_key_has_its_labels_in_deterministic_order() {
    let key = &published()[0];
    let set = KeySet::new([key.public()]).unwrap().to_cose_key_set().unwrap();
    let expected = cbor(&Value::Array(vec![map([
        (1, 2.into()),
        (2, key.key_id().0.as_slice().into()),
        (3, (-7).into()),
        (4, Value::Array(vec![2.into()])),
        (-1, 1.into()),
        (-2, key.sec1[1..33].into()),
        (-3, key.sec1[33..].into()),
    ])]));
    assert_eq!(set, expected);
}

#[test]
fn a_set_has_no_id_twice_and_is_not_endless() {
    let key = published()[0].public();
    let key_id = key.key_id();
    assert_eq!(KeySet::new([key.clone(), key.clone()]), Err(KeySetError::DuplicateKeyId { key_id }));
    let many = (0..=KEYS_MAX).map(|number| TestKey::named(&format!("key {number}")).public());
    assert_eq!(KeySet::new(many), Err(KeySetError::TooManyKeys));
    let jwk = key.to_jwk();
    let twice = format!(r#"{{"keys":[{jwk},{jwk}]}}"#);
    assert_eq!(KeySet::from_jwks(&twice), Err(KeySetError::DuplicateKeyId { key_id }));
}

#[test]
fn a_point_must_be_uncompressed_and_on_the_curve() {
    let sec1 = published()[0].sec1;
    let changed = |index: usize, value| {
        let mut sec1 = sec1;
        sec1[index] = value;
        PublicKey::from_sec1_uncompressed(&sec1).map(drop)
    };
    assert_eq!(changed(0, 0x02), Err(KeyError::NotUncompressed));
    assert_eq!(changed(0, 0x06), Err(KeyError::NotUncompressed));
    assert_eq!(changed(64, sec1[64] ^ 1), Err(KeyError::NotOnCurve));
    let mut origin = [0; 65];
    origin[0] = 0x04;
    assert_eq!(PublicKey::from_sec1_uncompressed(&origin).map(drop), Err(KeyError::NotOnCurve));
    let beyond_the_field = [&[0x04][..], &[0xff; 64]].concat().try_into().unwrap();
    assert_eq!(PublicKey::from_sec1_uncompressed(&beyond_the_field).map(drop), Err(KeyError::NotOnCurve));
}

#[test]
fn a_jwk_set_with_anything_wrong_is_refused() {
    let good = published()[0].public().to_jwk();
    let [key_id, other_id] = published().map(|key| key.key_id());
    let x = good.split('"').nth(11).unwrap().to_owned();
    let check = |from: &str, to: &str, expected: KeySetError| {
        let bent = good.replacen(from, to, 1);
        assert_ne!(bent, good, "{from} is there to be replaced");
        assert_eq!(KeySet::from_jwks(&format!(r#"{{"keys":[{bent}]}}"#)), Err(expected), "{to}");
    };
    let bad = |member| KeySetError::BadMember { index: 0, member };
    check(&key_id.to_string(), &other_id.to_string(), KeySetError::ForeignKeyId { index: 0, expected: key_id });
    check(&format!(r#""{key_id}""#), "7", bad("kid"));
    check("\"kid\"", "\"key_id\"", bad("kid"));
    check("\"x\"", "\"X\"", bad("x"));
    check(&x, &format!("{x}="), bad("x"));
    check(&x, &x[..42], bad("x"));
    check("\"y\":\"", "\"y\":\"+", bad("y"));
    check(&x, &"A".repeat(43), KeySetError::BadKey { index: 0, source: KeyError::NotOnCurve });
    check("\"kty\"", "\"d\":\"AA\",\"kty\"", KeySetError::PrivateKey { index: 0 });
}

#[test]
fn what_is_no_set_at_all_is_refused() {
    for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]} x"#] {
        assert!(matches!(KeySet::from_jwks(text), Err(KeySetError::NotAJwkSet(_))), "{text}");
    }
    for bytes in [&b""[..], &[0xa0], &[0x80, 0x00], &[0x81]] {
        assert!(matches!(KeySet::from_cose_key_set(bytes), Err(KeySetError::NotACoseKeySet(_))), "{bytes:02x?}");
    }
}

#[test]
fn keys_for_other_purposes_are_passed_over() {
    let good = published()[0].public().to_jwk();
    let replaced = |from, to| good.replacen(from, to, 1);
    let others = [
        replaced("P-256", "P-384"),
        replaced("ES256", "ECDH-ES"),
        replaced("\"sig\"", "\"enc\""),
        replaced("\"EC\"", "\"OKP\""),
        "7".into(),
    ];
    for other in others {
        let set = KeySet::from_jwks(&format!(r#"{{"keys":[{other},{good}]}}"#)).unwrap();
        assert_eq!(set.len(), 1, "{other}");
    }
    let key = map([(1, 1.into()), (-1, 6.into()), (-2, [7_u8; 32].as_slice().into())]);
    assert_eq!(KeySet::from_cose_key_set(&cbor(&Value::Array(vec![key, "?".into()]))), Ok(KeySet::default()));
}

#[test]
fn a_cose_key_set_with_anything_wrong_is_refused() {
    let key = &published()[0];
    let fields = |changed: i64, value: Value| {
        let fields = [
            (1, 2.into()),
            (2, key.key_id().0.as_slice().into()),
            (-1, 1.into()),
            (-2, key.sec1[1..33].into()),
            (-3, key.sec1[33..].into()),
        ];
        let mut fields: Vec<(i64, Value)> = fields.into_iter().filter(|(label, _)| *label != changed).collect();
        fields.push((changed, value));
        let fields = fields.into_iter().map(|(label, value)| (label.into(), value)).collect();
        KeySet::from_cose_key_set(&cbor(&Value::Array(vec![Value::Map(fields)])))
    };
    let bad = |member| Err(KeySetError::BadMember { index: 0, member });
    assert_eq!(fields(3, (-7).into()), KeySet::new([key.public()]));
    assert_eq!(fields(-2, key.sec1[1..32].into()), bad("x (-2)"));
    assert_eq!(fields(-3, true.into()), bad("y (-3)"), "a compressed point");
    assert_eq!(fields(-4, key.private.as_slice().into()), Err(KeySetError::PrivateKey { index: 0 }));
    let foreign = KeySetError::ForeignKeyId { index: 0, expected: key.key_id() };
    assert_eq!(fields(2, published_set().to_jwks().as_bytes()[..4].into()), Err(foreign));
    let not_on_curve = KeySetError::BadKey { index: 0, source: KeyError::NotOnCurve };
    assert_eq!(fields(-3, key.sec1[1..33].into()), Err(not_on_curve));
}
