//! Rules and limits that are published through the ledger: made durable there, and in force here.
//!
//! The latest publication that this version understands holds. One that it does not understand changes nothing here: what held goes on, an
//! error is logged, `cashgate_publication_latest` runs ahead of `cashgate_publication_in_force`, and an alert says so. Such a replica stays
//! ready: codes name the replica that shows them, so it would decide about its machines' customers all the same.

mod folder;
mod nothing;
mod refusal;
mod rules;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cashgate_ledger::{AppendError, Ledger, LedgerReader, Publication, ReadError, StoredPublication};
use cashgate_wire::publications::{self, Files};
use cashgate_withdrawal::ids::OperatorName;
use cashgate_withdrawal::notice::{Happening, Notice};

pub use folder::{FolderError, read_folder, write_folder};
pub use nothing::NothingPublished;
pub use refusal::PublishRefusal;
pub use rules::{Fit, LIMITS, PublishedError, check, read};

use crate::admission::{Rulebook, Rules};
use crate::config::{Config, Institution, PolicySource};
use crate::metrics::Metrics;
use crate::notice_board::in_ledger;
use crate::reloading::{self, RulesError};
use crate::{clock, ledger_reads};

/// How often a number is taken anew because another operator was quicker.
const TRIES: u32 = 5;

/// Which publications are known here, by their numbers; 0: none.
#[derive(Debug, Default)]
pub struct Standing {
    latest: AtomicU64,
    in_force: AtomicU64,
}

impl Standing {
    /// The latest that was seen.
    #[must_use]
    pub fn latest(&self) -> u64 {
        self.latest.load(Ordering::Acquire)
    }

    /// The one that holds.
    #[must_use]
    pub fn in_force(&self) -> u64 {
        self.in_force.load(Ordering::Acquire)
    }

    fn saw(&self, latest: u64) {
        self.latest.fetch_max(latest, Ordering::AcqRel);
    }
}

/// What is there at a start: the rules that hold, and which publication they are of.
#[derive(Debug)]
pub struct AtStart {
    /// What holds.
    pub rules: Rules,
    /// What is known of publications.
    pub standing: Arc<Standing>,
}

/// Why there are no rules to start with.
#[derive(Debug, thiserror::Error)]
pub enum NoRules {
    /// The files are not fit to hold.
    #[error(transparent)]
    Files(#[from] RulesError),
    /// The ledger cannot be read, or is damaged.
    #[error(transparent)]
    Ledger(#[from] ReadError),
}

impl AtStart {
    /// The rules that hold at a start, from where the configuration says. Blocking.
    ///
    /// # Errors
    /// There are none.
    pub fn read(config: &Config, reader: &LedgerReader) -> Result<Self, NoRules> {
        match config.policy.source {
            PolicySource::Files => Ok(Self { rules: reloading::rules(config)?, standing: Arc::default() }),
            PolicySource::Ledger => {
                let mut at_start = from_ledger(config, reader)?;
                at_start.rules.shadow = reloading::shadow(config);
                Ok(at_start)
            }
        }
    }
}

/// The newest publication that is fit to hold here. With none, everything is refused.
fn from_ledger(config: &Config, reader: &LedgerReader) -> Result<AtStart, ReadError> {
    let standing = Arc::<Standing>::default();
    let newest = newest_fit(reader, &config.institutions, 0)?;
    standing.saw(newest.latest);
    let rules = match newest.fit {
        Some((number, fit)) => {
            standing.in_force.store(number, Ordering::Release);
            rules_of(fit)
        }
        None => {
            tracing::error!(
                latest = newest.latest,
                "rules come from the ledger, and nothing is published there that can hold: every withdrawal is refused; \
                 publish with `cashgate policy publish`"
            );
            Rules::new(Arc::new(NothingPublished), &config.institutions)
        }
    };
    Ok(AtStart { rules, standing })
}

fn rules_of(fit: Fit) -> Rules {
    let mut rules = Rules::new(Arc::new(fit.policy), &fit.institutions);
    rules.atm_caps = fit.atm_caps;
    rules
}

struct Newest {
    latest: u64,
    fit: Option<(u64, Fit)>,
}

/// The newest publication above a number that is fit to hold here; what is wrong with each above it is said loudly.
fn newest_fit(reader: &LedgerReader, served: &[Institution], above: u64) -> Result<Newest, ReadError> {
    let latest = reader.publications()?.last().map_or(0, |last| last.number);
    for number in (above.saturating_add(1)..=latest).rev() {
        let Some((_, body)) = reader.publication(number)? else { continue };
        let files = publications::decode(&body).map_err(|error| PublishedError::Unreadable(error.to_string()));
        match files.and_then(|files| read(served, number, &files)) {
            Ok(fit) => return Ok(Newest { latest, fit: Some((number, fit)) }),
            Err(error) => tracing::error!(
                number,
                "a publication cannot hold here, and what held before goes on; upgrade this gateway, or publish a set that it understands: {error}"
            ),
        }
    }
    Ok(Newest { latest, fit: None })
}

/// What came of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its number.
    pub number: u64,
    /// The version of its rules.
    pub version: String,
    /// Whether it holds here.
    pub in_force: bool,
}

/// Publishes, and has what was published hold here.
#[derive(Clone, Debug)]
pub struct Publisher {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    ledger: Ledger,
    served: Vec<Institution>,
    source: PolicySource,
    rulebook: Arc<Rulebook>,
    standing: Arc<Standing>,
    metrics: Metrics,
    /// One at a time: a later publication is not replaced by an earlier one that took longer to read.
    taking: tokio::sync::Mutex<()>,
}

impl Publisher {
    /// A publisher over what the gateway was started with.
    #[must_use]
    pub fn new(
        config: &Config,
        ledger: Ledger,
        rulebook: Arc<Rulebook>,
        standing: Arc<Standing>,
        metrics: Metrics,
    ) -> Self {
        let (served, source) = (config.institutions.clone(), config.policy.source);
        let taking = tokio::sync::Mutex::default();
        Self { parts: Arc::new(Parts { ledger, served, source, rulebook, standing, metrics, taking }) }
    }

    /// Whether rules and limits come from the ledger here.
    #[must_use]
    pub fn is_source(&self) -> bool {
        self.parts.source == PolicySource::Ledger
    }

    /// What is known of publications.
    #[must_use]
    pub fn standing(&self) -> &Standing {
        &self.parts.standing
    }

    /// Publishes a set that is fit to hold, after a certain publication or after whatever is the latest. Must be carried to its end once begun: run it
    /// in a task of its own.
    ///
    /// # Errors
    /// [`PublishRefusal`]: except for [`PublishRefusal::Unanswered`], nothing was published.
    pub async fn publish(
        &self,
        operator: &OperatorName,
        note: String,
        after: Option<u64>,
        files: Files,
    ) -> Result<Published, PublishRefusal> {
        let (files, mut tries) = (Arc::new(files), 0);
        let (number, version) = loop {
            tries += 1;
            let latest = self.read(|reader| Ok(reader.publications()?.last().map_or(0, |last| last.number))).await?;
            if after.is_some_and(|after| after != latest) {
                return Err(PublishRefusal::Taken { latest });
            }
            let number = latest.saturating_add(1);
            let version = self.checked(number, Arc::clone(&files)).await?;
            let (at, actor) = (clock::now(), operator.to_string());
            let happening = Happening::RulesPublished {
                number,
                version: version.clone(),
                actor: format!("operator/{actor}"),
                note: note.clone(),
            };
            let notice = in_ledger(&Notice { at, what: happening });
            let body = publications::encode(&files);
            let publication = Publication { at, actor, note: note.clone(), version: version.clone(), body };
            match self.parts.ledger.publish(number, publication, notice).await {
                Ok(_) => break (number, version),
                Err(AppendError::PublicationTaken { .. }) if after.is_none() && tries < TRIES => {}
                Err(error) => return Err(error.into()),
            }
        };
        self.parts.metrics.noticed(Publication::NOTICE_KIND);
        tracing::warn!(number, version, %operator, "rules and limits were published");
        if self.is_source() {
            // It is published all the same.
            if let Err(error) = self.follow().await {
                tracing::error!(
                    error,
                    number,
                    "what was just published cannot be read back, and does not hold here yet"
                );
            }
        }
        Ok(Published { in_force: self.standing().in_force() >= number, number, version })
    }

    async fn checked(&self, number: u64, files: Arc<Files>) -> Result<String, PublishRefusal> {
        let parts = Arc::clone(&self.parts);
        let checking = tokio::task::spawn_blocking(move || check(&parts.served, number, &files));
        let fit = checking.await.map_err(|error| PublishRefusal::Ledger(error.to_string()))??;
        Ok(fit.policy.version().to_owned())
    }

    /// Has the latest publication hold here, if it is not known yet and is fit to, and if rules come from the ledger here.
    ///
    /// # Errors
    /// The ledger cannot be read: to be asked for again.
    pub async fn follow(&self) -> Result<(), String> {
        if !self.is_source() {
            return Ok(());
        }
        let _one_at_a_time = self.parts.taking.lock().await;
        let (parts, seen) = (Arc::clone(&self.parts), self.standing().latest());
        let read = move |reader: &LedgerReader| match newest_fit(reader, &parts.served, seen) {
            Err(ReadError::Damaged(damage)) => Ok(Err(damage)),
            other => other.map(Ok),
        };
        let newest = match self.read_or(read).await? {
            Ok(newest) => newest,
            // Reading it again would not mend it.
            Err(damage) => {
                self.parts.metrics.reloaded("refused");
                tracing::error!(
                    "what was published cannot be read, and what held before goes on: the ledger is damaged: {damage}"
                );
                return Ok(());
            }
        };
        self.standing().saw(newest.latest);
        match newest.fit {
            Some((number, fit)) => {
                let version = fit.policy.version().to_owned();
                let rules = rules_of(fit);
                self.parts.rulebook.revise(|before| Rules { shadow: before.shadow.clone(), ..rules });
                self.parts.standing.in_force.store(number, Ordering::Release);
                self.parts.metrics.reloaded("taken");
                tracing::warn!(number, version, "published rules and limits hold from now on");
            }
            None if newest.latest > seen => self.parts.metrics.reloaded("refused"),
            None => {}
        }
        Ok(())
    }

    /// What was published, oldest first.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub async fn publications(&self) -> Result<Vec<StoredPublication>, PublishRefusal> {
        self.read(LedgerReader::publications).await
    }

    /// A publication with its files; the latest for 0.
    ///
    /// # Errors
    /// There is none, or the ledger cannot be read.
    pub async fn publication(&self, number: u64) -> Result<(StoredPublication, Files), PublishRefusal> {
        let read = move |reader: &LedgerReader| match number {
            0 => reader.latest_publication(),
            number => reader.publication(number),
        };
        let (publication, body) = self.read(read).await?.ok_or(PublishRefusal::Unknown(number))?;
        let files = publications::decode(&body).map_err(|error| PublishRefusal::Ledger(error.to_string()))?;
        Ok((publication, files))
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&LedgerReader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, PublishRefusal> {
        self.read_or(query).await.map_err(PublishRefusal::Ledger)
    }

    async fn read_or<T: Send + 'static>(
        &self,
        query: impl FnOnce(&LedgerReader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, String> {
        ledger_reads::read(self.parts.ledger.reader(), query).await
    }
}
