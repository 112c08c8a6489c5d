//! A full disk: nobody new is served, and whoever is being served is served to the end.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;

use crate::harness::{Atm, Phone, Site, eventually, in_words, report_dispensed, yen};

const AMOUNT: i64 = 10_000;
/// Names the folder of the small disk to the test that runs on it.
const SMALL_DISK: &str = "CASHGATE_TEST_SMALL_DISK";
/// More than the ledger with its reserve.
const SMALL_DISK_SIZE: &str = "64m";
/// A disk up to this size may be filled for a moment even if it belongs to the whole container.
const CONTAINER_DISK_KIB_MAX: u64 = 128 * 1024;
/// How one comes to a mount namespace: as root, as anybody, or by sudo. Nothing that is mounted in it is seen outside or outlives it.
const NAMESPACES: [&[&str]; 3] = [&["unshare", "-m"], &["unshare", "-rm"], &["sudo", "-n", "unshare", "-m"]];

#[test]
fn on_a_full_disk_approvals_are_refused_and_outcomes_are_still_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().display().to_string();
    let mount = format!("mount -t tmpfs -o size={SMALL_DISK_SIZE} tmpfs {disk}");
    let may_mount = |namespace: &&&[&str]| succeeds(&[**namespace, &["sh", "-c", &mount]].concat());
    let exe = std::env::current_exe().unwrap().display().to_string();
    let run = format!("{SMALL_DISK}={disk} '{exe}' --exact on_file::disk::full::on_a_small_disk --ignored --nocapture");
    let passed = match NAMESPACES.iter().find(may_mount) {
        Some(namespace) => runs(&[*namespace, &["sh", "-c", &format!("{mount} && {run}")]].concat()),
        // A container without the right to mount has a small tmpfs all the same.
        None if is_small_tmpfs("/dev/shm") => {
            let shared = tempfile::tempdir_in("/dev/shm").unwrap();
            runs(&["sh", "-c", &run.replace(&disk, &shared.path().display().to_string())])
        }
        None => panic!(
            "this test needs a small disk of its own to fill: run it as root with CAP_SYS_ADMIN, or where `unshare -rm` may mount a \
             tmpfs (sysctl kernel.unprivileged_userns_clone=1; kernel.apparmor_restrict_unprivileged_userns=0), or with `sudo -n`"
        ),
    };
    assert!(passed, "see above what went wrong on the small disk");
}

#[tokio::test]
#[ignore = "the test above runs it, on a small disk"]
async fn on_a_small_disk() {
    let disk = std::env::var(SMALL_DISK).expect("the test above says where the small disk is");
    let ledger = Path::new(&disk).join("ledger.db");
    let mut site = Site::ready_with(&[("ledger.path", &ledger.display().to_string())]).await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut other = Atm::connect(&site, "A2").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, AMOUNT).await;
    let command = atm.is_commanded().await;
    let shown = other.shows_code().await;
    phone.scan(&shown.qr_text).await.unwrap();

    let stuffing = Path::new(&disk).join("stuffing");
    fill_up(&stuffing);
    atm.says(Message::Outcome(report_dispensed(&command))).await;
    atm.hears_it_recorded(&withdrawal_id).await;
    let states = phone.watch_to_end(&withdrawal_id).await;
    assert_eq!(states.last(), Some(&WithdrawalState::Confirmed), "{states:?}");
    assert_eq!(site.core_bank.call_names(&withdrawal_id), ["place".to_owned(), format!("confirm {AMOUNT}")]);

    // The log may have room of its own from before; phones use that up.
    let mut number = 0;
    let refused = eventually("no phone can be registered any more", async || {
        number += 1;
        let mut another = Phone::unknown(&site, "sakura", &format!("phone-1{number}"), "acct-1").await;
        another.bank.register_device(another.registration()).await.err()
    });
    assert_eq!(in_words(&refused.await), "Unavailable LEDGER_FULL");
    let holds_before = site.core_bank.call_count();
    let approval = phone.approval(&shown.qr_text, &yen(AMOUNT));
    let refused = phone.bank.approve(approval.clone()).await.expect_err("nobody new is served");
    assert_eq!(in_words(&refused), "Unavailable LEDGER_FULL");
    assert_eq!(site.core_bank.call_count(), holds_before, "and no hold was asked for");

    fs::remove_file(&stuffing).unwrap();
    let approved = eventually("with room on the disk approvals are accepted again", async || {
        phone.bank.approve(approval.clone()).await.ok()
    });
    let second = approved.await.into_inner().withdrawal_id;
    other.pays_out().await;
    let states = phone.watch_to_end(&second).await;
    assert_eq!(states.last(), Some(&WithdrawalState::Confirmed), "{states:?}");

    site.ask_to_stop();
    assert!(site.ended().await.success(), "it never stopped by itself, and stops in order now");
}

/// Writes until there is no room for another byte.
fn fill_up(file: &Path) {
    let mut stuffing = File::create(file).unwrap();
    for size in [1 << 20, 4096, 1] {
        let piece = vec![0xa5; size];
        let full = loop {
            if let Err(error) = stuffing.write_all(&piece) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull, "{full}");
    }
}

fn succeeds(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a command whose output may be seen.
fn runs(words: &[&str]) -> bool {
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output().unwrap();
    eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

fn is_small_tmpfs(folder: &str) -> bool {
    let Ok(df) = Command::new("df").args(["-k", "--output=fstype,size", folder]).output() else { return false };
    let text = String::from_utf8_lossy(&df.stdout).into_owned();
    let mut words = text.lines().nth(1).unwrap_or_default().split_whitespace();
    let is_tmpfs = words.next() == Some("tmpfs");
    is_tmpfs && words.next().and_then(|size| size.parse::<u64>().ok()).is_some_and(|kib| kib <= CONTAINER_DISK_KIB_MAX)
}
