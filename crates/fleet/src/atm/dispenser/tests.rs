//! The dispenser alone. The tokens in full were made with `printf '%s' TEXT | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102...1f`.

use aws_lc_rs::hmac;

use super::super::notes::Notes;
use super::*;

/// The bytes 0 to 31.
pub(in super::super) const KEY: [u8; 32] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
    31,
];
const NONCE: &str = "254611E63B2531576314E86527338D61";
const HOST_NONCE: &str = "0123456789ABCDEF0123456789ABCDEF";
const W1: &str = "01981f2e-7c1a-7000-8000-000000000001";
const YEN_TOKEN: &str = "NONCE=254611E63B2531576314E86527338D61,TOKENFORMAT=1,TOKENLENGTH=0167,DISPENSE1=30000.00JPY,\
    HMACSHA256=7514C31C7AC8B43C534DB423A002B3CB8C70D109969D6072177A590D7935963D";

/// The text up to the `=` with its length filled in for `LLLL`, and the HMAC under a key.
pub(in super::super) fn signed(text: &str, key: [u8; 32]) -> String {
    let covered = text.replace("LLLL", &format!("{:04}", text.len() + 64));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), covered.as_bytes());
    format!("{covered}{}", hex::encode_upper(mac))
}

/// A dispense token as a gateway makes it.
pub(in super::super) fn dispense_token(nonce: &str, amount: &str) -> String {
    signed(&format!("NONCE={nonce},TOKENFORMAT=1,TOKENLENGTH=LLLL,DISPENSE1={amount},HMACSHA256="), KEY)
}

fn fixed() -> Option<[u8; 16]> {
    let mut nonce = [0; 16];
    hex::decode_to_slice(NONCE, &mut nonce).ok()?;
    Some(nonce)
}

fn dispenser(currency: &str, facts: &[Fact]) -> SecureDispenser {
    SecureDispenser::recalled(DispenseKey::new(&KEY), currency, facts).drawing(fixed)
}

/// A dispenser of yen that holds [`NONCE`].
fn waiting() -> SecureDispenser {
    let mut dispenser = dispenser("JPY", &[]);
    assert_eq!(dispenser.renew_command_nonce().as_deref(), Some(NONCE));
    dispenser
}

fn accepted() -> Fact {
    let Authorised { nonce, dispense_id } = waiting().authorise(YEN_TOKEN, 30_000, "JPY").unwrap();
    Fact::TokenAccepted { withdrawal_id: W1.to_owned(), nonce, dispense_id }
}

fn moving() -> Fact {
    Fact::Moving { withdrawal_id: W1.to_owned(), picked: vec![Notes { denomination: 10_000, count: 3 }] }
}

#[test]
fn a_token_made_by_openssl_is_accepted_up_to_its_amount() {
    let token = "NONCE=254611E63B2531576314E86527338D61,TOKENFORMAT=1,TOKENLENGTH=0164,DISPENSE1=50.00EUR,\
        HMACSHA256=D981B110CE12FBA27CC5FC39ABFFC736F20641A674FBB2CBC263FDB3A9181366";
    let mut euros = dispenser("EUR", &[]);
    euros.renew_command_nonce();
    let dispense_id = "D981B110CE12FBA27CC5FC39ABFFC736F20641A674FBB2CBC263FDB3A9181366".to_owned();
    let authorised = Authorised { nonce: NONCE.to_owned(), dispense_id };
    assert_eq!(euros.authorise(token, 5_000, "EUR"), Ok(authorised.clone()));
    assert_eq!(euros.authorise(token, 4_999, "EUR"), Ok(authorised));
    assert_eq!(euros.authorise(token, 5_001, "EUR"), Err(TokenRefused::AmountAbove));
    assert!(waiting().authorise(YEN_TOKEN, 30_000, "JPY").is_ok());
}

#[test]
fn every_other_token_is_refused() {
    let made = |text: &str| signed(&format!("{text},HMACSHA256="), KEY);
    let other_key = signed(&YEN_TOKEN[..YEN_TOKEN.len() - 64], [9; 32]);
    let right = format!("NONCE={NONCE},TOKENFORMAT=1,TOKENLENGTH=LLLL,DISPENSE1=30000.00JPY");
    assert_eq!(made(&right), YEN_TOKEN, "what the rows below change is right");
    let rows = [
        (String::new(), TokenRefused::Missing),
        ("A".repeat(1_025), TokenRefused::TooLong),
        (made(&format!("{right},X={}", "A".repeat(900))), TokenRefused::TooLong),
        (YEN_TOKEN.replace("JPY", "JP\n"), TokenRefused::NotPrintable),
        (YEN_TOKEN.replace("JPY", "JP¥"), TokenRefused::NotPrintable),
        ("A".to_owned(), TokenRefused::Keys),
        (YEN_TOKEN.replace("NONCE", "nonce"), TokenRefused::Keys),
        (made(&right.replace("TOKENFORMAT=1,", "")), TokenRefused::Keys),
        (made(&format!("{right},DISPENSE2=1.00EUR")), TokenRefused::Keys),
        (made(&format!("{right},DISPENSE1=1.00JPY")), TokenRefused::Keys),
        (made(&right.replace("DISPENSE1", "DISPENSE2")), TokenRefused::Keys),
        (made(&right.replace(NONCE, "")), TokenRefused::Keys),
        (made(&format!("TOKENFORMAT=1,NONCE={NONCE},TOKENLENGTH=LLLL,DISPENSE1=30000.00JPY")), TokenRefused::Keys),
        (format!("{YEN_TOKEN},"), TokenRefused::Keys),
        (made(&right.replace("FORMAT=1", "FORMAT=2")), TokenRefused::Format),
        (made(&right.replace("LLLL", "0166")), TokenRefused::Length),
        (made(&right.replace("LLLL", "0168")), TokenRefused::Length),
        (made(&right.replace("LLLL", "166")), TokenRefused::Length),
        (made(&right.replace("LLLL", "00167")), TokenRefused::Length),
        (YEN_TOKEN.replace("30000", "90000"), TokenRefused::Mac),
        (YEN_TOKEN.replace("963D", "963C"), TokenRefused::Mac),
        (YEN_TOKEN.replace("963D", "963d"), TokenRefused::Mac),
        (YEN_TOKEN.replace("963D", "963G"), TokenRefused::Mac),
        (other_key, TokenRefused::Mac),
        (made(&right.replace("30000.00JPY", "30000.50JPY")), TokenRefused::Amount),
        (made(&right.replace("30000.00JPY", "JPY")), TokenRefused::Amount),
        (made(&right.replace("30000.00JPY", "-30000.00JPY")), TokenRefused::Amount),
        (made(&right.replace(NONCE, HOST_NONCE)), TokenRefused::NonceNotOpen),
        (made(&right.replace("JPY", "EUR")), TokenRefused::Currency),
        (made(&right.replace("30000", "29999")), TokenRefused::AmountAbove),
    ];
    for (token, refused) in rows {
        assert_eq!(waiting().authorise(&token, 30_000, "JPY"), Err(refused), "{token}");
    }
    assert_eq!(waiting().authorise(YEN_TOKEN, 30_000, "EUR"), Err(TokenRefused::Currency));
}

#[test]
fn a_token_that_falls_short_by_its_mac_is_told_from_one_that_is_cut_off() {
    for length in 1..YEN_TOKEN.len() {
        let refused = waiting().authorise(&YEN_TOKEN[..length], 30_000, "JPY").unwrap_err();
        assert!(matches!(refused, TokenRefused::Keys | TokenRefused::Length), "{length}: {refused}");
    }
    // With a length that is right for the shorter text.
    let cut = YEN_TOKEN.replace("0167", "0165");
    assert_eq!(waiting().authorise(&cut[..165], 30_000, "JPY"), Err(TokenRefused::Mac));
}

#[test]
fn present_tokens_are_those_that_openssl_makes() {
    let begin = |length: &str| format!("NONCE={HOST_NONCE},TOKENFORMAT=1,TOKENLENGTH={length},");
    let id = "DISPENSEID=7514C31C7AC8B43C534DB423A002B3CB8C70D109969D6072177A590D7935963D,";
    let paid = |retracted| PresentStatus { dispensed: 30_000, presented: 30_000, retracted };
    let rows = [
        (
            paid(Retracted::Nothing),
            "0327",
            "DISPENSED1=30000.00JPY,PRESENTED1=YES,PRESENTEDAMOUNT1=30000.00JPY,RETRACTED1=NO,RETRACTEDAMOUNT1=0.00JPY,\
             HMACSHA256=B4FD18AA2D24F3722C66D7D4923AE9A726D4A7A82BD78420E436F7EF4A627ED2",
        ),
        (
            paid(Retracted::Uncounted),
            "0322",
            "DISPENSED1=30000.00JPY,PRESENTED1=YES,PRESENTEDAMOUNT1=30000.00JPY,RETRACTED1=YES,RETRACTEDAMOUNT1=?,\
             HMACSHA256=50786AC38FBB2E6552E22AC4A580E3A7420436673151232A4D8E476C96DC0827",
        ),
        (
            paid(Retracted::Counted(10_000)),
            "0332",
            "DISPENSED1=30000.00JPY,PRESENTED1=YES,PRESENTEDAMOUNT1=30000.00JPY,RETRACTED1=YES,RETRACTEDAMOUNT1=10000.00JPY,\
             HMACSHA256=D27796D98319FA96C1D2E91073606153F170DE00833F221921529F2E722FAAAA",
        ),
        (
            PresentStatus { dispensed: 30_000, ..PresentStatus::UNTOUCHED },
            "0322",
            "DISPENSED1=30000.00JPY,PRESENTED1=NO,PRESENTEDAMOUNT1=0.00JPY,RETRACTED1=NO,RETRACTEDAMOUNT1=0.00JPY,\
             HMACSHA256=0A949C34E2E17CA8EB8F2BABD4DEBD9087812CFE3E3F24CA8B9216A0C19C02DA",
        ),
        (
            PresentStatus::UNTOUCHED,
            "0318",
            "DISPENSED1=0.00JPY,PRESENTED1=NO,PRESENTEDAMOUNT1=0.00JPY,RETRACTED1=NO,RETRACTEDAMOUNT1=0.00JPY,\
             HMACSHA256=82440507D4DC0DD78360B14FF46E205F95D681C391998F38CD3D8B80DBACDC46",
        ),
    ];
    for (status, length, rest) in rows {
        let mut dispenser = dispenser("JPY", &[accepted()]);
        dispenser.note(W1, Some(status));
        let token = dispenser.present_token(W1, HOST_NONCE).unwrap();
        assert_eq!(token, format!("{}{id}{rest}", begin(length)), "{status:?}");
        assert_eq!(format!("{:04}", token.len()), length);
        let forged = forged(HOST_NONCE, dispenser.dispense_id(W1).unwrap(), "JPY").unwrap();
        assert_ne!(forged, token, "{status:?}");
    }
}

#[test]
fn a_present_token_needs_a_nonce_and_a_dispense_that_is_over() {
    let over = dispenser("JPY", &[accepted()]);
    for host_nonce in ["", "0123,PRESENTED1=NO", "abcd", "GHIJ", &"A".repeat(101)] {
        assert_eq!(over.present_token(W1, host_nonce), None, "{host_nonce:?}");
    }
    assert!(over.present_token(W1, "1414").is_some() && over.present_token(W1, &"A".repeat(100)).is_some());
    assert_eq!(over.present_token("another command", HOST_NONCE), None);
    assert_eq!(dispenser("JPY", &[]).present_token(W1, HOST_NONCE), None, "no token was ever accepted");
    assert_eq!(dispenser("JPY", &[accepted(), moving()]).present_token(W1, HOST_NONCE), None, "notes move");
}

#[test]
fn one_nonce_is_open_at_a_time_and_each_is_new() {
    let mut dispenser = SecureDispenser::recalled(DispenseKey::new(&KEY), "JPY", &[]);
    let first = dispenser.renew_command_nonce().unwrap();
    let second = dispenser.renew_command_nonce().unwrap();
    assert_ne!(first, second);
    assert!([&first, &second].iter().all(|nonce| nonce.len() == 32 && **nonce == nonce.to_uppercase()));
    let with = |nonce: &str| dispenser.authorise(&dispense_token(nonce, "10000.00JPY"), 10_000, "JPY");
    assert_eq!(with(&first), Err(TokenRefused::NonceNotOpen));
    assert!(with(&second).is_ok());
    let mut silent = dispenser.clone().drawing(|| None);
    assert_eq!(silent.renew_command_nonce(), None);
    let token = dispense_token(&second, "10000.00JPY");
    assert_eq!(silent.authorise(&token, 10_000, "JPY"), Err(TokenRefused::NonceNotOpen), "an old nonce does not stay");
}

#[test]
fn a_nonce_is_used_once_and_the_dispenser_remembers_that_over_a_power_cut() {
    let mut before = waiting();
    before.remember(&accepted());
    let after = dispenser("JPY", &[accepted()]);
    // The generator repeats itself here, which a real one must not; not even then is a second token taken.
    for mut dispenser in [before, after] {
        dispenser.renew_command_nonce();
        for token in [YEN_TOKEN.to_owned(), dispense_token(NONCE, "10000.00JPY")] {
            assert_eq!(dispenser.authorise(&token, 10_000, "JPY"), Err(TokenRefused::NonceUsed), "{token}");
        }
    }
    // The open nonce does not survive.
    assert_eq!(dispenser("JPY", &[]).authorise(YEN_TOKEN, 30_000, "JPY"), Err(TokenRefused::NonceNotOpen));
}

#[test]
fn a_key_is_32_bytes_in_a_file_and_does_not_print() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dispense.key");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        DispenseKey::read(&path)
    };
    let key = read(&format!("{}\n", hex::encode(KEY))).unwrap();
    assert_eq!(key.mac("x"), DispenseKey::new(&KEY).mac("x"));
    assert!(!format!("{key:?}").contains("1, 2, 3") && !format!("{key:?}").contains("010203"), "{key:?}");
    for bad in
        [String::new(), hex::encode(&KEY[1..]), format!("{}00", hex::encode(KEY)), "0".repeat(64), "x".repeat(64)]
    {
        assert!(matches!(read(&bad), Err(DispenseKeyError::NotAKey { .. })), "{bad:?}");
    }
    let missing = DispenseKey::read(&folder.path().join("none"));
    assert!(matches!(missing, Err(DispenseKeyError::Unreadable { .. })));
}
