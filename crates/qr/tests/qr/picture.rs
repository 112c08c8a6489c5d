//! The token as a picture: small enough for an ATM's screen, and a decoder that we did not write reads it back.

use cashgate_qr::{QrClaims, verify};
use fast_qr::qr::QRBuilder;
use fast_qr::{ECL, Mode};

use super::test_keys::{published, published_set, usual_claims, yen};

struct Drawn {
    token_bytes: usize,
    characters: usize,
    version: usize,
}

fn draw_and_scan(claims: &QrClaims) -> Drawn {
    let token = published()[0].mint(claims);
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
    let named = |network: &str, atm: &str, amount| QrClaims {
        network: network.parse().unwrap(),
        atm: atm.parse().unwrap(),
        amount,
        ..usual_claims()
    };
    // The figures of README.md.
    for (network, atm, amount, bytes, characters, version) in [
        ("jcn", "TYO-0042", None, 143, 219, 8),
        ("jcn", "TYO-0042", Some(yen(30_000)), 152, 232, 9),
        ("japan-net", "TYO-00000042", None, 153, 234, 9),
        ("japan-net", "TYO-00000042", Some(yen(200_000)), 164, 250, 9),
    ] {
        let drawn = draw_and_scan(&named(network, atm, amount));
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
    assert!(draw_and_scan(&claims).version <= 15);
}
