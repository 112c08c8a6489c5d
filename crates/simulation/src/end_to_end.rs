//! End-to-end security in a world: what machines send with their reports, and what the HSM does with tokens.

use cashgate_gateway::dispense_tokens::{DispenseKeys, MacError, Pending, PresentClaim};
use cashgate_wire::dispense_token::UnsignedDispenseToken;
use cashgate_withdrawal::dispense::{EvidenceSource, Outcome, OutcomeReport};
use cashgate_withdrawal::evidence::{DispenseToken, PresentEvidence, PresentFinding, WrongToken};
use cashgate_withdrawal::ids::{AtmId, CommandNonce, WithdrawalId};
use cashgate_withdrawal::lane::{Input, ToAtm};
use cashgate_withdrawal::money::Money;

use crate::atm::report;
use crate::books::number;
use crate::boundary::{AtmNo, What};
use crate::dispenser;
use crate::event::{AtmSays, Event, Verifying};
use crate::faults::FaultKind;
use crate::world::World;

/// How long the gateway waits for its HSM.
const HSM_DEADLINE_MS: u64 = 2_000;

/// The world's HSM has a key for every machine. What it does with them is an event of the world, so nobody asks this.
#[derive(Debug)]
pub(crate) struct EveryKey;

impl DispenseKeys for EveryKey {
    fn has_key(&self, _atm: &AtmId) -> bool {
        true
    }

    fn mac<'a>(&'a self, _atm: &'a AtmId, _message: &'a [u8]) -> Pending<'a, [u8; 32]> {
        Box::pin(async { Err(MacError::KeyMissing) })
    }

    fn verify<'a>(&'a self, _atm: &'a AtmId, _message: &'a [u8], _mac: [u8; 32]) -> Pending<'a, bool> {
        Box::pin(async { Err(MacError::KeyMissing) })
    }
}

/// Machines.
impl World {
    pub(crate) fn says_hello(&mut self, atm: AtmNo, unresolved: Vec<(WithdrawalId, OutcomeReport)>) {
        let secured = self.plan.is_end_to_end(atm);
        let end_to_end = secured && self.strikes(FaultKind::EndToEndStripped, atm).is_none();
        if let Some(machine) = self.atm(atm) {
            machine.declares = end_to_end;
        }
        self.send_from_atm(atm, AtmSays::Hello { end_to_end, unresolved });
    }

    pub(crate) fn touches(&mut self, atm: AtmNo, amount: Option<Money>) {
        let Some(machine) = self.atm(atm) else { return };
        let command_nonce = machine.declares.then(|| machine.dispenser.draws_nonce());
        self.send_from_atm(atm, AtmSays::Touched { amount, command_nonce });
    }

    /// A report with what the dispenser says, under the nonce that it was asked with or that came with the command.
    pub(crate) fn vouched(
        &mut self,
        atm: AtmNo,
        id: WithdrawalId,
        mut said: OutcomeReport,
        asked_with: Option<&CommandNonce>,
    ) -> OutcomeReport {
        said.present = None;
        let Some(paper) = self.atm(atm).and_then(|machine| machine.paper(id)) else { return said };
        if !paper.with_token || paper.denies || self.strikes(FaultKind::StatusStripped, atm).is_some() {
            return said;
        }
        let with_command = CommandNonce::from_bytes(*id.as_bytes());
        let nonce = asked_with.unwrap_or(&with_command).as_str();
        let replayed = self.strikes(FaultKind::StatusReplayed, atm).map(|mut chance| chance.bits());
        let forged = self.strikes(FaultKind::StatusForged, atm).is_some();
        let Some(machine) = self.atm(atm) else { return said };
        let text = match replayed.and_then(|number| machine.dispenser.older(number)) {
            Some(older) => older,
            None if forged => machine.dispenser.forged(nonce),
            None => machine.dispenser.status(nonce),
        };
        said.present = text.parse().ok().map(PresentEvidence::unverified);
        said
    }

    /// While the notes lie on the stacker, it already says that none came out. Its dispenser, asked, says truthfully that none has yet.
    pub(crate) fn perhaps_denies_early(&mut self, atm: AtmNo, id: WithdrawalId) {
        let is_secured = self.plan.is_end_to_end(atm);
        if !is_secured || self.strikes(FaultKind::DeniesEarly, atm).is_none() {
            return;
        }
        if let Some(paper) = self.atm(atm).and_then(|machine| machine.paper_mut(id)) {
            paper.denies_early = true;
        }
        let said = self.vouched(atm, id, nothing_left(), None);
        self.says_outcome(atm, id, said);
    }

    /// Whatever left, it says that nothing did, and keeps its dispenser's word to itself.
    pub(crate) fn perhaps_denies(&mut self, atm: AtmNo, id: WithdrawalId, said: OutcomeReport) -> OutcomeReport {
        let with_token = self.atm(atm).and_then(|machine| machine.paper(id)).is_some_and(|paper| paper.with_token);
        if !with_token || self.strikes(FaultKind::DeniesWithoutProof, atm).is_none() {
            return said;
        }
        if let Some(paper) = self.atm(atm).and_then(|machine| machine.paper_mut(id)) {
            paper.denies = true;
        }
        nothing_left()
    }
}

fn nothing_left() -> OutcomeReport {
    report(Outcome::NotDispensed, 0, None, EvidenceSource::LastCommandRecord)
}

/// The gateway and its HSM.
impl World {
    pub(crate) fn ask_outcome(&mut self, atm: AtmNo, withdrawal: WithdrawalId, with_status: bool) {
        let drawn = self.gateway.fresh(self.now);
        let present_nonce = with_status.then(|| CommandNonce::from_bytes(drawn.to_be_bytes()));
        if let (Some(nonce), Some(slot)) = (&present_nonce, self.gateway.slot(atm)) {
            slot.attendant.asked_with(withdrawal, nonce.clone());
        }
        self.tell(atm, ToAtm::QueryOutcome { withdrawal, present_nonce });
    }

    /// Whether the HSM answers now.
    pub(crate) fn hsm_answers(&mut self, away: FaultKind) -> bool {
        self.now >= self.hsm_lost_until_ms && self.strikes(away, 0).is_none()
    }

    pub(crate) fn make_token(&mut self, atm: AtmNo, withdrawal: WithdrawalId, nonce: &CommandNonce, amount: Money) {
        let life = self.gateway.life;
        if !self.hsm_answers(FaultKind::TokenNotMade) {
            return self.after(HSM_DEADLINE_MS, Event::TokenMade { life, atm, withdrawal, token: None });
        }
        let unsigned = UnsignedDispenseToken::new(nonce, amount);
        let mac = dispenser::mac(dispenser::key(self.plan.seed, atm), unsigned.to_authenticate());
        let (token, after) = (unsigned.with_mac(mac).ok(), self.network.between(2, 10));
        self.after(after, Event::TokenMade { life, atm, withdrawal, token });
    }

    pub(crate) fn token_made(&mut self, life: u32, atm: AtmNo, withdrawal: WithdrawalId, token: Option<DispenseToken>) {
        if !self.gateway.up || life != self.gateway.life {
            return;
        }
        let input = match token {
            Some(token) => Input::DispenseTokenMade { withdrawal, token },
            None => Input::DispenseTokenFailed { withdrawal },
        };
        self.put(atm, input, None);
    }

    pub(crate) fn verify_token(&mut self, atm: AtmNo, verifying: Verifying) {
        let life = self.gateway.life;
        let after = if verifying.answers { self.network.between(2, 10) } else { HSM_DEADLINE_MS };
        self.after(after, Event::TokenVerified { life, atm, verifying: Box::new(verifying) });
    }

    /// The HSM has answered, or its time is over. Only now does the lane hear of the report.
    pub(crate) fn token_verified(&mut self, life: u32, atm: AtmNo, verifying: Verifying) {
        if !self.gateway.up || life != self.gateway.life {
            return;
        }
        let Verifying { withdrawal, mut report, dispense_token, asked_with, answers } = verifying;
        self.report_arrives(atm, withdrawal, &report);
        if let Some(present) = &mut report.present {
            let key = dispenser::key(self.plan.seed, atm);
            if let Some(status) = dispenser::status_seen(present.token.as_str(), key).filter(|_| answers) {
                self.crosses(What::StatusVerified { atm, withdrawal: number(withdrawal), status });
            }
            present.finding = match PresentClaim::read(&present.token, &dispense_token, &asked_with) {
                Err(wrong) => PresentFinding::Wrong(wrong),
                Ok(claim) => {
                    let right = dispenser::mac(key, claim.authenticated()) == claim.mac();
                    let away = || MacError::Unavailable("away".to_owned());
                    claim.finding(if answers { Ok(right) } else { Err(away()) })
                }
            };
            let finding = present.finding.clone();
            self.coverage.found(&finding);
            if finding == PresentFinding::Wrong(WrongToken::Malformed) {
                self.broken("a present token that a machine wrote cannot be read".to_owned());
            }
        }
        self.put(atm, Input::PresentTokenVerified { withdrawal, report }, None);
    }
}
