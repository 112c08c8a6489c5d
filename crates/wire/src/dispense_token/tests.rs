use cashgate_withdrawal::evidence::PresentFinding;
use proptest::prelude::*;

use super::*;

const MAC: &str = "CB735612FD6141213C2827FB5A6A4F4846D7A7347B15434916FEA6AC16F3D2F2";

fn money(units: u64, currency: &str) -> Money {
    Money::from_minor_units(units, currency.parse().unwrap()).unwrap()
}

fn read(text: &str) -> Result<PresentStatement, PresentTokenError> {
    PresentStatement::read(&text.parse().unwrap())
}

/// A present token out of its fields after the length, with the right length and some MAC.
fn present(fields: &str) -> String {
    let text = |length: usize| format!("NONCE=1414,TOKENFORMAT=1,TOKENLENGTH={length:04},{fields},HMACSHA256={MAC}");
    text(text(0).len())
}

/// The sample of the public interface definitions, letter for letter.
#[test]
fn the_published_sample_of_a_dispense_token_is_made() {
    let nonce = "254611E63B2531576314E86527338D61".parse().unwrap();
    let unsigned = UnsignedDispenseToken::new(&nonce, money(5_000, "EUR"));
    let authenticated =
        "NONCE=254611E63B2531576314E86527338D61,TOKENFORMAT=1,TOKENLENGTH=0164,DISPENSE1=50.00EUR,HMACSHA256=";
    assert_eq!(unsigned.to_authenticate(), authenticated.as_bytes());
    let mac = mac_from(MAC).unwrap();
    let token = unsigned.with_mac(mac).unwrap();
    assert_eq!(token.as_str(), format!("{authenticated}{MAC}"));
    assert_eq!(token.as_str().len(), 164);
    assert_eq!(dispense_id(&token), Some(mac));
}

#[test]
fn yen_is_written_with_two_zeros() {
    let nonce = "0".parse().unwrap();
    let text = String::from_utf8(UnsignedDispenseToken::new(&nonce, money(50_000, "JPY")).text.into_bytes()).unwrap();
    assert_eq!(text, "NONCE=0,TOKENFORMAT=1,TOKENLENGTH=0136,DISPENSE1=50000.00JPY,HMACSHA256=");
}

/// The sample of the public interface definitions, letter for letter, but for its nonce `1414`, which is its own.
#[test]
fn the_published_sample_of_a_present_token_is_read() {
    let sample = format!(
        "NONCE=1414,TOKENFORMAT=1,TOKENLENGTH=0268,DISPENSEID={MAC},DISPENSED1=50.00EUR,PRESENTED1=YES,PRESENTEDAMOUNT1=50.00EUR,\
         RETRACTED1=NO,HMACSHA256=55D123E9EE64F0CC3D1CD4F953348B441E521BBACCD6998C6F51D645D71E6C83"
    );
    let said = read(&sample).unwrap();
    assert_eq!((said.nonce.as_str(), said.dispense_id), ("1414", mac_from(MAC)));
    assert_eq!(said.authenticated(), &sample.as_bytes()[..268 - 64]);
    assert!(said.authenticated().ends_with(b"RETRACTED1=NO,HMACSHA256="));
    let fifty = money(5_000, "EUR");
    let expected = DispenserFigures {
        dispensed: fifty,
        was_presented: true,
        presented: Some(fifty),
        was_retracted: false,
        retracted: None,
    };
    assert_eq!(said.figures, expected);
    assert!(matches!(said.figures.settled(true), PresentFinding::Genuine(_)));
}

#[test]
fn what_is_not_known_is_left_out_or_a_question_mark() {
    let said = read(&present("DISPENSED1=3000.00JPY,PRESENTED1=NO,RETRACTED1=YES,RETRACTEDAMOUNT1=?")).unwrap();
    assert_eq!(said.dispense_id, None);
    assert_eq!(said.figures.dispensed, money(3_000, "JPY"));
    assert_eq!((said.figures.was_presented, said.figures.presented), (false, None));
    assert_eq!((said.figures.was_retracted, said.figures.retracted), (true, None));
}

#[test]
fn every_other_form_of_a_present_token_is_refused() {
    use PresentTokenError::{Key, Length, Value};
    let rows = [
        ("", Key("DISPENSED1")),
        ("DISPENSED1=1JPY,PRESENTED1=NO", Key("RETRACTED1")),
        ("PRESENTED1=NO,DISPENSED1=1JPY,RETRACTED1=NO", Key("DISPENSED1")),
        ("DISPENSED1=1JPY,DISPENSED1=1JPY,PRESENTED1=NO,RETRACTED1=NO", Key("PRESENTED1")),
        ("DISPENSED1=1JPY,PRESENTED1=NO,RETRACTED1=NO,OTHER=1", Key("HMACSHA256")),
        ("DISPENSED1=1JPY,PRESENTED1=no,RETRACTED1=NO", Value("PRESENTED1")),
        ("DISPENSED1=1JPY,PRESENTED1=NO,RETRACTED1=", Value("RETRACTED1")),
        ("DISPENSED1=?,PRESENTED1=NO,RETRACTED1=NO", Value("DISPENSED1")),
        ("DISPENSED1=1JPY,PRESENTED1=YES,PRESENTEDAMOUNT1=,RETRACTED1=NO", Value("PRESENTEDAMOUNT1")),
        ("DISPENSEID=00,DISPENSED1=1JPY,PRESENTED1=NO,RETRACTED1=NO", Value("DISPENSEID")),
        (" DISPENSED1=1JPY,PRESENTED1=NO,RETRACTED1=NO", Key("DISPENSED1")),
    ];
    for (fields, expected) in rows {
        assert_eq!(read(&present(fields)), Err(expected), "{fields:?}");
    }
    let good = present("DISPENSED1=1JPY,PRESENTED1=NO,RETRACTED1=NO");
    assert!(read(&good).is_ok());
    let changed = [
        (good.replace("NONCE=1414", "NONCE=141g"), Value("NONCE")),
        (good.replace("NONCE=1414", "NONCE="), Value("NONCE")),
        (good.replace("FORMAT=1", "FORMAT=2"), Value("TOKENFORMAT")),
        (good.replace("NONCE=1414", "NONCE=14140"), Length),
        (good.replace("LENGTH=0", "LENGTH="), Length),
        (good.replace(MAC, &MAC.to_lowercase()), Value("HMACSHA256")),
        (
            present("DISPENSED1=1JPY,PRESENTED1=NO,RETRACTED1=NO").replace(MAC, &MAC.replace('C', "G")),
            Value("HMACSHA256"),
        ),
    ];
    for (text, expected) in changed {
        assert_eq!(read(&text), Err(expected), "{text:?}");
    }
}

#[test]
fn amounts_are_read_where_they_can_mean_one_thing_only() {
    let rows = [
        ("50000JPY", Some(money(50_000, "JPY"))),
        ("50000.0JPY", Some(money(50_000, "JPY"))),
        ("50000.00JPY", Some(money(50_000, "JPY"))),
        ("0.00JPY", Some(money(0, "JPY"))),
        ("50EUR", Some(money(5_000, "EUR"))),
        ("50.0EUR", Some(money(5_000, "EUR"))),
        ("50.05EUR", Some(money(5_005, "EUR"))),
        ("1.234KWD", Some(money(1_234, "KWD"))),
        ("50000.01JPY", None),
        ("50.4EUR", None),
        ("50.005EUR", None),
        ("50.0000EUR", None),
        ("050EUR", None),
        (".50EUR", None),
        ("50.EUR", None),
        ("-50EUR", None),
        ("+50EUR", None),
        ("50eur", None),
        ("EUR", None),
        ("", None),
        ("99999999999999999999EUR", None),
        ("1000000000001JPY", None),
    ];
    for (text, expected) in rows {
        assert_eq!(amount_from(text), expected, "{text:?}");
    }
}

proptest! {
    #[test]
    fn amounts_read_back(units in 0..=Money::MINOR_UNITS_MAX, currency in prop_oneof!["JPY", "EUR", "KWD", "[A-Z]{3}"]) {
        let amount = money(units, &currency);
        prop_assert_eq!(amount_from(&amount_to(amount)), Some(amount));
    }

    #[test]
    fn a_dispense_token_has_the_length_that_it_states(nonce in "[0-9A-F]{1,64}", units in 0..=Money::MINOR_UNITS_MAX, mac: [u8; 32]) {
        let token = UnsignedDispenseToken::new(&nonce.parse().unwrap(), money(units, "JPY")).with_mac(mac).unwrap();
        let stated = token.as_str().split("TOKENLENGTH=").nth(1).unwrap();
        prop_assert_eq!(stated[..4].parse::<usize>().unwrap(), token.as_str().len());
        prop_assert_eq!(dispense_id(&token), Some(mac));
    }

    #[test]
    fn rubbish_is_refused_without_a_panic(text in "[ -~]{1,300}") {
        prop_assert!(read(&text).is_err());
        let _ = dispense_id(&text.parse().unwrap());
    }

    /// What a token says is in its MAC's bytes: whatever is changed, the token is refused or those bytes or the MAC differ.
    #[test]
    fn no_two_texts_are_the_same_token(place: prop::sample::Index, byte in b' '..=b'~') {
        let good = present(&format!("DISPENSEID={MAC},DISPENSED1=3000.00JPY,PRESENTED1=YES,PRESENTEDAMOUNT1=3000.00JPY,RETRACTED1=NO"));
        let said = read(&good).unwrap();
        let mut bytes = good.clone().into_bytes();
        let at = place.index(bytes.len());
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        if let Ok(other) = read(&changed) {
            prop_assert!(changed == good || other.mac != said.mac || other.authenticated() != said.authenticated());
        }
    }
}
