//! Policies and limits are read again when they change on disk: whole and valid, or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use cashgate_policy::{PolicyError, PolicySet};

use crate::admission::{Rulebook, Rules};
use crate::config::{Config, ConfigError, Institution};
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
    /// The set that is only to be tried.
    #[error("the shadow set: {0}")]
    Shadow(PolicyError),
}

/// The rules of a configuration: policies read and checked, their cases run.
///
/// # Errors
/// The first set that is not fit to decide, with everything that is wrong with it.
pub fn rules(config: &Config) -> Result<Rules, RulesError> {
    let policy = match &config.policy.folder {
        None => PolicySet::builtin(),
        Some(folder) => PolicySet::from_dir(folder),
    }?;
    let shadow =
        config.policy.shadow_folder.as_ref().map(PolicySet::from_dir).transpose().map_err(RulesError::Shadow)?;
    let mut rules = Rules::new(Arc::new(policy), &config.institutions);
    if let Some(shadow) = shadow {
        tracing::info!(version = shadow.version(), "a shadow policy set is tried on live traffic");
        rules.shadow = Some(Arc::new(shadow));
    }
    rules.atm_caps = config.atm_limits;
    Ok(rules)
}

/// Looks at the files behind the rules every so often, and has changed ones hold if they are valid. What is wrong with them is said once, loudly, and
/// the rules that hold go on holding.
pub async fn watch(config: Config, rulebook: Arc<Rulebook>, metrics: Metrics) {
    let mut seen = fingerprint(&config);
    loop {
        tokio::time::sleep(config.policy.check_every).await;
        let running = config.clone();
        let found = match tokio::task::spawn_blocking(move || fingerprint(&running)).await {
            Ok(found) if found != seen => found,
            _ => continue,
        };
        seen = found;
        let (running, rulebook) = (config.clone(), Arc::clone(&rulebook));
        let replaced = tokio::task::spawn_blocking(move || replace(&running, &rulebook)).await;
        match replaced {
            Ok(Ok(version)) => {
                metrics.reloaded("taken");
                tracing::warn!(version, "policies and limits were read again and hold from now on");
            }
            Ok(Err(error)) => {
                metrics.reloaded("refused");
                tracing::error!(
                    "policies and limits changed on disk and are not fit to hold; those from before go on: {error}"
                );
            }
            Err(error) => tracing::error!(%error, "policies and limits could not be read again"),
        }
    }
}

/// Reads everything again and has it hold. Institutions come and go with a restart only, as does all else of the configuration.
fn replace(running: &Config, rulebook: &Rulebook) -> Result<String, RulesError> {
    let now = Config::load(&running.file)?;
    let mut found: BTreeMap<_, Institution> =
        now.institutions.iter().map(|one| (one.id.clone(), one.clone())).collect();
    let institutions = running.institutions.iter().map(|before| match found.remove(&before.id) {
        Some(now) if now.currency == before.currency => Institution {
            limits: now.limits,
            failed_attempts_max: now.failed_attempts_max,
            evidence_demanded: now.evidence_demanded,
            ..before.clone()
        },
        _ => {
            tracing::warn!(institution = %before.id, "is gone or has another currency: that takes a restart");
            before.clone()
        }
    });
    let institutions: Vec<Institution> = institutions.collect();
    for added in found.keys() {
        tracing::warn!(institution = %added, "is new: that takes a restart");
    }
    let rules = rules(&Config { institutions, policy: running.policy.clone(), ..now })?;
    let version = rules.policy.version().to_owned();
    rulebook.replace(rules);
    Ok(version)
}

/// A digest over every file that rules come from. What cannot be read is different from what could.
fn fingerprint(config: &Config) -> [u8; 32] {
    let mut digest = Context::new(&SHA256);
    let mut files = vec![config.file.clone()];
    for folder in config.policy.folder.iter().chain(&config.policy.shadow_folder) {
        match files_in(folder) {
            Ok(found) => files.extend(found),
            Err(error) => digest.update(error.to_string().as_bytes()),
        }
    }
    for file in files {
        digest.update(file.as_os_str().as_encoded_bytes());
        match fs::read(&file) {
            Ok(bytes) => {
                digest.update(&(bytes.len() as u64).to_be_bytes());
                digest.update(&bytes);
            }
            Err(error) => digest.update(error.to_string().as_bytes()),
        }
    }
    let mut found = [0; 32];
    found.copy_from_slice(digest.finish().as_ref());
    found
}

fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.is_file());
    files.sort();
    Ok(files)
}
