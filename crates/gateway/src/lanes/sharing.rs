//! What a lane's driver does because other replicas write too. Without them none of this is called.

use cashgate_ledger::AppendError;
use cashgate_withdrawal::lane::{Input, Record};
use cashgate_withdrawal::refusal::Refusal;

use super::adopting::Ownership;
use super::attendant::Intent;
use super::driver::{Caller, Completed, Driver};
use crate::admission::Desk;
use crate::clock;
use crate::ledger_reads;
use crate::replica::append_of;

/// Whether the ledger refused because of what another replica did. Everything else means that it failed.
pub(super) const fn is_of_others(error: &AppendError) -> bool {
    matches!(
        error,
        AppendError::LimitsMoved { .. } | AppendError::InstitutionCapped { .. } | AppendError::NotOwner { .. }
    )
}

impl Driver {
    /// Waits until this replica may act. Says whether the lane is still its own.
    pub(super) async fn may_act(&mut self) -> bool {
        let Some(ownership) = self.ownership.clone() else { return true };
        ownership.member.may_act().await;
        self.is_gone |= ownership.is_lost();
        !self.is_gone
    }

    /// Reads the limits' entries that an input is decided by and that are not known here. Says whether it could.
    pub(super) async fn has_read(&self, input: &Input) -> bool {
        for key in self.attendant.unread(input) {
            let (reader, entry) = (self.surroundings.ledger.reader(), key.clone());
            let since = Desk::counts_since(clock::now());
            match ledger_reads::read(reader, move |reader| reader.approved_of(&entry, since)).await {
                Ok((rows, version)) => self.surroundings.desk.recount(&key, version, &rows),
                Err(error) => {
                    tracing::warn!(atm = %self.attendant.atm(), error, "what counts for an approval cannot be read");
                    return false;
                }
            }
        }
        true
    }

    /// Some records, if the lane is still this replica's and what was computed still holds.
    pub(super) async fn append_owned(
        &self,
        ownership: &Ownership,
        part: &[Record],
        intent: &Intent,
    ) -> Result<(), AppendError> {
        let lane = (self.attendant.atm().clone(), ownership.epoch);
        let basis = part.iter().any(|record| record.event.is_none()).then(|| self.attendant.basis(intent)).flatten();
        let append = append_of(part, lane, basis, &self.surroundings.desk);
        let appended = self.surroundings.ledger.append_owned(append).await?;
        self.attendant.raised(appended.raised.as_deref());
        Ok(())
    }

    /// Another replica was first: with the limits, then the input comes again; or with the whole lane, then it ends.
    pub(super) fn refused_by_others(&mut self, error: &AppendError, intent: Intent) -> Completed {
        match error {
            AppendError::LimitsMoved { .. } => {
                self.surroundings.metrics.limits_moved();
                // Only what opens a withdrawal is held against limits, and that can be taken back.
                self.attendant.take_back(intent).map_or(Completed::Done, |again| Completed::TakenBack(Box::new(again)))
            }
            AppendError::InstitutionCapped { institution } => {
                tracing::info!(%institution, "the limit of all customers of an institution refuses an approval");
                if let Some((input, _)) = self.attendant.take_back(intent) {
                    self.refuse(&input, Refusal::LimitExceeded { limit: "institution_per_24h" });
                }
                Completed::Done
            }
            _ => {
                tracing::warn!(atm = %self.attendant.atm(), "the ledger refused a write: the lane is another replica's");
                self.surroundings.metrics.let_go("refused_write");
                self.is_gone = true;
                Completed::Done
            }
        }
    }

    /// An input that came too often in vain, or that nothing is known for.
    pub(super) fn give_up(&mut self, input: &Input) {
        tracing::warn!(atm = %self.attendant.atm(), "an approval could not be computed: the customer tries again");
        self.refuse(input, Refusal::Overloaded);
    }

    fn refuse(&mut self, input: &Input, refusal: Refusal) {
        if let Input::Approved(approval) = input
            && let Some(Caller { reply, .. }) = self.waiting.remove(&approval.request)
        {
            let _ = reply.send(Err(refusal));
        }
    }

    /// The lane is another replica's: its machine is told to connect anew, its callers to ask again, and nothing of it is left here.
    pub(super) fn end(mut self) {
        self.attendant.let_go();
        self.send_away();
        if self.was_serving {
            self.serving.send_modify(|count| *count = count.saturating_sub(1));
        }
        let atm = self.attendant.atm().clone();
        for withdrawal in self.attendant.open() {
            self.surroundings.metrics.let_go_of(withdrawal.state.name());
            self.surroundings.watchers.left(withdrawal.terms.withdrawal);
        }
        if let Some(ownership) = &self.ownership {
            ownership.ended(&atm);
        }
        // Callers that wait find their answer gone, which asks them to try again.
        self.waiting.clear();
        if let Some(ended) = self.ended.take() {
            let _ = ended.send(());
        }
    }
}
