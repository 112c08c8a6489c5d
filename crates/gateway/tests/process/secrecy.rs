//! What passes through and must not be kept: PIN blocks, account ids, codes, PINs. Not in the log, not in the metrics, not in any span.

use cashgate_wire::proto::atm::v1::EnterConfirmCode;
use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::customer::v1::PinBlock;

use crate::harness::{Atm, Call, Collector, Heard, Phone, Site, yen};

const BLOCK: [u8; 16] =
    [0xc7, 0x3a, 0x91, 0xe4, 0x5b, 0xd8, 0x26, 0xaf, 0x73, 0x9c, 0xe1, 0x4d, 0xb6, 0x28, 0xf5, 0x8a];
const SERIAL: [u8; 10] = [0xff, 0xe9, 0x87, 0x65, 0x43, 0xd1, 0xb7, 0xa5, 0xe2, 0x9f];
const ACCOUNT: &str = "acct-7f3a9c41d2e8";

/// Bytes in every form in which a program is likely to print them.
fn forms(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let escaped: String = bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    let printed = format!("{:?}", String::from_utf8_lossy(bytes)).trim_matches('"').to_owned();
    let texts = [hex.clone(), hex.to_uppercase(), list.join(", "), list.join(","), escaped, printed];
    let texts = texts.into_iter().map(String::into_bytes);
    texts.chain([bytes.to_vec(), base64(bytes).into_bytes()]).collect()
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    // Whole groups of three are enough to be found.
    let groups = bytes.chunks_exact(3).map(|three| u32::from_be_bytes([0, three[0], three[1], three[2]]));
    groups.flat_map(|group| [18, 12, 6, 0].map(|shift| char::from(ALPHABET[(group >> shift & 63) as usize]))).collect()
}

fn holds(place: &[u8], secret: &[u8]) -> bool {
    place.windows(secret.len()).any(|window| window == secret)
}

/// Whether a text has these digits as a word of their own. Ids, times and amounts have other characters around theirs.
fn has_word(place: &[u8], digits: &str) -> bool {
    let text = String::from_utf8_lossy(place);
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "-.:+_".contains(c))).any(|word| word == digits)
}

/// A second withdrawal, large enough that the customer types a code at the machine. Gives the code.
async fn withdraw_with_code(atm: &mut Atm, phone: &mut Phone) -> String {
    let shown = atm.shows_code().await;
    phone.scan(&shown.qr_text).await.unwrap();
    let approved = phone.bank.approve(phone.approval(&shown.qr_text, &yen(40_000))).await.unwrap().into_inner();
    let withdrawal_id = loop {
        match atm.hears().await {
            Heard::AskConfirmCode(asked) => break asked.withdrawal_id,
            Heard::QrClaimed(_) | Heard::ShowQr(_) => {}
            other => panic!("instead of the question for the code: {other:?}"),
        }
    };
    let code = approved.confirm_code;
    let wrong = if code == "0000" { "0001" } else { "0000" };
    for typed in [wrong, &code] {
        let withdrawal_id = withdrawal_id.clone();
        atm.says(Message::EnterConfirmCode(EnterConfirmCode { withdrawal_id, code: typed.to_owned() })).await;
        if typed == wrong {
            assert!(matches!(atm.hears().await, Heard::AskConfirmCode(_)), "once more");
        }
    }
    atm.pays_out().await;
    phone.watch_to_end(&withdrawal_id).await;
    code
}

/// Carries out withdrawals, one with a PIN block and one with a confirm code, and looks everywhere.
async fn nothing_is_kept(level: Option<&str>) {
    let collector = Collector::takes().await;
    let mut site = Site::folder_only().await;
    site.set("telemetry.endpoint", &collector.endpoint());
    site.set("telemetry.sampled_of_1000", "1000");
    if let Some(level) = level {
        site.set_variable("CASHGATE_LOG", level);
    }
    site.serve().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", ACCOUNT).await;
    let code = atm.shows_code().await.qr_text;
    phone.scan(&code).await.unwrap();
    let mut approval = phone.approval(&code, &yen(10_000));
    let pin_block = PinBlock { block: BLOCK.to_vec(), key_serial_number: SERIAL.to_vec() };
    approval.pin_block = Some(pin_block.clone());
    let mut damaged = approval.clone();
    damaged.qr_text.push('X');
    phone.bank.approve(damaged).await.unwrap_err();
    let mut wrongly_signed = approval.clone();
    wrongly_signed.signature = vec![0x30, 0];
    phone.bank.approve(wrongly_signed).await.unwrap_err();

    let withdrawal_id = phone.bank.approve(approval).await.unwrap().into_inner().withdrawal_id;
    atm.pays_out().await;
    phone.watch_to_end(&withdrawal_id).await;
    let calls = site.core_bank.calls(&withdrawal_id);
    let Call::Place(placed) = &calls[0] else { panic!("{calls:?}") };
    assert_eq!(placed.pin_block, Some(pin_block), "it passes through byte for byte");

    let confirm_code = withdraw_with_code(&mut atm, &mut phone).await;
    let metrics = site.page("/metrics").await.into_bytes();
    let while_it_runs = site.everything_in_ledger();
    site.ask_to_stop();
    assert_eq!(site.ended().await.code(), Some(0));
    let ledger = [while_it_runs, site.everything_in_ledger()].concat();
    let log = site.log().into_bytes();
    let spans = collector.everything();
    let hsm_pin = std::fs::read(site.path("hsm-pin")).unwrap();

    assert!(holds(&spans, withdrawal_id.as_bytes()), "a span does tell of the withdrawal");
    assert!(holds(&log, withdrawal_id.as_bytes()), "the log does tell of the withdrawal");
    assert_eq!(holds(&log, b"\"level\":\"TRACE\""), level == Some("trace"), "the log is as chatty as it was to be");
    assert!(holds(&ledger, ACCOUNT.as_bytes()), "the ledger does know the account");
    let places = [("log", &log), ("metrics", &metrics), ("spans", &spans), ("ledger", &ledger)];
    has_no_pin_block(&places);
    for (name, place) in &places[..3] {
        assert!(!holds(place, &hsm_pin), "the HSM's PIN is in the {name}");
        // At the level of every byte of HTTP/2 there are other numbers of four digits.
        if level.is_none() || *name != "log" {
            assert!(!has_word(place, &confirm_code), "the confirm code is in the {name}");
        }
        assert!(!holds(place, ACCOUNT.as_bytes()), "the account is in the {name}");
        assert!(!holds(place, code.as_bytes()), "the code is in the {name}");
        assert!(!holds(place, &code.as_bytes()[60..100]), "a part of the code is in the {name}");
    }
}

fn has_no_pin_block(places: &[(&str, &Vec<u8>)]) {
    for (name, place) in places {
        for (what, secret) in [("PIN block", &BLOCK[..]), ("half a PIN block", &BLOCK[8..]), ("serial", &SERIAL[..])] {
            for form in forms(secret) {
                assert!(!holds(place, &form), "the {what} is in the {name} as {:?}", String::from_utf8_lossy(&form));
            }
        }
    }
}

#[test]
fn what_is_looked_for_would_be_found() {
    let place =
        br#"{"id":"01a2-7348-1234","at":"2026-11-28T23:30:43.1234Z","code":"7348","key_values":[value: "acct"]}"#;
    assert!(has_word(place, "7348") && !has_word(place, "1234"));
    for form in forms(&BLOCK) {
        assert!(holds(&[b"before ".as_slice(), &form, b" after"].concat(), &form));
    }
}

#[tokio::test]
async fn nothing_is_kept_at_the_usual_log_level() {
    nothing_is_kept(None).await;
}

#[tokio::test]
async fn nothing_is_kept_when_everything_is_logged() {
    nothing_is_kept(Some("trace")).await;
}
