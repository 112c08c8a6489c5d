//! What each party around the lane can do in a story. Unless told otherwise it is about the latest code and the latest withdrawal.

use std::sync::Arc;

use cashgate_withdrawal::cassettes::Cassettes;
use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::evidence::PresentFinding;
use cashgate_withdrawal::ids::{KeyId, Nonce, QrSessionId, QrTokenDigest, WithdrawalId};
use cashgate_withdrawal::lane::{
    Action, Approval, CancelSubject, Cancellation, ConfirmCode, FailedApproval, FromAtm, HoldAnswer, Input, LinkId,
    MintedCode, Resolution, Scan, SettlementAnswer, VerifiedCode,
};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::stop::StopScope;

use super::{Verdict, World, facts, hold, seconds, verified, yen};

/// The ATM, and the customer in front of it.
impl World {
    pub(crate) fn atm_connects(&mut self) -> &mut Self {
        self.atm_connects_with(vec![])
    }

    pub(crate) fn atm_connects_with(&mut self, unresolved: Vec<(WithdrawalId, OutcomeReport)>) -> &mut Self {
        self.link += 1;
        self.put(Input::AtmConnected { link: LinkId(self.link), facts: facts(self.end_to_end), unresolved })
    }

    pub(crate) fn atm_disconnects(&mut self) -> &mut Self {
        self.put(Input::AtmDisconnected { link: LinkId(self.link) })
    }

    pub(crate) fn atm_says(&mut self, message: FromAtm) -> &mut Self {
        self.put(Input::AtmSaid { link: LinkId(self.link), message })
    }

    pub(crate) fn customer_touches(&mut self) -> &mut Self {
        self.start_qr_session(None)
    }

    pub(crate) fn customer_chooses_at_atm(&mut self, amount: Money) -> &mut Self {
        self.start_qr_session(Some(amount))
    }

    fn start_qr_session(&mut self, amount: Option<Money>) -> &mut Self {
        let fresh = QrSessionId::from_bytes(self.id());
        let command_nonce = self.command_nonce.map(|nonce| nonce.parse().unwrap());
        self.atm_says(FromAtm::StartQrSession { amount, command_nonce, fresh });
        let began =
            self.turn.actions.iter().any(|a| matches!(a, Action::Mint { qr_session, .. } if *qr_session == fresh));
        if began {
            self.qr_session = fresh;
        }
        self
    }

    pub(crate) fn customer_walks_away(&mut self) -> &mut Self {
        self.atm_says(FromAtm::EndQrSession { qr_session: self.qr_session })
    }

    pub(crate) fn types_code(&mut self, digits: &str) -> &mut Self {
        let code = ConfirmCode::from_text(digits).unwrap();
        self.atm_says(FromAtm::EnterConfirmCode { withdrawal: self.withdrawal(), code })
    }

    pub(crate) fn atm_reports(&mut self, report: OutcomeReport) -> &mut Self {
        self.atm_reports_on(self.withdrawal(), report)
    }

    pub(crate) fn atm_reports_on(&mut self, withdrawal: WithdrawalId, report: OutcomeReport) -> &mut Self {
        self.atm_says(FromAtm::Outcome { withdrawal, report })
    }

    pub(crate) fn atm_loads(&mut self, cassettes: Cassettes) -> &mut Self {
        self.atm_says(FromAtm::UpdateCassettes { cassettes })
    }

    /// The ledger reads back what the lane asked for.
    pub(crate) fn ledger_recalls(&mut self) -> &mut Self {
        let asked = self.turn.actions.iter().find_map(|action| match action {
            Action::Recall { withdrawal, report } => Some((*withdrawal, report.clone())),
            _ => None,
        });
        let (id, report) = asked.expect("the lane asked for a withdrawal");
        let withdrawal = self.books.history(id).last().map(|record| Box::new(record.after.clone()));
        self.put(Input::Recalled { withdrawal, id, report })
    }
}

/// The HSM, the phones and what decides about their approvals.
impl World {
    /// A code of 30 seconds for the present QR session.
    pub(crate) fn hsm_mints(&mut self) -> &mut Self {
        self.hsm_mints_for(self.qr_session)
    }

    pub(crate) fn hsm_mints_for(&mut self, qr_session: QrSessionId) -> &mut Self {
        let id = self.id();
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(&id);
        let (digest, expires_at) = (QrTokenDigest(digest), self.now.after(seconds(30)));
        self.codes.push(VerifiedCode { qr_session, digest, nonce: Nonce(id), key: KeyId([4; 4]), expires_at });
        self.put(Input::CodeMinted(MintedCode { qr_session, text: Arc::from("CG1:"), digest, expires_at }))
    }

    pub(crate) fn hsm_fails(&mut self) -> &mut Self {
        self.put(Input::MintFailed { qr_session: self.qr_session })
    }

    /// The dispense token for the present withdrawal; the same for the same nonce and amount.
    pub(crate) fn hsm_makes_token(&mut self) -> &mut Self {
        self.hsm_makes_token_for(self.withdrawal())
    }

    pub(crate) fn hsm_makes_token_for(&mut self, withdrawal: WithdrawalId) -> &mut Self {
        let token = "NONCE=254611E63B2531576314E86527338D61,DISPENSE1=30000.00JPY,HMACSHA256=0".parse().unwrap();
        self.put(Input::DispenseTokenMade { withdrawal, token })
    }

    pub(crate) fn hsm_makes_no_token(&mut self) -> &mut Self {
        self.put(Input::DispenseTokenFailed { withdrawal: self.withdrawal() })
    }

    /// The HSM has looked at the present token of the report that the lane wanted verified.
    pub(crate) fn hsm_finds(&mut self, finding: PresentFinding) -> &mut Self {
        let asked = self.turn.actions.iter().find_map(|action| match action {
            Action::VerifyPresentToken { withdrawal, report, .. } => Some((*withdrawal, report.clone())),
            _ => None,
        });
        let (withdrawal, report) = asked.expect("the lane wanted a present token verified");
        self.put(Input::PresentTokenVerified { withdrawal, report: verified(report, finding) })
    }

    /// The same for every report that the lane wanted verified; it may be none.
    pub(crate) fn hsm_finds_in_all(&mut self, finding: &PresentFinding) -> &mut Self {
        for action in self.turn.actions.clone() {
            if let Action::VerifyPresentToken { withdrawal, report, .. } = action {
                let report = verified(report, finding.clone());
                self.put(Input::PresentTokenVerified { withdrawal, report });
            }
        }
        self
    }

    pub(crate) fn code(&self) -> VerifiedCode {
        self.codes.last().expect("a code was minted").clone()
    }

    pub(crate) fn scans(&mut self, phone: &str) -> &mut Self {
        self.scans_code(phone, self.code())
    }

    pub(crate) fn scans_code(&mut self, phone: &str, code: VerifiedCode) -> &mut Self {
        let request = self.request();
        let (institution, device) = ("sakura".parse().unwrap(), phone.parse().unwrap());
        self.put(Input::Scanned(Scan { request, code, institution, device }))
    }

    pub(crate) fn approves(&mut self, phone: &str, amount: u64) -> &mut Self {
        self.approves_code(phone, self.code(), yen(amount))
    }

    pub(crate) fn approves_code(&mut self, phone: &str, code: VerifiedCode, amount: Money) -> &mut Self {
        let fresh = WithdrawalId::from_bytes(self.id());
        let approval = Approval {
            request: self.request(),
            fresh,
            code,
            institution: "sakura".parse().unwrap(),
            account: "acct-1".parse().unwrap(),
            device: phone.parse().unwrap(),
            amount,
            location: None,
        };
        self.put(Input::Approved(approval))
    }

    /// An approval came in this phone's name that it did not sign.
    pub(crate) fn approval_fails(&mut self, phone: &str, code: VerifiedCode) -> &mut Self {
        let request = self.request();
        let (institution, device) = ("sakura".parse().unwrap(), phone.parse().unwrap());
        self.put(Input::ApprovalFailed(FailedApproval { request, code, institution, device }))
    }

    pub(crate) fn is_stopped(&mut self, scope: &StopScope) -> &mut Self {
        self.put(Input::Stopped(scope.clone()))
    }

    pub(crate) fn cancels(&mut self, phone: &str) -> &mut Self {
        self.cancels_subject(phone, CancelSubject::Withdrawal(self.withdrawal()))
    }

    pub(crate) fn cancels_qr_session(&mut self, phone: &str) -> &mut Self {
        self.cancels_subject(phone, CancelSubject::QrSession(self.qr_session))
    }

    pub(crate) fn cancels_subject(&mut self, phone: &str, subject: CancelSubject) -> &mut Self {
        let request = self.request();
        let (institution, device) = ("sakura".parse().unwrap(), phone.parse().unwrap());
        self.put(Input::Cancelled(Cancellation { request, institution, device, subject }))
    }

    pub(crate) fn policy_permits(&mut self) -> &mut Self {
        self.admission.verdict = Verdict::Permit;
        self
    }

    pub(crate) fn policy_asks_for_a_code(&mut self) -> &mut Self {
        self.admission.verdict = Verdict::PermitWithCode;
        self
    }

    pub(crate) fn limits_refuse(&mut self) -> &mut Self {
        self.admission.verdict = Verdict::Refuse(Refusal::LimitExceeded { limit: "day" });
        self
    }
}

/// Core banking, and the operator.
impl World {
    pub(crate) fn bank_grants(&mut self) -> &mut Self {
        self.bank_answers_hold(self.withdrawal(), HoldAnswer::Granted(hold()))
    }

    pub(crate) fn bank_declines(&mut self) -> &mut Self {
        let code = "insufficient_funds".parse().unwrap();
        self.bank_answers_hold(self.withdrawal(), HoldAnswer::Declined(code))
    }

    pub(crate) fn bank_leaves_hold_unanswered(&mut self) -> &mut Self {
        self.bank_answers_hold(self.withdrawal(), HoldAnswer::Unanswered)
    }

    pub(crate) fn bank_answers_hold(&mut self, withdrawal: WithdrawalId, answer: HoldAnswer) -> &mut Self {
        self.put(Input::HoldAnswered { withdrawal, answer })
    }

    /// Core banking has done what it was asked last.
    pub(crate) fn bank_settles(&mut self) -> &mut Self {
        self.bank_answers(SettlementAnswer::Done)
    }

    pub(crate) fn bank_refuses_settlement(&mut self) -> &mut Self {
        self.bank_answers(SettlementAnswer::Refused("already_ended".parse().unwrap()))
    }

    pub(crate) fn bank_is_out(&mut self) -> &mut Self {
        self.bank_answers(SettlementAnswer::Unanswered)
    }

    fn bank_answers(&mut self, answer: SettlementAnswer) -> &mut Self {
        let settlement = self.asked.expect("core banking was asked to settle");
        self.bank_answers_settlement(self.withdrawal(), settlement, answer)
    }

    pub(crate) fn bank_answers_settlement(
        &mut self,
        withdrawal: WithdrawalId,
        settlement: Settlement,
        answer: SettlementAnswer,
    ) -> &mut Self {
        self.put(Input::SettlementAnswered { withdrawal, settlement, answer })
    }

    pub(crate) fn operator_decides(&mut self, settlement: Settlement) -> &mut Self {
        self.operator_decides_on(self.withdrawal(), settlement)
    }

    pub(crate) fn operator_decides_on(&mut self, withdrawal: WithdrawalId, settlement: Settlement) -> &mut Self {
        let (request, operator) = (self.request(), "mori".parse().unwrap());
        let reason = "journal roll and cash count".to_owned();
        self.put(Input::Resolved(Resolution { request, withdrawal, settlement, operator, reason }))
    }
}
