//! Phones, each with an account and a key of its own, and the app back end through which all of them speak.

use std::path::Path;
use std::sync::Arc;

use cashgate_fleet::clock::unix_ms;
use cashgate_fleet::phone::{App, Phone, PhoneError, Registration};
use cashgate_fleet::rpc_error::why;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::Channel;

/// Registrations in flight; each waits for the gateway's disk.
const AT_ONCE: usize = 64;
/// How long ago the bank bound its customers' phones, and the thieves'.
const ESTABLISHED_MS: i64 = 400 * 24 * 3_600_000;
const NEW_MS: i64 = 60_000;
/// The activation channel of phones that stand for established ones. A gateway that has never seen a phone calls it new, whatever its bank says; the
/// rules of a site for load tests tell the two apart by this word, so that they are evaluated as they are for customers of years.
pub(crate) const ESTABLISHED: &str = "established";

/// A phone, its account and its way to the gateway.
#[derive(Debug)]
pub(crate) struct Customer {
    pub(crate) phone: Phone,
    pub(crate) account: String,
    pub(crate) app: App,
}

/// Why phones could not be made known.
#[derive(Debug, thiserror::Error)]
pub enum PhonesError {
    /// A key.
    #[error(transparent)]
    Phone(#[from] PhoneError),
    /// The gateway said no.
    #[error(
        "the gateway did not register {device}: {}. Is {certificate} the app back end's certificate of an institution that the gateway knows?",
        why(status)
    )]
    Refused {
        /// Which phone.
        device: String,
        /// Whose certificate was shown.
        certificate: String,
        /// What it said.
        status: Box<Status>,
    },
    /// A task died.
    #[error("a registration died: {0}")]
    Died(#[from] tokio::task::JoinError),
}

/// The accounts of customers or thieves: `prefix-00001` and so on.
pub(crate) fn accounts(prefix: &str, count: u32) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix}-{number:06}")).collect()
}

/// Makes a phone for every account and has the gateway know it. Keys lie in a folder if there is one, so that the same phones are there again for a later
/// run; they are made anew otherwise.
pub(crate) async fn register(
    institution: &str,
    accounts: &[String],
    channels: &[Channel],
    established: bool,
    keys: Option<&Path>,
) -> Result<Vec<Arc<Customer>>, PhonesError> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut registering = JoinSet::new();
    for (account, channel) in accounts.iter().zip(channels.iter().cycle()) {
        let device = format!("phone-{account}");
        let phone = match keys {
            Some(folder) => Phone::open_or_make(folder, institution, &device)?,
            None => Phone::ephemeral(institution, &device)?,
        };
        let app = App::new(channel.clone(), &device);
        let customer = Customer { phone, account: account.clone(), app };
        let (permits, institution) = (Arc::clone(&permits), institution.to_owned());
        registering.spawn(async move {
            // The semaphore is never closed.
            let _permit = permits.acquire_owned().await;
            customer.registered(&institution, established).await
        });
    }
    let mut customers = Vec::new();
    while let Some(done) = registering.join_next().await {
        customers.push(Arc::new(done??));
    }
    customers.sort_by(|a, b| a.account.cmp(&b.account));
    Ok(customers)
}

impl Customer {
    async fn registered(self, institution: &str, established: bool) -> Result<Self, PhonesError> {
        let (age, channel) = if established { (ESTABLISHED_MS, ESTABLISHED) } else { (NEW_MS, "online") };
        let registration = Registration {
            public_key: self.phone.public_key()?,
            bound_at_unix_ms: unix_ms().saturating_sub(age),
            activation_channel: channel.to_owned(),
            attestation: Some(true),
        };
        let registered = self.app.clone().register(registration).await;
        registered.map_err(|status| PhonesError::Refused {
            device: self.phone.device_id().to_owned(),
            certificate: format!("institution-{institution}.pem"),
            status: Box::new(status),
        })?;
        Ok(self)
    }
}
