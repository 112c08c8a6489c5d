//! Sets of rules and limits, and a configuration that takes them from the ledger.

use std::fs;

use cashgate_ledger::{Notice, Publication};
use cashgate_wire::publications::{Files, encode};
use cashgate_withdrawal::time::Timestamp;

use super::Site;

/// A rule that permits whatever no other rule forbids.
pub(crate) const PERMIT: &str = "permit (principal, action == Action::\"withdraw\", resource);\n";

/// Rules with a house rule about the amount.
pub(crate) fn no_more_than(yen: u32) -> String {
    forbid("house_rule", &format!("context.amount > {yen}"))
}

/// Rules that forbid something, for a reason of that name.
pub(crate) fn forbid(reason: &str, when: &str) -> String {
    format!(
        "{PERMIT}@reason(\"{reason}\")\nforbid (principal, action == Action::\"withdraw\", resource)\nwhen {{ {when} }};\n"
    )
}

impl Site {
    /// Has later starts take rules and limits from the ledger.
    pub(crate) fn take_rules_from_ledger(&self) {
        self.edit_configuration(|text| {
            let mut kept = Vec::new();
            let mut is_limits = false;
            for line in text.lines() {
                if line.starts_with('[') {
                    is_limits = line.contains("institution.limits") || line.starts_with("[atm_limits");
                }
                if !is_limits {
                    kept.push(if line.starts_with("folder =") { "source = \"ledger\"" } else { line });
                }
            }
            kept.join("\n") + "\n"
        });
    }

    /// A folder with one file of rules, and limits as this harness has them, of so much a day.
    pub(crate) fn write_set(&self, folder: &str, rules: &str, per_day: u32) {
        let folder = self.path(folder);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("own.cedar"), rules).unwrap();
        let limits = ["sakura", "fuji"].map(|id| {
            format!(
                "[[institution]]\nid = \"{id}\"\n[institution.limits]\nper_withdrawal = {per_day}\nper_day = {per_day}\n\
                 withdrawals_per_day = 255\nwithdrawals_per_24h = 255\nburst = 1000\nnew_device = []\n"
            )
        });
        fs::write(folder.join("limits.toml"), limits.concat()).unwrap();
    }

    /// `cashgate policy publish`: what it said, or why not.
    pub(crate) fn publish(&self, folder: &str, more: &[&str]) -> Result<String, String> {
        let (folder, configuration) = (self.path(folder).display().to_string(), self.configuration());
        let mut arguments = vec!["policy", "publish", &folder, "--config", &configuration];
        arguments.extend(more);
        let output = self.run(&arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Publishes what a later version of the program understands and this one does not.
    pub(crate) async fn publish_of_tomorrow(&self, number: u64) {
        let rules = "permit (principal, action, resource) when { context.fact_of_tomorrow };\n";
        let files: Files =
            [("own.cedar", rules), ("limits.toml", "")].map(|(name, text)| (name.to_owned(), text.into())).into();
        let at = Timestamp::from_unix_ms(1_900_000_000_000);
        let publication = Publication {
            at,
            actor: "mori".to_owned(),
            note: String::new(),
            version: format!("published-{number}-tomorrow"),
            body: encode(&files),
        };
        let notice = Notice { at, kind: Publication::NOTICE_KIND, institution: None, body: vec![1] };
        let ledger = self.ledger_as_another_program();
        ledger.publish(number, publication, notice).await.unwrap();
        ledger.close().await.unwrap();
    }
}
