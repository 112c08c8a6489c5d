//! What a QR token costs to make and to verify, and how large its picture is: `cargo bench -p cashgate-qr --bench tokens`.
//!
//! Prints tables, or with `--json` the same as one line. Making is everything but the HSM's signature: claims to CBOR, leaf hash,
//! tree, proof, COSE_Sign1, base45. One thread.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a tool for developers may stop loudly")]
#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures and prints")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use cashgate_qr::{QrClaims, UnsignedBatch, verify};
use fast_qr::qr::QRBuilder;
use fast_qr::{ECL, Mode};
use serde_json::{Value, json};

#[path = "../tests/qr/test_keys.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod test_keys;

use test_keys::{for_several, published, published_set, usual_claims, yen};

const BATCHES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Each figure is the best of these: what the machine does when nobody disturbs it.
const ROUNDS: usize = 20;
const ROUND: Duration = Duration::from_millis(25);

fn main() {
    let make: Vec<(usize, u64)> = BATCHES.iter().map(|batch| (*batch, nanoseconds_to_make(*batch))).collect();
    let check = nanoseconds_to_check();
    let verify: Vec<(usize, u64)> = BATCHES.iter().map(|batch| (*batch, nanoseconds_to_verify(*batch))).collect();
    let pictures: Vec<Picture> = BATCHES
        .iter()
        .flat_map(|batch| {
            [("demo", None), ("demo", Some(30_000)), ("japannet", None), ("japannet", Some(30_000))]
                .map(|(network, amount)| Picture::of(*batch, network, amount))
        })
        .collect();
    if std::env::args().any(|argument| argument == "--json") {
        let by_batch = |figures: &[(usize, u64)]| -> Vec<Value> {
            figures.iter().map(|(batch, ns)| json!({ "batch": batch, "ns_per_token": ns })).collect()
        };
        println!(
            "{}",
            json!({
                "bench": "qr_tokens",
                "make": by_batch(&make),
                "check_signature_ns_per_batch": check,
                "verify": by_batch(&verify),
                "pictures": pictures.iter().map(Picture::json).collect::<Vec<_>>(),
            })
        );
        return;
    }
    println!("| batch | ns to make a token | tokens a second and thread | ns to verify a token |");
    println!("|---|---|---|---|");
    for ((batch, make), (_, verify)) in make.iter().zip(&verify) {
        println!("| {batch} | {make} | {} | {verify} |", 1_000_000_000 / make);
    }
    println!("\nChecking the HSM's signature before tokens leave: {check} ns a batch.\n");
    println!("| batch | network, ATM | amount | bytes | characters | QR version at level M | modules |");
    println!("|---|---|---|---|---|---|---|");
    for Picture { batch, network, amount, bytes, characters, version } in &pictures {
        let amount = amount.map_or("none".to_owned(), |yen| format!("{yen} JPY"));
        let modules = version * 4 + 17;
        println!(
            "| {batch} | {network}, TYO-0042 | {amount} | {bytes} | {characters} | {version} | {modules} x {modules} |"
        );
    }
}

fn claims(count: usize, network: &str, amount: Option<u64>) -> Vec<QrClaims> {
    for_several(count, &QrClaims { network: network.parse().unwrap(), amount: amount.map(yen), ..usual_claims() })
}

fn nanoseconds_to_make(batch: usize) -> u64 {
    let (claims, key_id) = (claims(batch, "demo", None), published()[0].key_id());
    let per_batch = best_of(|| {
        let unsigned = UnsignedBatch::new(black_box(&claims), key_id).unwrap();
        black_box(unsigned.digest());
        black_box(unsigned.signed_with(black_box([7; 64])));
    });
    per_batch / batch as u64
}

fn nanoseconds_to_check() -> u64 {
    let [key, _] = published();
    let unsigned = UnsignedBatch::new(&claims(64, "demo", None), key.key_id()).unwrap();
    let (public, signature) = (key.public(), key.sign_digest(unsigned.digest()));
    best_of(|| assert!(unsigned.is_signed_by(black_box(&public), black_box(&signature))))
}

fn nanoseconds_to_verify(batch: usize) -> u64 {
    let (tokens, keys) = (published()[0].mint_batch(&claims(batch, "demo", None)), published_set());
    best_of(|| {
        black_box(verify(black_box(&tokens[batch / 2].text()), &keys).unwrap());
    })
}

/// The shortest mean of several rounds, in nanoseconds a call.
fn best_of(mut call: impl FnMut()) -> u64 {
    let mut round = || {
        let (began, mut calls) = (Instant::now(), 0_u32);
        while began.elapsed() < ROUND {
            for _ in 0..16 {
                call();
            }
            calls += 16;
        }
        u64::try_from(began.elapsed().as_nanos()).unwrap() / u64::from(calls)
    };
    (0..ROUNDS).map(|_| round()).min().unwrap()
}

struct Picture {
    batch: usize,
    network: &'static str,
    amount: Option<u64>,
    bytes: usize,
    characters: usize,
    version: usize,
}

impl Picture {
    fn of(batch: usize, network: &'static str, amount: Option<u64>) -> Self {
        let tokens = published()[0].mint_batch(&claims(batch, network, amount));
        // A leaf index from 24 on takes a byte more: the largest of the batch.
        let largest = tokens.iter().max_by_key(|token| token.bytes().len()).unwrap();
        let qr = QRBuilder::new(largest.text()).mode(Mode::Alphanumeric).ecl(ECL::M).build().unwrap();
        let (bytes, characters) = (largest.bytes().len(), largest.text().len());
        Self { batch, network, amount, bytes, characters, version: (qr.size - 17) / 4 }
    }

    fn json(&self) -> Value {
        json!({
            "batch": self.batch,
            "network": self.network,
            "atm": "TYO-0042",
            "amount_yen": self.amount,
            "bytes": self.bytes,
            "characters": self.characters,
            "version": self.version,
            "modules": self.version * 4 + 17,
        })
    }
}
