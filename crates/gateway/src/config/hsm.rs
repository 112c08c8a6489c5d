//! The table `[hsm]`: which HSM slots there are, and how patient the gateway is with them.

use std::path::PathBuf;
use std::time::Duration;

use cashgate_hsm::{BATCH_MAX, HsmConfig, HsmSlot, Pin, QUEUE_MAX, WORKERS_MAX};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::reader::Reader;

/// What the configuration says of the HSMs.
#[derive(Clone, Debug)]
pub struct HsmSection {
    /// The slots, at least one.
    pub slots: Vec<SlotSection>,
    /// The label of the key that signs QR tokens until another is rotated in.
    pub signing_key_label: String,
    /// How many HSM sessions a slot.
    pub workers: usize,
    /// How many calls may wait.
    pub queue: usize,
    /// The most QR tokens under one signature.
    pub batch_max: usize,
    /// How long one PKCS#11 call may take.
    pub call_deadline: Duration,
    /// How long a caller waits, queue and recovery included.
    pub patience: Duration,
    /// The first pause between attempts to open a lost HSM, and the longest.
    pub retry: (Duration, Duration),
    /// How long a new key is published before it signs.
    pub publish_before_use: Duration,
    /// Environment variables that the modules read, such as `SOFTHSM2_CONF`.
    pub environment: Vec<(String, String)>,
}

/// One HSM slot.
#[derive(Clone, Debug)]
pub struct SlotSection {
    /// The PKCS#11 module.
    pub module: PathBuf,
    /// The HSM token's label.
    pub token_label: String,
    /// Where the PIN is.
    pub pin: PinSource,
}

/// Where a PIN is kept. Never in the configuration itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinSource {
    /// In a file, which is read at every login.
    File(PathBuf),
    /// In an environment variable.
    Environment(String),
}

impl PinSource {
    /// Reads the PIN.
    ///
    /// # Errors
    /// One line that names the file or the variable.
    pub fn read(&self) -> Result<SecretString, String> {
        let text = Zeroizing::new(match self {
            Self::File(file) => std::fs::read_to_string(file)
                .map_err(|error| format!("hsm.pin_file {} cannot be read: {error}", file.display()))?,
            Self::Environment(name) => std::env::var(name)
                .map_err(|_| format!("hsm.pin_env: the environment variable {name} is not set, or not UTF-8"))?,
        });
        Ok(SecretString::from(text.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

impl HsmSection {
    /// As the HSM crate wants it.
    #[must_use]
    pub fn to_config(&self) -> HsmConfig {
        let slot = |slot: &SlotSection| {
            let pin = slot.pin.clone();
            HsmSlot {
                module: slot.module.clone(),
                token_label: slot.token_label.clone(),
                pin: Pin::read_by(move || pin.read()),
            }
        };
        HsmConfig {
            slots: self.slots.iter().map(slot).collect(),
            signing_key_label: self.signing_key_label.clone(),
            workers: self.workers,
            queue: self.queue,
            batch_max: self.batch_max,
            call_deadline: self.call_deadline,
            patience: self.patience,
            retry_first: self.retry.0,
            retry_max: self.retry.1,
        }
    }
}

/// Reads `[hsm]`. A slot's keys stand in the table itself if there is one slot, or in `[[hsm.slot]]` tables, where what is left out is taken from
/// the table itself.
pub(super) fn read(root: &Reader) -> Option<HsmSection> {
    let hsm = root.table("hsm");
    let small = |key, default, range| hsm.number(key, Some(default), range).and_then(|n| usize::try_from(n).ok());
    let max = |most: usize| u64::try_from(most).unwrap_or(u64::MAX);
    let slots = read_slots(&hsm);
    let signing_key_label = hsm.text("signing_key_label");
    let (workers, queue) = (small("workers", 4, 1..=max(WORKERS_MAX)), small("queue", 4_096, 1..=max(QUEUE_MAX)));
    let batch_max = small("batch_max", max(BATCH_MAX), 1..=max(BATCH_MAX));
    let call_deadline = hsm.milliseconds("call_deadline_ms", Duration::from_secs(2), 10..=60_000);
    let patience = hsm.milliseconds("patience_ms", Duration::from_secs(4), 10..=120_000);
    let retry_first = hsm.milliseconds("retry_first_ms", Duration::from_millis(200), 1..=60_000);
    let retry_max = hsm.milliseconds("retry_max_ms", Duration::from_secs(15), 1..=600_000);
    let publish_before_use = hsm.seconds("publish_before_use_s", Duration::from_secs(3_600), 0..=86_400);
    let environment = hsm.texts("environment");
    if patience.zip(call_deadline).is_some_and(|(patience, call)| patience < call) {
        hsm.error("patience_ms", "is less than call_deadline_ms");
    }
    if retry_max.zip(retry_first).is_some_and(|(max, first)| max < first) {
        hsm.error("retry_max_ms", "is less than retry_first_ms");
    }
    hsm.close();
    Some(HsmSection {
        slots: slots?,
        signing_key_label: signing_key_label?,
        workers: workers?,
        queue: queue?,
        batch_max: batch_max?,
        call_deadline: call_deadline?,
        patience: patience?,
        retry: (retry_first?, retry_max?),
        publish_before_use: publish_before_use?,
        environment,
    })
}

fn read_slots(hsm: &Reader) -> Option<Vec<SlotSection>> {
    let tables = hsm.tables("slot");
    if tables.is_empty() {
        let (module, token_label, pin) = (read_module(hsm), hsm.text("token_label"), read_pin(hsm));
        return Some(vec![SlotSection { module: module?, token_label: token_label?, pin: pin? }]);
    }
    if hsm.has("token_label") {
        hsm.error("token_label", "belongs into each [[hsm.slot]]");
    }
    let shared_module = hsm.has("module").then(|| read_module(hsm)).flatten();
    let shared_pin = has_pin(hsm).then(|| read_pin(hsm)).flatten();
    let mut slots: Vec<Option<SlotSection>> = Vec::new();
    for table in &tables {
        let module =
            if table.has("module") || shared_module.is_none() { read_module(table) } else { shared_module.clone() };
        let pin = if has_pin(table) || shared_pin.is_none() { read_pin(table) } else { shared_pin.clone() };
        let token_label = table.text("token_label");
        table.close();
        slots.push(module.zip(pin).zip(token_label).map(|((module, pin), token_label)| {
            if slots.iter().flatten().any(|earlier| earlier.token_label == token_label && earlier.module == module) {
                table.error("token_label", format!("{token_label:?} is there twice"));
            }
            SlotSection { module, token_label, pin }
        }));
    }
    slots.into_iter().collect()
}

fn read_module(table: &Reader) -> Option<PathBuf> {
    table.existing_file("module", "install the vendor's package (Debian: softhsm2), or correct the name")
}

fn has_pin(table: &Reader) -> bool {
    table.has("pin_file") || table.has("pin_env")
}

fn read_pin(table: &Reader) -> Option<PinSource> {
    if !table.has("pin_env") {
        let file =
            table.existing_file("pin_file", "write the HSM token's PIN into it (mode 0600), or correct the name");
        return file.map(PinSource::File);
    }
    if table.has("pin_file") {
        table.error("pin_env", "stands beside pin_file: the PIN has one place");
        // Read, so that it is not reported as unknown too.
        let _ = table.file("pin_file");
    }
    let name = table.text("pin_env")?;
    if table.wants_what_is_named() && std::env::var_os(&name).is_none() {
        table.error("pin_env", format!("the environment variable {name} is not set"));
    }
    Some(PinSource::Environment(name))
}
