//! What leaves the gateway, and what comes back to it.

use cashgate_gateway::lanes::{Errand, Intent};
use cashgate_wire::customer::PinBlock;
use cashgate_wire::journal;
use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::ids::{QrSessionId, QrTokenDigest, WithdrawalId};
use cashgate_withdrawal::lane::{Answer, Input, MintedCode, RequestId, ToAtm};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::time::Timestamp;
use cashgate_withdrawal::withdrawal::Terms;

use crate::books::number;
use crate::boundary::{Among, AtmNo, What};
use crate::crash_plan::Point;
use crate::dispenser::token_seen;
use crate::event::{Answered, Asked, BankAnswer, Caller, Code, Event, PhoneAsks, Verifying};
use crate::faults::FaultKind;
use crate::names;
use crate::world::World;

/// How long a code is valid.
const CODE_LIFETIME_MS: u64 = 30_000;
/// How long the gateway waits for its HSM.
const HSM_DEADLINE_MS: u64 = 2_000;

impl World {
    /// Runs the errands of a durable intent. The process may die before or after any of them.
    pub(crate) fn carry_out(&mut self, atm: AtmNo, intent: Intent) {
        let Some(slot) = self.gateway.slot(atm) else { return };
        for errand in slot.attendant.carry_out(intent) {
            self.send_out(atm, errand);
            if !self.gateway.up {
                return;
            }
        }
    }

    /// Runs one errand; a plan of crashes may have it run twice.
    fn send_out(&mut self, atm: AtmNo, errand: Errand) {
        let dies = self.crash_plan.passes(Point::BeforeErrand, || in_words(&errand))
            || self.strikes(FaultKind::GatewayCrash, 3).is_some();
        if dies {
            return self.gateway_dies("before an errand", 3_000);
        }
        let again = self.crash_plan.doubles().then(|| doubled(&errand));
        self.run_errand(atm, errand);
        if let Some(again) = again {
            self.run_errand(atm, again);
        }
        let dies = self.gateway.up
            && (self.crash_plan.passes(Point::AfterErrand, String::new)
                || self.strikes(FaultKind::GatewayCrash, 4).is_some());
        if dies {
            self.gateway_dies("after an errand", 3_000);
        }
    }

    pub(crate) fn run_errand(&mut self, atm: AtmNo, errand: Errand) {
        match errand {
            Errand::Tell(message) => self.tell(atm, message),
            Errand::LinkReplaced(_) => {}
            Errand::Answer { request, answer } => self.answer(atm, request, answer),
            Errand::Mint { qr_session, .. } => self.mint(atm, qr_session),
            Errand::PlaceHold { terms, pin_block: _ } => {
                self.crosses(What::HoldAsked {
                    withdrawal: number(terms.withdrawal),
                    account: names::account_number(&terms.account),
                    atm,
                    amount: terms.amount.minor_units(),
                    approved_at_ms: terms.approved_at.unix_ms(),
                });
                self.ask_bank(atm, Asked::Hold(terms));
                if let Some(mut chance) = self.strikes(FaultKind::CutWhileHeld, atm) {
                    self.break_link(atm, 3);
                    self.cut_line(atm, FaultKind::AtmPartition, chance.between(5_000, 120_000));
                }
            }
            Errand::Settle { terms, settlement, .. } => {
                let withdrawal = number(terms.withdrawal);
                self.crosses(match settlement {
                    Settlement::Confirm(amount) => What::ConfirmAsked { withdrawal, amount: amount.minor_units() },
                    Settlement::Reverse => What::ReverseAsked { withdrawal },
                });
                self.ask_bank(atm, Asked::Settle(terms, settlement));
            }
            Errand::AskOutcome { withdrawal, with_status } => self.ask_outcome(atm, withdrawal, with_status),
            Errand::MakeDispenseToken { withdrawal, nonce, amount } => self.make_token(atm, withdrawal, &nonce, amount),
            Errand::VerifyPresentToken { withdrawal, report, dispense_token, asked_with } => {
                let answers = self.hsm_answers(FaultKind::StatusNotVerified);
                let verifying = Verifying { withdrawal, report, dispense_token, asked_with, answers };
                self.verify_token(atm, verifying);
            }
            Errand::Recall { withdrawal, report } => {
                if report.present.is_some() {
                    self.report_arrives(atm, withdrawal, &report);
                }
                let life = self.gateway.life;
                self.after(2, Event::ReadBack { life, atm, withdrawal, report });
            }
        }
    }

    pub(crate) fn tell(&mut self, atm: AtmNo, message: ToAtm) {
        let Some(link) = self.gateway.link(atm) else { return };
        match &message {
            ToAtm::Dispense(command) => self.crosses(What::DispenseSent {
                atm,
                withdrawal: number(command.withdrawal),
                amount: command.amount.minor_units(),
                start_before_ms: command.start_before.unix_ms(),
                token: command.dispense_token.as_ref().and_then(|token| token_seen(token.as_str())),
            }),
            ToAtm::QueryOutcome { withdrawal, present_nonce } => {
                let nonce = present_nonce.as_ref().and_then(|nonce| u128::from_str_radix(nonce.as_str(), 16).ok());
                self.crosses(What::OutcomeAsked { atm, withdrawal: number(*withdrawal), nonce });
            }
            ToAtm::Welcome { .. } => self.crosses_among(Among::AtmWelcomed { atm }),
            ToAtm::OutcomeRecorded(id) => self.crosses(What::OutcomeAcknowledged { atm, withdrawal: number(*id) }),
            _ => {}
        }
        self.send_to_atm(atm, link, message);
    }

    fn answer(&mut self, atm: AtmNo, request: RequestId, answer: Result<Answer, Refusal>) {
        match self.gateway.callers.remove(&(atm, request)) {
            Some(Caller::Phone { visit, phone, asks }) => self.answer_phone(visit, phone, asks, answer),
            Some(Caller::Operator { withdrawal, settlement }) if answer.is_ok() => {
                let confirm = match settlement {
                    Settlement::Confirm(amount) => Some(amount.minor_units()),
                    Settlement::Reverse => None,
                };
                self.crosses(What::SuspectResolved { withdrawal: number(withdrawal), confirm });
            }
            _ => {}
        }
    }

    pub(crate) fn answer_phone(&mut self, visit: usize, phone: u16, asks: PhoneAsks, answer: Result<Answer, Refusal>) {
        let answer = answer.or_else(|refusal| {
            // Who says that nobody knows could not look.
            let earlier = (refusal != Refusal::OutcomeUnknown).then(|| self.approved_earlier(visit, &asks)).flatten();
            earlier.ok_or(refusal)
        });
        match (&asks, &answer) {
            (PhoneAsks::Scan { code, .. }, Ok(Answer::Scanned { .. })) => {
                self.crosses(What::ScanAccepted { nonce: code.nonce, phone });
            }
            (PhoneAsks::Approve { code, amount }, Ok(Answer::Approved { withdrawal, .. })) => {
                let account = self.visits.get(visit).map_or(0, |visit| visit.account);
                let (withdrawal, nonce, amount) = (number(*withdrawal), code.nonce, *amount);
                self.crosses(What::ApprovalAccepted { withdrawal, nonce, phone, account, amount });
            }
            _ => {}
        }
        if self.strikes(FaultKind::PhoneAnswerLost, phone).is_some() {
            return;
        }
        let after = self.network.between(10, 200);
        self.after(after, Event::PhoneHears { visit, answered: Answered { asks, answer } });
    }

    /// The lane may have forgotten, after a restart, an approval that the ledger has.
    fn approved_earlier(&self, visit: usize, asks: &PhoneAsks) -> Option<Answer> {
        let PhoneAsks::Approve { code, amount } = asks else { return None };
        let (withdrawal, row) = self.journal.of_nonce(code.nonce.to_be_bytes())?;
        let visit = self.visits.get(visit)?;
        let (account, phone) = (names::account(visit.account), names::phone(visit.phone));
        let same = row.account == account && row.device == phone && row.amount.minor_units() == *amount;
        same.then_some(Answer::Approved { withdrawal, confirm_code: None })
    }

    fn mint(&mut self, atm: AtmNo, qr_session: QrSessionId) {
        let life = self.gateway.life;
        let (mut signed, mut after) = (true, self.network.between(2, 10));
        if self.now < self.hsm_lost_until_ms || self.strikes(FaultKind::HsmRefuses, 0).is_some() {
            signed = false;
        } else if self.strikes(FaultKind::HsmSlow, 0).is_some() {
            (signed, after) = (false, HSM_DEADLINE_MS);
        }
        self.after(after, Event::Minted { life, atm, qr_session, signed });
    }

    pub(crate) fn minted(&mut self, life: u32, atm: AtmNo, qr_session: QrSessionId, signed: bool) {
        if !self.gateway.up || life != self.gateway.life {
            return;
        }
        if !signed {
            return self.put(atm, Input::MintFailed { qr_session }, None);
        }
        let nonce = self.gateway.fresh(self.now);
        let expires_at_ms = self.now / 1_000 * 1_000 + CODE_LIFETIME_MS;
        let session = u128::from_be_bytes(*qr_session.as_bytes());
        let command_nonce = self.gateway.command_nonces.get(&session).copied();
        self.crosses(What::CodeSigned { nonce, atm, qr_session: session, expires_at_ms, command_nonce });
        let code = Code { atm, replica: self.gateway.replica, qr_session, nonce, expires_at_ms };
        let minted = MintedCode {
            qr_session,
            text: format!("{atm} {nonce}").into(),
            digest: digest(&code),
            expires_at: Timestamp::from_unix_ms(expires_at_ms),
        };
        self.put(atm, Input::CodeMinted(minted), None);
    }

    pub(crate) fn read_back(&mut self, life: u32, atm: AtmNo, id: WithdrawalId, report: OutcomeReport) {
        if !self.gateway.up || life != self.gateway.life {
            return;
        }
        let failed = self.strikes(FaultKind::ReadFails, 0).is_some();
        let found = match self.journal.withdrawal(id) {
            Ok(Some(steps)) if !failed => {
                Some(journal::replay(id, steps.iter().map(|s| (s.number, s.at, s.body.as_slice()))))
            }
            Ok(None) if !failed => None,
            // Damage, or a disk that does not answer: the machine will come again.
            _ => {
                let next = self.gateway.slot(atm).and_then(|slot| slot.attendant.recall_failed());
                return next.into_iter().for_each(|errand| self.send_out(atm, errand));
            }
        };
        let theirs = match found {
            Some(Err(why)) => return self.broken(format!("{id} does not replay: {why}")),
            Some(Ok(withdrawal)) => Some(withdrawal).filter(|found| names::atm_number(&found.terms.atm) == atm),
            None => None,
        };
        self.put(atm, Input::Recalled { withdrawal: theirs.map(Box::new), id, report }, None);
    }

    fn ask_bank(&mut self, atm: AtmNo, asked: Asked) {
        let call = self.gateway.call(atm, asked.clone());
        let life = self.gateway.life;
        self.after(self.plan.call_timeout_ms, Event::CallTimesOut { life, call });
        let is_cut = self.now < self.lines.bank_cut_until_ms.max(self.gateway.members.bank_cut_until_ms);
        if is_cut || self.strikes(FaultKind::BankRequestLost, 0).is_some() {
            return;
        }
        let after = self.network.between(2, 40);
        if let Some(mut chance) = self.strikes(FaultKind::BankRequestDuplicated, 0) {
            let again = after + chance.between(1, 60_000);
            self.after(again, Event::BankHears { life, call, asked: asked.clone() });
        }
        self.after(after, Event::BankHears { life, call, asked });
    }

    pub(crate) fn call_times_out(&mut self, life: u32, call: u64) {
        if !self.gateway.up || life != self.gateway.life {
            return;
        }
        if let Some((atm, asked)) = self.gateway.calls.remove(&call) {
            self.hears_from_bank(atm, BankAnswer::unanswered(&asked));
        }
    }

    /// A PIN block, recognisable wherever it should not be.
    pub(crate) fn pin_block() -> PinBlock {
        PinBlock::from(cashgate_wire::proto::customer::v1::PinBlock {
            block: crate::operator::PIN_MARK.to_vec(),
            key_serial_number: vec![1; 10],
        })
    }
}

/// The digest of a code's text.
pub(crate) fn digest(code: &Code) -> QrTokenDigest {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&code.nonce.to_be_bytes());
    bytes[16..].copy_from_slice(code.qr_session.as_bytes());
    QrTokenDigest(bytes)
}

/// The same errand once more, but for the PIN block, which leaves once.
fn doubled(errand: &Errand) -> Errand {
    let again = |terms: &Terms| Box::new(terms.clone());
    match errand {
        Errand::Tell(message) => Errand::Tell(message.clone()),
        Errand::LinkReplaced(link) => Errand::LinkReplaced(*link),
        Errand::Answer { request, answer } => Errand::Answer { request: *request, answer: answer.clone() },
        Errand::Mint { qr_session, amount } => Errand::Mint { qr_session: *qr_session, amount: *amount },
        Errand::PlaceHold { terms, .. } => Errand::PlaceHold { terms: again(terms), pin_block: None },
        Errand::Settle { terms, hold, settlement } => {
            Errand::Settle { terms: again(terms), hold: hold.clone(), settlement: *settlement }
        }
        Errand::Recall { withdrawal, report } => Errand::Recall { withdrawal: *withdrawal, report: report.clone() },
        Errand::AskOutcome { withdrawal, with_status } => {
            Errand::AskOutcome { withdrawal: *withdrawal, with_status: *with_status }
        }
        Errand::MakeDispenseToken { withdrawal, nonce, amount } => {
            Errand::MakeDispenseToken { withdrawal: *withdrawal, nonce: nonce.clone(), amount: *amount }
        }
        Errand::VerifyPresentToken { withdrawal, report, dispense_token, asked_with } => Errand::VerifyPresentToken {
            withdrawal: *withdrawal,
            report: report.clone(),
            dispense_token: dispense_token.clone(),
            asked_with: asked_with.clone(),
        },
    }
}

fn in_words(errand: &Errand) -> String {
    match errand {
        Errand::Tell(message) => {
            let text = format!("{message:?}");
            format!("tell {}", text.split([' ', '(', '{']).next().unwrap_or_default())
        }
        Errand::LinkReplaced(_) => "link replaced".to_owned(),
        Errand::Answer { answer: Ok(_), .. } => "answer".to_owned(),
        Errand::Answer { answer: Err(refusal), .. } => format!("refuse {}", refusal.reason()),
        Errand::Mint { .. } => "mint".to_owned(),
        Errand::PlaceHold { .. } => "place hold".to_owned(),
        Errand::Settle { settlement: Settlement::Confirm(_), .. } => "confirm hold".to_owned(),
        Errand::Settle { settlement: Settlement::Reverse, .. } => "reverse hold".to_owned(),
        Errand::Recall { .. } => "recall".to_owned(),
        Errand::AskOutcome { .. } => "tell QueryOutcome".to_owned(),
        Errand::MakeDispenseToken { .. } => "make dispense token".to_owned(),
        Errand::VerifyPresentToken { .. } => "verify present token".to_owned(),
    }
}
