//! The token as a picture: small enough for an ATM's screen, and a decoder that we did not write reads it back.

use cashgate_qr::money::Money;
use cashgate_qr::{BATCH_MAX, QrClaims, QrToken, verify};
use fast_qr::qr::QRBuilder;
use fast_qr::{ECL, Mode};

use super::test_keys::{for_several, published, published_set, usual_claims, yen};

struct Drawn {
    token_bytes: usize,
    characters: usize,
    version: usize,
}

fn draw_and_scan(token: &QrToken) -> Drawn {
    let qr = QRBuilder::new(token.text()).mode(Mode::Alphanumeric).ecl(ECL::M).build().unwrap();
    let (scale, quiet_zone) = (4, 4);
    let side = (qr.size + 2 * quiet_zone) * scale;
    let gray = |x: usize, y: usize| {
        let module = |at: usize| (at / scale).checked_sub(quiet_zone).filter(|at| *at < qr.size);
        let dark = matches!((module(x), module(y)), (Some(x), Some(y)) if qr[y][x].value());
        if dark { 0 } else { 255 }
    };
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(side, side, gray);
    let grids = image.detect_grids();
    assert_eq!(grids.len(), 1, "one code in the picture");
    let (meta, scanned) = grids[0].decode().unwrap();
    assert_eq!(scanned, token.text());
    assert!(verify(&scanned, &published_set()).is_ok());
    assert_eq!(meta.version.to_size(), qr.size);
    Drawn { token_bytes: token.bytes().len(), characters: token.text().len(), version: (qr.size - 17) / 4 }
}

#[test]
fn a_token_fits_a_small_picture_that_a_decoder_reads() {
    let named = |network: &str, atm: &str, amount, replica| QrClaims {
        network: network.parse().unwrap(),
        atm: atm.parse().unwrap(),
        amount,
        replica,
        ..usual_claims()
    };
    // The figures of README.md.
    for (network, atm, amount, replica, bytes, characters, version) in [
        ("jcn", "TYO-0042", None, None, 143, 219, 8),
        ("jcn", "TYO-0042", Some(yen(30_000)), None, 152, 232, 9),
        ("jcn", "TYO-042", None, Some(2), 144, 220, 8),
        ("jcn", "TYO-0042", None, Some(2), 145, 222, 9),
        ("jcn", "TYO-0042", Some(yen(30_000)), Some(2), 154, 235, 9),
        ("japan-net", "TYO-00000042", None, None, 153, 234, 9),
        ("japan-net", "TYO-00000042", Some(yen(200_000)), None, 164, 250, 9),
        ("japan-net", "TYO-00000042", Some(yen(200_000)), Some(2), 166, 253, 9),
    ] {
        let drawn = draw_and_scan(&published()[0].mint(&named(network, atm, amount, replica)));
        assert_eq!(
            (drawn.token_bytes, drawn.characters, drawn.version),
            (bytes, characters, version),
            "{network} {atm}"
        );
    }
}

#[test]
fn the_longest_token_can_still_be_drawn() {
    let mut claims = usual_claims();
    claims.network = "n".repeat(64).parse().unwrap();
    claims.atm = "a".repeat(64).parse().unwrap();
    assert!(draw_and_scan(&published()[0].mint(&claims)).version <= 15);
    claims.amount = Some(yen(Money::MINOR_UNITS_MAX));
    let tokens = published()[0].mint_batch(&for_several(BATCH_MAX, &claims));
    let longest = tokens.iter().max_by_key(|token| token.text().len()).unwrap();
    assert_eq!(draw_and_scan(longest).version, 18, "README.md says so");
}

/// The batch sizes whose pictures are tried: every power of two, its neighbours and some between.
const TRIED: [usize; 21] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15, 16, 17, 24, 31, 32, 33, 48, 57, 63, 64];

#[test]
fn a_token_of_a_batch_of_any_size_is_read_back() {
    for count in TRIED {
        let tokens = published()[0].mint_batch(&for_several(count, &usual_claims()));
        for token in [&tokens[0], &tokens[count - 1]] {
            draw_and_scan(token);
        }
    }
}

#[test]
fn the_readme_says_how_large_the_picture_of_each_batch_is() {
    let readme = include_str!("../../README.md");
    for (from, to) in [(1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (33, 64)] {
        let sizes = |like: &QrClaims| -> [String; 3] {
            let drawn: Vec<Drawn> = [from, to].into_iter().map(|count| largest_of(count, like)).collect();
            let range = |figure: fn(&Drawn) -> usize| {
                let (least, most) =
                    (figure(&drawn[0]).min(figure(&drawn[1])), figure(&drawn[0]).max(figure(&drawn[1])));
                if least == most { most.to_string() } else { format!("{least}-{most}") }
            };
            let modules = drawn.iter().map(|drawn| drawn.version).max().unwrap() * 4 + 17;
            let version = format!("{} ({modules} x {modules})", range(|drawn| drawn.version));
            [range(|drawn| drawn.token_bytes), range(|drawn| drawn.characters), version]
        };
        let demo = QrClaims { network: "demo".parse().unwrap(), ..usual_claims() };
        let eight = QrClaims { network: "japannet".parse().unwrap(), ..usual_claims() };
        let with_amount = |claims: &QrClaims| QrClaims { amount: Some(yen(30_000)), ..claims.clone() };
        let batch = if from == to { from.to_string() } else { format!("{from}-{to}") };
        for (network, amount, like) in [
            ("demo", "none", demo.clone()),
            ("demo", "30,000 JPY", with_amount(&demo)),
            ("japannet", "none", eight.clone()),
            ("japannet", "30,000 JPY", with_amount(&eight)),
        ] {
            let [bytes, characters, version] = sizes(&like);
            let row = format!("| {batch} | `{network}` | {amount} | {bytes} | {characters} | {version} |");
            assert!(readme.contains(&row), "README.md lacks this row:\n{row}");
        }
    }
}

/// The largest token of a batch: a leaf index from 24 on takes a byte more.
fn largest_of(count: usize, like: &QrClaims) -> Drawn {
    let tokens = published()[0].mint_batch(&for_several(count, like));
    draw_and_scan(tokens.iter().max_by_key(|token| token.bytes().len()).unwrap())
}
