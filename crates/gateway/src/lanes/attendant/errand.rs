//! What is to be done once an intent is durable.

use cashgate_wire::customer::PinBlock;
use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::evidence::DispenseToken;
use cashgate_withdrawal::ids::{CommandNonce, HoldReference, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::{Answer, LinkId, RequestId, ToAtm};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::withdrawal::Terms;

/// Something that leaves the lane.
#[derive(Debug)]
pub enum Errand {
    /// Tell the connected ATM.
    Tell(ToAtm),
    /// A connection was replaced by another.
    LinkReplaced(LinkId),
    /// Answer a caller.
    Answer {
        /// Which.
        request: RequestId,
        /// What.
        answer: Result<Answer, Refusal>,
    },
    /// Have the HSM sign a code, and come back with `Input::CodeMinted` or `Input::MintFailed`. There is never more than one of
    /// these under way.
    Mint {
        /// For which QR session.
        qr_session: QrSessionId,
        /// The amount that was chosen at the ATM.
        amount: Option<Money>,
    },
    /// Ask core banking for a hold, and come back with `Input::HoldAnswered`.
    PlaceHold {
        /// For what.
        terms: Box<Terms>,
        /// To be passed on, and forgotten.
        pin_block: Option<PinBlock>,
    },
    /// Tell core banking how a hold ends, and come back with `Input::SettlementAnswered`.
    Settle {
        /// Which withdrawal.
        terms: Box<Terms>,
        /// Core banking's reference, if it gave one.
        hold: Option<HoldReference>,
        /// How.
        settlement: Settlement,
    },
    /// Ask the connected ATM what became of a command; with its dispenser's status under a fresh nonce, which is told to
    /// [`super::Attendant::asked_with`] before it leaves.
    AskOutcome {
        /// Which withdrawal.
        withdrawal: WithdrawalId,
        /// Whether the status is asked too.
        with_status: bool,
    },
    /// Have the HSM make a dispense token, and come back with `Input::DispenseTokenMade` or `Input::DispenseTokenFailed`.
    MakeDispenseToken {
        /// For which withdrawal.
        withdrawal: WithdrawalId,
        /// The dispenser's nonce.
        nonce: CommandNonce,
        /// The most that it may pay out.
        amount: Money,
    },
    /// Have the HSM verify the present token of a report, and come back with `Input::PresentTokenVerified`, also if it could not be. There
    /// is never more than one of these under way, so reports with tokens stay in their order.
    VerifyPresentToken {
        /// On which withdrawal.
        withdrawal: WithdrawalId,
        /// The report.
        report: OutcomeReport,
        /// What the token has to be about.
        dispense_token: DispenseToken,
        /// The nonces that make it a fresh one.
        asked_with: Vec<CommandNonce>,
    },
    /// Read a withdrawal back, and come back with `Input::Recalled` or [`super::Attendant::recall_failed`]. There is never more than one of
    /// these under way.
    Recall {
        /// Which.
        withdrawal: WithdrawalId,
        /// The report that is about it.
        report: OutcomeReport,
    },
}
