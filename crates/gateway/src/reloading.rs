//! Policies and limits are read again when they change on disk: whole and valid, or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cashgate_policy::{PolicyError, PolicySet};

use crate::admission::{Policy, Rulebook, Rules};
use crate::config::{Config, ConfigError, Institution, PolicySource};
use crate::fingerprint::Fingerprint;
use crate::metrics::Metrics;

/// Why rules were not taken.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The set that is to decide.
    #[error("{0}")]
    Policy(#[from] PolicyError),
}

/// The rules of a configuration: policies read and checked, their cases run. A set that is only to be tried is not worth stopping for.
///
/// # Errors
/// The set that is to decide is not fit to, with everything that is wrong with it.
pub fn rules(config: &Config) -> Result<Rules, RulesError> {
    let policy = match &config.policy.folder {
        None => PolicySet::builtin(),
        Some(folder) => PolicySet::from_dir(folder),
    }?;
    let mut rules = Rules::new(Arc::new(policy), &config.institutions);
    rules.atm_caps = config.atm_limits;
    rules.shadow = shadow(config);
    Ok(rules)
}

/// The set that is only tried, if there is one that is fit to be.
#[must_use]
pub fn shadow(config: &Config) -> Option<Arc<dyn Policy>> {
    match PolicySet::from_dir(config.policy.shadow_folder.as_ref()?) {
        Ok(shadow) => {
            tracing::info!(version = shadow.version(), "a shadow policy set is tried on live traffic");
            Some(Arc::new(shadow))
        }
        Err(error) => {
            tracing::error!("the shadow policy set is not fit to be tried, and none is: {error}");
            None
        }
    }
}

/// What rules were read from, and how it looked when they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen([u8; 32]);

impl Seen {
    /// As it looks now. To be taken before the rules are read: what changes in between is then read again.
    #[must_use]
    pub fn now(config: &Config) -> Self {
        Self(fingerprint(config))
    }
}

/// Looks at the files behind the rules every so often, and has changed ones hold if they are valid. What is wrong with them is said once, loudly, and
/// the rules that hold go on holding. Files must look the same twice before they are read: somebody may be copying them.
pub async fn watch(config: Config, mut seen: Seen, rulebook: Arc<Rulebook>, metrics: Metrics) {
    let mut last = seen;
    loop {
        tokio::time::sleep(config.policy.check_every).await;
        let (running, book) = (config.clone(), Arc::clone(&rulebook));
        let looked = tokio::task::spawn_blocking(move || {
            let now = Seen::now(&running);
            if now == seen || now != last {
                return (now, None);
            }
            (now, Some(replace(&running, now, &book)))
        });
        let replaced = match looked.await {
            Ok((now, replaced)) => {
                last = now;
                replaced
            }
            Err(error) => {
                tracing::error!(%error, "policies and limits could not be read again");
                continue;
            }
        };
        match replaced {
            // Nothing new, or not yet at rest.
            None | Some(Ok(None)) => continue,
            Some(Ok(Some(version))) => {
                metrics.reloaded("taken");
                tracing::warn!(version, "policies and limits were read again and hold from now on");
            }
            Some(Err(error)) => {
                metrics.reloaded("refused");
                tracing::error!(
                    "policies and limits changed on disk and are not fit to hold; those from before go on: {error}"
                );
            }
        }
        seen = last;
    }
}

/// Reads everything again and has it hold, unless it changed meanwhile. Institutions come and go with a restart only, as does all else of the
/// configuration.
///
/// With rules from the ledger, the set that is only tried is all that comes from files.
fn replace(running: &Config, seen: Seen, rulebook: &Rulebook) -> Result<Option<String>, RulesError> {
    if running.policy.source == PolicySource::Ledger {
        let shadow = shadow(running);
        if Seen::now(running) != seen {
            return Ok(None);
        }
        rulebook.revise(|before| Rules { shadow, ..before.clone() });
        return Ok(Some(rulebook.current().policy.version().to_owned()));
    }
    let now = Config::load(&running.file)?;
    if now.policy.source != running.policy.source {
        // What such a configuration leaves out is not what is to hold: until the restart that takes it, nothing changes.
        tracing::error!("another policy.source takes a restart: the rules and limits from before go on until then");
        return Ok(None);
    }
    let institutions = with_figures_of(&running.institutions, &now.institutions);
    if now.policy != running.policy {
        tracing::error!("other folders under [policy] take a restart: rules still come from those of the start");
    }
    let rules = rules(&Config { institutions, policy: running.policy.clone(), ..now })?;
    if Seen::now(running) != seen {
        return Ok(None);
    }
    let version = rules.policy.version().to_owned();
    rulebook.replace(rules);
    Ok(Some(version))
}

/// The institutions that are served, with the figures that the file has now.
fn with_figures_of(running: &[Institution], now: &[Institution]) -> Vec<Institution> {
    for added in now.iter().filter(|one| running.iter().all(|before| before.id != one.id)) {
        tracing::warn!(institution = %added.id, "is new: that takes a restart");
    }
    let figures = |before: &Institution| match now.iter().find(|one| one.id == before.id) {
        Some(now) if now.currency == before.currency && now.time_zone == before.time_zone => Institution {
            limits: now.limits.clone(),
            failed_attempts_max: now.failed_attempts_max,
            evidence_demanded: now.evidence_demanded,
            ..before.clone()
        },
        _ => {
            tracing::warn!(institution = %before.id, "is gone, or has another currency or time zone: that takes a restart");
            before.clone()
        }
    };
    running.iter().map(figures).collect()
}

/// A digest over every file that rules come from.
fn fingerprint(config: &Config) -> [u8; 32] {
    let mut fingerprint = Fingerprint::new();
    if config.policy.source == PolicySource::Files {
        fingerprint.add(&config.file);
    }
    for folder in config.policy.folder.iter().chain(&config.policy.shadow_folder) {
        match files_in(folder) {
            Ok(found) => found.iter().for_each(|file| fingerprint.add(file)),
            Err(error) => fingerprint.add_error(&error),
        }
    }
    fingerprint.finish()
}

fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.is_file());
    files.sort();
    Ok(files)
}
