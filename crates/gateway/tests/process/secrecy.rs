//! What passes through and must not be kept: PIN blocks, account ids, codes.

use cashgate_wire::proto::customer::v1::PinBlock;

use crate::harness::{Atm, Call, Phone, Site, yen};

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

/// Carries out a withdrawal with a PIN block and looks everywhere.
async fn nothing_is_kept(level: Option<&str>) {
    let mut site = Site::folder_only().await;
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

    let metrics = site.page("/metrics").await.into_bytes();
    let while_it_runs = ledger_files(&site);
    site.ask_to_stop();
    assert_eq!(site.ended().await.code(), Some(0));
    let ledger = [while_it_runs, ledger_files(&site)].concat();
    let log = site.log().into_bytes();

    assert!(holds(&log, withdrawal_id.as_bytes()), "the log does tell of the withdrawal");
    assert_eq!(holds(&log, b"\"level\":\"TRACE\""), level == Some("trace"), "the log is as chatty as it was to be");
    assert!(holds(&ledger, ACCOUNT.as_bytes()), "the ledger does know the account");
    let places = [("log", &log), ("metrics", &metrics), ("ledger", &ledger)];
    for (name, place) in places {
        for (what, secret) in [("PIN block", &BLOCK[..]), ("half a PIN block", &BLOCK[8..]), ("serial", &SERIAL[..])] {
            for form in forms(secret) {
                assert!(!holds(place, &form), "the {what} is in the {name} as {:?}", String::from_utf8_lossy(&form));
            }
        }
    }
    for (name, place) in &places[..2] {
        assert!(!holds(place, ACCOUNT.as_bytes()), "the account is in the {name}");
        assert!(!holds(place, code.as_bytes()), "the code is in the {name}");
        assert!(!holds(place, &code.as_bytes()[60..100]), "a part of the code is in the {name}");
    }
}

/// Every byte of the ledger, its write-ahead log included.
fn ledger_files(site: &Site) -> Vec<u8> {
    ["ledger.db", "ledger.db-wal"].map(|file| std::fs::read(site.path(file)).unwrap_or_default()).concat()
}

#[tokio::test]
async fn nothing_is_kept_at_the_usual_log_level() {
    nothing_is_kept(None).await;
}

#[tokio::test]
async fn nothing_is_kept_when_everything_is_logged() {
    nothing_is_kept(Some("trace")).await;
}
