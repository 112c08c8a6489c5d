//! What a lane's driver does because other replicas write too. Without them none of this is called.

use cashgate_ledger::{AppendError, LimitKey};
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::lane::{Input, LinkId, Record};
use cashgate_withdrawal::refusal::Refusal;

use super::adopting::Ownership;
use super::attendant::Intent;
use super::driver::{Caller, Completed, Driver, ask_to_reconnect};
use super::{Outbox, Surroundings};
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
    /// Waits until this replica may act. Says whether the lane is still its own. Meanwhile the ATM is sent to others, if they may act; also one that has just
    /// connected and of which the lane does not know yet.
    pub(super) async fn may_act(&mut self, newcomer: Option<(LinkId, Outbox)>) -> bool {
        let Some(ownership) = self.ownership.clone() else { return true };
        let acts_or_is_lost = async {
            tokio::select! {
                () = ownership.member.may_act() => {}
                () = ownership.lost() => {}
            }
        };
        tokio::pin!(acts_or_is_lost);
        tokio::select! {
            biased;
            () = &mut acts_or_is_lost => {}
            () = ownership.member.served_elsewhere() => {
                self.send_elsewhere(newcomer);
                acts_or_is_lost.await;
            }
        }
        self.is_gone |= ownership.is_lost();
        !self.is_gone
    }

    /// The ATM goes to another replica; the lane stays until that one asks for it.
    fn send_elsewhere(&mut self, newcomer: Option<(LinkId, Outbox)>) {
        if let Some((link, outbox)) = newcomer {
            ask_to_reconnect(link, &outbox, false);
        }
        if self.outbox.is_some() {
            self.surroundings.metrics.sent_elsewhere();
            self.send_away();
        }
    }

    /// Makes an intent durable. While the ledger is silent here and others hear it, the ATM is sent there, and callers are told that nobody knows: what
    /// they asked for may still become durable, unless the other replica has the lane first.
    pub(super) async fn append_or_send_elsewhere(&mut self, intent: &Intent) -> Result<(), AppendError> {
        let Some(Ownership { member, .. }) = self.ownership.clone() else { return self.append(intent).await };
        let callers = std::mem::take(&mut self.waiting);
        let (appended, callers) = {
            let append = self.append(intent);
            tokio::pin!(append);
            tokio::select! {
                biased;
                appended = &mut append => (appended, Some(callers)),
                () = member.served_elsewhere() => {
                    if let Some((link, outbox)) = &self.outbox {
                        ask_to_reconnect(*link, outbox, self.attendant.shows_codes());
                    }
                    for Caller { reply, .. } in callers.into_values() {
                        let _ = reply.send(Err(Refusal::OutcomeUnknown));
                    }
                    (append.await, None)
                }
            }
        };
        match (callers, self.outbox.as_ref().map(|(link, _)| *link)) {
            (Some(callers), _) => self.waiting = callers,
            (None, Some(link)) => {
                self.surroundings.metrics.sent_elsewhere();
                self.lose(link);
            }
            (None, None) => {}
        }
        appended
    }

    /// Reads the limits' entries that an input is decided by and that are not known here. Says whether it could: not while the ledger is silent here and
    /// others hear it, since the ATM is to go there.
    pub(super) async fn has_read(&self, input: &Input) -> bool {
        let unread = self.attendant.unread(input);
        let Some(Ownership { member, .. }) = self.ownership.as_ref().filter(|_| !unread.is_empty()) else {
            return self.could_read(&unread).await;
        };
        tokio::select! {
            biased;
            could = self.could_read(&unread) => could,
            () = member.served_elsewhere() => false,
        }
    }

    async fn could_read(&self, unread: &[LimitKey]) -> bool {
        for key in unread {
            let (reader, entry) = (self.surroundings.ledger.reader(), key.clone());
            let since = Desk::counts_since(clock::now());
            match ledger_reads::read(reader, move |reader| reader.approved_of(&entry, since)).await {
                Ok((rows, version)) => self.surroundings.desk.recount(key, version, &rows),
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
                // Here and not with the lane's end: one that would have ended with this write is not among the lane's open ones any more.
                intent.records().iter().for_each(|record| self.leave(record.after.terms.withdrawal));
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

    /// A withdrawal goes on at another replica: who follows it here asks again, and is sent there.
    fn leave(&self, id: WithdrawalId) {
        let Surroundings { metrics, watchers, .. } = self.surroundings.as_ref();
        // As it was last counted here: what the lane did since may not have become durable.
        if let Some(state) = watchers.state_name(id) {
            metrics.let_go_of(state);
        }
        watchers.left(id);
    }

    /// The lane is another replica's: its machine is told to connect anew, its callers to ask again, and nothing of it is left here.
    pub(super) fn end(mut self) {
        self.attendant.let_go();
        self.send_away();
        if self.was_serving {
            self.serving.send_modify(|count| *count = count.saturating_sub(1));
        }
        let atm = self.attendant.atm().clone();
        self.attendant.open().for_each(|withdrawal| self.leave(withdrawal.terms.withdrawal));
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
