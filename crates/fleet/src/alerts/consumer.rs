//! Follows the feed to alert, over breaks of the line and restarts of its own.

use std::io;
use std::pin::pin;
use std::time::Duration;

use cashgate_wire::proto::events::v1::SubscribeResponse;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::progress::{Progress, ProgressError};
use super::words::{Alert, AlertRules};
use crate::events::Subscription;

/// How long a broken subscription waits before it asks again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Events that nobody is alerted of are read again after a restart, so their place need not be written down each time.
const WRITE_EVERY: u64 = 256;

/// Why a consumer gave up.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The gateway refuses, as it does when its ledger was restored from before the place in the file: a person decides where to go on.
    #[error("the gateway refused: {0}")]
    Refused(Box<Status>),
    /// An alert could not be handed on. It comes again after a restart.
    #[error("an alert could not be handed on: {0}")]
    Untold(#[from] io::Error),
    /// The place could not be written down.
    #[error(transparent)]
    Progress(#[from] ProgressError),
}

/// A consumer of the feed that alerts.
#[derive(Debug)]
pub struct Consumer {
    subscription: Subscription,
    rules: AlertRules,
    progress: Progress,
    /// The last event that was dealt with, written down or not.
    read: u64,
}

impl Consumer {
    /// Goes on where its progress says.
    #[must_use]
    pub fn new(gateway: Channel, rules: AlertRules, progress: Progress) -> Self {
        let read = progress.sequence();
        Self { subscription: Subscription::after(read, gateway), rules, progress, read }
    }

    /// Hands each alert to `tell`, in the order of the feed, until `shutdown` completes.
    ///
    /// # Errors
    /// The gateway refuses, `tell` failed, or the disk did.
    pub async fn run(
        mut self,
        mut tell: impl FnMut(&Alert) -> io::Result<()>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ConsumerError> {
        let mut shutdown = pin!(shutdown);
        loop {
            let answer = tokio::select! {
                answer = self.subscription.next() => answer,
                () = &mut shutdown => break,
            };
            match answer {
                Ok(Some(event)) => self.deal_with(&event, &mut tell)?,
                Err(status) if !may_pass(status.code()) => return Err(ConsumerError::Refused(Box::new(status))),
                Ok(None) | Err(_) => tokio::select! {
                    () = tokio::time::sleep(AGAIN_AFTER) => {}
                    () = &mut shutdown => break,
                },
            }
        }
        Ok(self.progress.advance(self.read)?)
    }

    /// Says it first and writes it down then: a break in between says it again, and never leaves it out.
    fn deal_with(
        &mut self,
        event: &SubscribeResponse,
        tell: &mut impl FnMut(&Alert) -> io::Result<()>,
    ) -> Result<(), ConsumerError> {
        let alerts = self.rules.alerts(event);
        for alert in &alerts {
            tell(alert)?;
        }
        self.read = event.sequence;
        if !alerts.is_empty() || self.read.saturating_sub(self.progress.sequence()) >= WRITE_EVERY {
            self.progress.advance(self.read)?;
        }
        Ok(())
    }
}

/// Whether the feed may come back by itself: the gateway restarts, or the line broke.
const fn may_pass(code: Code) -> bool {
    matches!(code, Code::Unavailable | Code::Unknown | Code::Cancelled | Code::Aborted | Code::Internal)
}
