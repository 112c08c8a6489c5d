//! What comes out of a lane, and the one decision that it asks for.

use super::Remark;
use super::input::{Approval, AtmFacts, ConfirmCode, LinkId, MintedCode, RequestId};
use crate::dispense::{DispenseCommand, OutcomeReport};
use crate::event::{Event, Settlement};
use crate::evidence::{DispenseToken, EvidenceGrade};
use crate::ids::{AtmId, CommandNonce, HoldReference, QrSessionId, WithdrawalId};
use crate::money::Money;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use crate::withdrawal::{Decision, Terms, Withdrawal};

/// What a turn of the lane asks for: first every record durable, then the actions in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// To be made durable together, before any action.
    pub records: Vec<Record>,
    /// To be done then.
    pub actions: Vec<Action>,
    /// To be kept as evidence, at leisure.
    pub remarks: Vec<Remark>,
}

impl Turn {
    /// What this turn asks for, and then what the next does.
    #[must_use]
    pub fn and_then(mut self, mut next: Self) -> Self {
        self.records.append(&mut next.records);
        self.actions.append(&mut next.actions);
        self.remarks.append(&mut next.remarks);
        self
    }

    pub(super) fn answer(&mut self, request: RequestId, answer: Result<Answer, Refusal>) {
        self.actions.push(Action::Answer { request, answer });
    }
}

/// One step of a withdrawal, to be made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// 1 for the approval, then 2, 3 and so on.
    pub number: u32,
    /// When.
    pub at: Timestamp,
    /// What happened; `None` for the approval itself, whose content is the terms.
    pub event: Option<Event>,
    /// The withdrawal after it.
    pub after: Withdrawal,
}

impl Record {
    /// A stable name of what happened.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match &self.event {
            None => "approved",
            Some(event) => event.name(),
        }
    }
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Have the HSM sign a code for a QR session.
    Mint {
        /// Which.
        qr_session: QrSessionId,
        /// The amount that was chosen at the ATM.
        amount: Option<Money>,
    },
    /// Have the HSM make a dispense token, and come again with [`super::Input::DispenseTokenMade`] or
    /// [`super::Input::DispenseTokenFailed`]. The same nonce and amount give the same token, however often it is made.
    MakeDispenseToken {
        /// For which withdrawal.
        withdrawal: WithdrawalId,
        /// The dispenser's nonce.
        nonce: CommandNonce,
        /// The most that it may pay out.
        amount: Money,
    },
    /// Have the HSM verify the present token of a report, and come again with [`super::Input::PresentTokenVerified`].
    VerifyPresentToken {
        /// Which withdrawal.
        withdrawal: WithdrawalId,
        /// The report that it came with.
        report: OutcomeReport,
        /// The dispense token that it must be about.
        dispense_token: DispenseToken,
    },
    /// Ask the connected ATM what became of a command. It is never told so by [`ToAtm::QueryOutcome`] from here: a lane has no random bits.
    AskOutcome {
        /// Which withdrawal.
        withdrawal: WithdrawalId,
        /// Whether the dispenser's present status is to be asked too, with a nonce that was never used before.
        with_status: bool,
    },
    /// Tell the connected ATM.
    Tell(ToAtm),
    /// End a connection that another has replaced.
    CloseLink(LinkId),
    /// Answer a caller.
    Answer {
        /// Which.
        request: RequestId,
        /// What.
        answer: Result<Answer, Refusal>,
    },
    /// Ask core banking to hold the money.
    PlaceHold(Box<Terms>),
    /// Ask core banking to settle.
    Settle {
        /// Which withdrawal.
        terms: Box<Terms>,
        /// Core banking's reference, if it gave one.
        hold: Option<HoldReference>,
        /// How.
        settlement: Settlement,
    },
    /// Count what left, or nothing, against the limits and end the reservation.
    EndReservation {
        /// Which withdrawal.
        withdrawal: WithdrawalId,
        /// What left; `None` gives the whole reservation back.
        dispensed: Option<Money>,
    },
    /// Read back a withdrawal that is not open, and come again with [`super::Input::Recalled`].
    Recall {
        /// Which.
        withdrawal: WithdrawalId,
        /// The report that is about it.
        report: OutcomeReport,
    },
}

/// What the ATM is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToAtm {
    /// It is known.
    Welcome {
        /// The gateway's clock.
        now: Timestamp,
        /// Its id.
        atm: AtmId,
    },
    /// Show a code.
    ShowQr {
        /// The code.
        code: MintedCode,
        /// When the QR session ends if nobody scans.
        qr_session_expires_at: Timestamp,
    },
    /// A phone scanned.
    QrClaimed(QrSessionId),
    /// Ask for the code.
    AskConfirmCode {
        /// For which withdrawal.
        withdrawal: WithdrawalId,
        /// How often a wrong one may still be typed.
        tries_left: u8,
        /// When the gateway gives up.
        expires_at: Timestamp,
    },
    /// Pay out.
    Dispense(DispenseCommand),
    /// Say what became of a command.
    QueryOutcome {
        /// Which withdrawal.
        withdrawal: WithdrawalId,
        /// The nonce to ask the dispenser's present status with.
        present_nonce: Option<CommandNonce>,
    },
    /// A report is on disk.
    OutcomeRecorded(WithdrawalId),
    /// The QR session is over.
    QrSessionEnded {
        /// Which.
        qr_session: QrSessionId,
        /// Why.
        end: QrSessionEnd,
    },
    /// No code now.
    TryLater {
        /// How long to wait.
        after: std::time::Duration,
        /// Why.
        refusal: Refusal,
    },
    /// A message was not accepted.
    Refused {
        /// Why.
        refusal: Refusal,
        /// About which withdrawal.
        withdrawal: Option<WithdrawalId>,
    },
}

/// Why a QR session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QrSessionEnd {
    /// Nobody scanned or approved in time.
    Expired,
    /// The customer cancelled.
    Cancelled,
    /// The bank refused.
    Declined,
    /// The ATM's part is done.
    Finished,
    /// It could not be carried on; nothing was taken.
    Failed,
}

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a scan.
    Scanned {
        /// The QR session.
        qr_session: QrSessionId,
        /// The machine.
        facts: AtmFacts,
        /// The amount that was chosen at the ATM.
        amount: Option<Money>,
        /// When the approval must have come.
        approve_before: Timestamp,
    },
    /// To an approval.
    Approved {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// The code that the app is to show.
        confirm_code: Option<ConfirmCode>,
    },
    /// To a cancellation or resolution.
    Done,
}

/// Whoever decides whether an approval may be accepted, by policy and limits.
pub trait Admission {
    /// Decides, and on success has reserved the amount under the withdrawal's id until [`Action::EndReservation`].
    ///
    /// The refusal of a limit or a policy says which, for the operator.
    fn admit(&mut self, approval: &Approval, machine: Machine<'_>, now: Timestamp) -> Result<Admitted, Refusal>;

    /// Whether codes may be shown at a machine at all, or what stops it.
    fn may_show_codes(&self, atm: &AtmId) -> Result<(), Refusal>;

    /// Whether the HSM has a dispense key for a machine.
    fn has_dispense_key(&self, atm: &AtmId) -> bool;
}

/// Where an approval is to be paid out.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// The ATM.
    pub atm: &'a AtmId,
    /// What it says of itself.
    pub facts: &'a AtmFacts,
    /// Whether the customer chose the amount there and not in the app.
    pub amount_chosen_there: bool,
}

/// An accepted approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// What stood behind it.
    pub decision: Decision,
    /// The code to be typed, if policy asks for one.
    pub confirm_code: Option<ConfirmCode>,
    /// The least grade of evidence on which the institution believes that less than everything left.
    pub evidence_demanded: EvidenceGrade,
}
