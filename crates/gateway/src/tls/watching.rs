//! Reads the TLS files again when they change: whole and valid, or not at all.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Believers, Tls, TlsError, TlsFiles, TlsSet};
use crate::clock;
use crate::fingerprint::Fingerprint;
use crate::guard::GuardMetrics;

/// Holds the set, and looks after it.
#[derive(Debug)]
pub struct TlsKeeper {
    files: TlsFiles,
    believers: Believers,
    seen: [u8; 32],
    holds: watch::Sender<Arc<TlsSet>>,
}

impl TlsKeeper {
    /// Reads the set that a start begins with. It and all that follow must be such that these believe it.
    ///
    /// # Errors
    /// It is not fit to serve with.
    pub fn load(files: TlsFiles, believers: Believers) -> Result<Self, TlsError> {
        // Before reading: what changes in between is then read again.
        let seen = fingerprint(&files);
        let set = TlsSet::load(&files, &believers, clock::now())?;
        Ok(Self { files, believers, seen, holds: watch::Sender::new(Arc::new(set)) })
    }

    /// The set, for whoever serves or calls with it.
    #[must_use]
    pub fn tls(&self) -> Tls {
        Tls(self.holds.subscribe())
    }

    /// Looks every so often, and has changed files hold if they are fit to; `changed` is then called, so that open connections are looked at again.
    /// What is not fit is said once, loudly, and what holds goes on holding. Files must look the same twice before they are read: certificate
    /// and key cannot be replaced in one moment.
    pub async fn watch(mut self, every: Duration, metrics: GuardMetrics, changed: impl Fn()) {
        let mut last = self.seen;
        metrics.tls_expires(self.believers.ends_are_called(), self.holds.borrow().expiry);
        loop {
            tokio::time::sleep(every).await;
            let (files, believers, seen) = (self.files.clone(), self.believers.clone(), self.seen);
            let looked = tokio::task::spawn_blocking(move || {
                let now = fingerprint(&files);
                let at_rest = now == last && now != seen;
                // Read, and looked at again: a file that is replaced while it is read must not count as seen.
                let read = at_rest.then(|| TlsSet::load(&files, &believers, clock::now()));
                (now, read.filter(|_| fingerprint(&files) == now))
            });
            let Ok((now, read)) = looked.await else {
                tracing::error!("the TLS files could not be looked at");
                continue;
            };
            last = now;
            match read {
                None => continue,
                Some(Ok(set)) => {
                    metrics.tls_reloaded("taken");
                    metrics.tls_expires(self.believers.ends_are_called(), set.expiry);
                    tracing::warn!(
                        "certificate, key, authorities and revocation lists were read again and hold from now on"
                    );
                    self.holds.send_replace(Arc::new(set));
                    changed();
                }
                Some(Err(error)) => {
                    metrics.tls_reloaded("refused");
                    tracing::error!(%error, "the TLS files changed and are not fit to hold; those from before go on");
                }
            }
            self.seen = now;
        }
    }
}

/// A digest over all files.
fn fingerprint(files: &TlsFiles) -> [u8; 32] {
    let mut fingerprint = Fingerprint::new();
    let all = [Some(&files.certificate), Some(&files.key), Some(&files.ca), files.crl.as_ref()];
    all.into_iter().flatten().for_each(|file| fingerprint.add(file));
    fingerprint.finish()
}
