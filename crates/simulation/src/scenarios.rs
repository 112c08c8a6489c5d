//! The scenarios whose crashes are enumerated: every case of the demo under its name, and further ones that matter.
//!
//! A scenario says what happens in it, in the words of a world's timeline, and how each of its withdrawals ends. The seed of its world is the
//! first with which it does happen so: which moment a fault strikes at is drawn, and a number written down here would mean another story
//! after the next change to the worlds.

use crate::boundary::Standing;
use crate::boundary::Standing::{Confirmed, Declined, Reversed};
use crate::crash_plan::CrashPlan;
use crate::faults::Allowed;
use crate::faults::FaultKind::{self, *};
use crate::plan::{Plan, Script};
use crate::world::{Ended, World};

/// A scenario for which none of so many seeds does is not what it says.
const SEEDS_MAX: u64 = 20_000;

/// Long enough for an outcome's deadline to pass before the world heals.
const FAULTY_FOR_MS: u64 = 30 * 60_000;

/// A story with faults in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Its name; that of the demo's case, if it is one.
    pub name: &'static str,
    /// How many machines there are.
    pub machines: u16,
    /// The amounts that customers want, one after the other; with several machines, at each in turn and at the same time.
    pub amounts: &'static [u64],
    /// Whether they choose it at the machine.
    pub at_the_machine: bool,
    /// Whether the policy asks for a code.
    pub step_up: bool,
    /// Whether the dispensers have end-to-end security.
    pub end_to_end: bool,
    /// What goes wrong, each at its first opportunity.
    pub faults: &'static [FaultKind],
    /// Parts of its timeline's lines, in this order.
    pub story: &'static [&'static str],
    /// How its withdrawals end, in the order in which they were opened.
    pub ends: &'static [Standing],
    /// What of the demo's case is not in the worlds.
    pub apart_from: &'static str,
}

/// A scenario with the seed that plays it.
#[derive(Debug)]
pub struct Cast {
    /// The scenario.
    pub scenario: Scenario,
    /// Its world.
    pub plan: Plan,
    /// How it goes when nothing crashes, with every point that was passed.
    pub ended: Ended,
}

impl Scenario {
    /// Finds the seed with which it happens as it is told.
    ///
    /// # Errors
    ///
    /// A sentence with what never happened, if there is no such seed.
    pub fn cast(self) -> Result<Cast, String> {
        let mut best = (0, String::new());
        for seed in 1..=SEEDS_MAX {
            let plan = self.plan(seed);
            let ended = World::new(plan.clone(), Allowed::Nothing, true).with_crash_plan(CrashPlan::recorded()).run();
            match self.is_played_by(&ended) {
                Ok(()) => return Ok(Cast { scenario: self, plan, ended }),
                Err((far, why)) if best.1.is_empty() || far > best.0 => best = (far, format!("{why} (seed {seed})")),
                Err(_) => {}
            }
        }
        Err(format!("no seed up to {SEEDS_MAX} plays {:?}: {}", self.name, best.1))
    }

    /// Its world.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Plan {
        let script = Script {
            name: self.name,
            amounts: self.amounts.to_vec(),
            at_the_machine: self.at_the_machine,
            faults: self.faults.to_vec(),
        };
        let end_to_end = if self.end_to_end { u16::MAX } else { 0 };
        let plan = Plan::scenario(script, self.step_up);
        Plan { seed, faulty_for_ms: FAULTY_FOR_MS, atms: self.machines, end_to_end, ..plan }
    }

    /// Whether a world did what the scenario says; if not, how far it came and what is missing.
    fn is_played_by(&self, ended: &Ended) -> Result<(), (usize, String)> {
        let mut lines = ended.timeline.iter();
        for (far, part) in self.story.iter().enumerate() {
            if !lines.any(|line| line.contains(part)) {
                return Err((far, format!("{part:?} did not happen in its turn")));
            }
        }
        let ends: Vec<Standing> = ended.books.iter().map(|book| book.standing).collect();
        if ends != self.ends {
            return Err((self.story.len(), format!("it ended as {ends:?}, not as {:?}", self.ends)));
        }
        Ok(())
    }

    const fn of(name: &'static str, amounts: &'static [u64], faults: &'static [FaultKind]) -> Self {
        let (story, ends): (&[&str], &[Standing]) = (&[], &[]);
        let (at_the_machine, step_up, end_to_end, apart_from) = (false, false, false, "");
        Self { name, machines: 1, amounts, at_the_machine, step_up, end_to_end, faults, story, ends, apart_from }
    }

    const fn tells(self, story: &'static [&'static str]) -> Self {
        Self { story, ..self }
    }

    const fn ends(self, ends: &'static [Standing]) -> Self {
        Self { ends, ..self }
    }

    const fn at_the_machine(self) -> Self {
        Self { at_the_machine: true, ..self }
    }

    const fn two_machines(self) -> Self {
        Self { machines: 2, ..self }
    }

    const fn end_to_end(self) -> Self {
        Self { end_to_end: true, ..self }
    }

    const fn with_code(self) -> Self {
        Self { step_up: true, ..self }
    }

    const fn apart_from(self, apart_from: &'static str) -> Self {
        Self { apart_from, ..self }
    }
}

const APPROVED: &str = "approved -> hold_requested";
const HELD: &str = "hold_granted -> held";
const COMMANDED: &str = "dispense_commanded -> dispense_commanded";
const UNKNOWN: &str = "outcome_reported -> outcome_unknown";
const CONFIRMING: &str = "outcome_reported -> confirming";
const REVERSING: &str = "outcome_reported -> reversing";
const SUSPECT: &str = "outcome_reported -> suspect";
const CONFIRMED: &str = "hold_confirmed -> confirmed";
const REVERSED: &str = "hold_reversed -> reversed";
const RESOLVED: &str = "SuspectResolved";
const SCANNED: &str = "phone of visit 0: scanned";
const KILLED: &str = "the gateway is gone: killed";

/// Every case of the demo, in its order.
pub const OF_THE_DEMO: [Scenario; 24] = [
    Scenario::of("plain success", &[30_000], &[])
        .tells(&[APPROVED, HELD, COMMANDED, CONFIRMING, CONFIRMED])
        .ends(&[Confirmed(30_000)]),
    Scenario::of("amount chosen at ATM", &[20_000], &[])
        .at_the_machine()
        .tells(&[COMMANDED, CONFIRMED])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("step-up code", &[40_000], &[WrongCode])
        .with_code()
        .tells(&[
            "hold_granted -> awaiting_code",
            "code_mismatched -> awaiting_code",
            "code_matched -> held",
            CONFIRMED,
        ])
        .ends(&[Confirmed(40_000)]),
    Scenario::of("cancelled after scan", &[10_000], &[CancelsBeforeApproval]).tells(&[
        SCANNED,
        "[CancelsBeforeApproval",
        "phone of visit 0: done",
    ]),
    Scenario::of("declined by bank", &[10_000], &[BankDeclines])
        .tells(&[APPROVED, "hold_declined -> declined insufficient_funds"])
        .ends(&[Declined]),
    Scenario::of("not dispensable", &[5_500], &[])
        .tells(&[SCANNED, "phone of visit 0: refused: AMOUNT_NOT_DISPENSABLE"]),
    Scenario::of("replayed code", &[10_000, 10_000], &[OldCode, OldCode])
        .tells(&[CONFIRMED, "[OldCode", "phone of visit 1: refused: QR_"])
        .ends(&[Confirmed(10_000)]),
    Scenario::of("photographed code", &[10_000], &[TwoPhones])
        .tells(&[SCANNED, "phone of visit 0: refused: QR_TOKEN_CLAIMED", CONFIRMED])
        .ends(&[Confirmed(10_000)]),
    Scenario::of("code of another ATM", &[10_000], &[LateApproval])
        .tells(&[SCANNED, "[LateApproval", "phone of visit 0: refused: QR_SESSION_ENDED"])
        .apart_from("the app shows which machine it is; its lane sees a scan, and an approval after the end"),
    Scenario::of("changed code", &[10_000], &[WalksAway]).tells(&["[WalksAway", SCANNED]).apart_from(
        "the changed code is refused by verification, before any lane; the unchanged one is scanned and left",
    ),
    Scenario::of("wrong signature", &[10_000], &[WalksAway])
        .tells(&["[WalksAway", SCANNED])
        .apart_from("the approval is refused by verification, before any lane; the code is scanned and left"),
    Scenario::of("new phone", &[120_000], &[])
        .tells(&[SCANNED, "phone of visit 0: refused: LIMIT_EXCEEDED"])
        .apart_from("the phones of a world are old; it is another limit that refuses"),
    Scenario::of("above habit", &[10_000], &[WalksAway])
        .tells(&["[WalksAway", SCANNED])
        .apart_from("the rules of a world refuse nobody; the code is scanned and left"),
    Scenario::of("kill switch", &[10_000], &[StopThrown])
        .tells(&["[StopThrown"])
        .apart_from("what it ends depends on the moment; that nothing begins while it holds is the desk's"),
    Scenario::of("five failures", &[10_000], &[WalksAway])
        .tells(&["[WalksAway", SCANNED])
        .apart_from("approvals are refused by verification, before any lane; the code is scanned and left"),
    Scenario::of("key changed", &[10_000], &[StopThrown])
        .tells(&["[StopThrown"])
        .apart_from("for a lane another key is a stop of the phone"),
    Scenario::of("partial dispense", &[30_000], &[PartialDispense])
        .tells(&["[PartialDispense", CONFIRMING, CONFIRMED])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("proven partial", &[30_000], &[PartialDispense])
        .end_to_end()
        .tells(&["[PartialDispense", UNKNOWN, "OutcomeAsked", CONFIRMING, CONFIRMED])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("notes taken back", &[20_000], &[RetractCounted])
        .tells(&["[RetractCounted", REVERSING, REVERSED])
        .ends(&[Reversed]),
    Scenario::of("hold unanswered", &[10_000], &[BankAnswerLost])
        .tells(&["HoldPosted", "hold_unanswered -> reversing", "ReversePosted", REVERSED])
        .ends(&[Reversed]),
    Scenario::of("power cut", &[30_000], &[AtmPowerCut])
        .tells(&[COMMANDED, "[AtmPowerCut", "NotesMoved", UNKNOWN, CONFIRMING, CONFIRMED])
        .ends(&[Confirmed(30_000)]),
    Scenario::of("gateway killed", &[30_000], &[AtmPowerCut, GatewayCrashes])
        .tells(&[COMMANDED, "NotesMoved", KILLED, "GatewayStarted", CONFIRMING, CONFIRMED])
        .ends(&[Confirmed(30_000)]),
    Scenario::of("uncounted retract", &[20_000], &[RetractUncounted])
        .tells(&["[RetractUncounted", UNKNOWN, "outcome_deadline_passed -> suspect", RESOLVED, REVERSED])
        .ends(&[Reversed]),
    Scenario::of("lying machine", &[20_000], &[DeniesWithoutProof])
        .end_to_end()
        .tells(&["NotesMoved", "[DeniesWithoutProof", UNKNOWN, "-> suspect", RESOLVED, CONFIRMED])
        .ends(&[Confirmed(20_000)]),
];

/// What the demo does not show.
pub const FURTHER: [Scenario; 35] = [
    Scenario::of("above limit", &[120_000], &[]).tells(&[SCANNED, "phone of visit 0: refused: LIMIT_EXCEEDED"]),
    Scenario::of("wrong code three times", &[10_000], &[WrongCode, WrongCode, WrongCode])
        .with_code()
        .tells(&["code_mismatched -> awaiting_code", "code_mismatched -> reversing", REVERSED])
        .ends(&[Reversed]),
    Scenario::of("cancelled while the hold is asked for", &[10_000], &[BankAnswerLate, CancelsAfterApproval])
        .tells(&[APPROVED, "customer_cancelled -> reversing", REVERSED])
        .ends(&[Reversed]),
    Scenario::of("cancelled while the code is asked for", &[10_000], &[CancelsAfterApproval])
        .with_code()
        .tells(&["hold_granted -> awaiting_code", "customer_cancelled -> reversing", REVERSED])
        .ends(&[Reversed]),
    Scenario::of("cancelled too late", &[10_000], &[CancelsAfterApproval])
        .tells(&[COMMANDED, "refused: TOO_LATE", CONFIRMED])
        .ends(&[Confirmed(10_000)]),
    Scenario::of("late grant, already reversed", &[10_000], &[BankAnswerLate])
        .tells(&["hold_unanswered -> reversing", REVERSED, "granted: true"])
        .ends(&[Reversed]),
    Scenario::of("late grant, while reversing", &[10_000], &[BankAnswerLate, BankPartition])
        .tells(&["hold_unanswered -> reversing", "granted: true", "hold_granted -> reversing", REVERSED])
        .ends(&[Reversed]),
    Scenario::of("hold request lost", &[10_000], &[BankRequestLost])
        .tells(&["hold_unanswered -> reversing", "ReversePosted", REVERSED])
        .ends(&[Reversed]),
    Scenario::of("hold request twice", &[10_000], &[BankRequestDuplicated])
        .tells(&[CONFIRMED])
        .ends(&[Confirmed(10_000)]),
    Scenario::of("hold answer twice", &[10_000], &[BankAnswerDuplicated])
        .tells(&[CONFIRMED])
        .ends(&[Confirmed(10_000)]),
    Scenario::of("walks away with the code asked for", &[10_000], &[WalksAway])
        .with_code()
        .tells(&["hold_granted -> awaiting_code", "abandoned -> reversing", REVERSED])
        .ends(&[Reversed]),
    Scenario::of("approved twice", &[10_000], &[DoubleTap])
        .tells(&["[DoubleTap", CONFIRMED])
        .ends(&[Confirmed(10_000)]),
    Scenario::of("scan's answer lost", &[10_000], &[PhoneAnswerLost])
        .tells(&["[PhoneAnswerLost", SCANNED, CONFIRMED])
        .ends(&[Confirmed(10_000)]),
    Scenario::of("jam, proven", &[20_000], &[Jam]).tells(&["[Jam", REVERSING, REVERSED]).ends(&[Reversed]),
    Scenario::of("jam, on bare word", &[20_000], &[Jam, BareWord])
        .tells(&["[BareWord", UNKNOWN, "-> suspect", RESOLVED, REVERSED])
        .ends(&[Reversed]),
    Scenario::of("more than commanded is reported", &[30_000], &[AtmLies])
        .tells(&["[AtmLies", "presented: 40000", SUSPECT, RESOLVED, CONFIRMED])
        .ends(&[Confirmed(30_000)]),
    Scenario::of("two outcomes, before the end", &[30_000], &[BankCrash, AtmLiesTwice])
        .tells(&[CONFIRMING, "[AtmLiesTwice", SUSPECT, RESOLVED, CONFIRMED])
        .ends(&[Confirmed(30_000)]),
    Scenario::of("two outcomes, after the end", &[30_000], &[AtmLiesTwice])
        .tells(&[CONFIRMING, "[AtmLiesTwice", CONFIRMED])
        .ends(&[Confirmed(30_000)]),
    Scenario::of("two outcomes, and it cannot be read back", &[30_000], &[AtmLiesTwice, ReadFails])
        .tells(&[CONFIRMED, "[ReadFails"])
        .ends(&[Confirmed(30_000)]),
    Scenario::of("core bank contradicts itself", &[20_000], &[BankContradicts, BankContradicts])
        .tells(&["ConfirmPosted", "settlement_refused -> suspect", RESOLVED, CONFIRMED])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("power lost before the notes moved", &[20_000], &[AtmPowerCut])
        .tells(&[COMMANDED, "[AtmPowerCut", UNKNOWN, REVERSING, REVERSED])
        .ends(&[Reversed]),
    Scenario::of("power lost, and the record with it", &[20_000], &[AtmPowerCut])
        .tells(&[COMMANDED, "[AtmPowerCut", UNKNOWN, "outcome_deadline_passed -> suspect", RESOLVED, CONFIRMED])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("line cut while held", &[20_000], &[BankAnswerLate, LineCut])
        .tells(&[APPROVED, "[LineCut", HELD, "connects", COMMANDED, CONFIRMED])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("machine gone while held", &[20_000], &[BankAnswerLate, AtmPartition])
        .tells(&[APPROVED, "[AtmPartition", HELD, "abandoned -> reversing", REVERSED])
        .ends(&[Reversed]),
    Scenario::of("line cut while paying", &[20_000], &[LineCut])
        .tells(&[COMMANDED, "[LineCut", "connects", CONFIRMED])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("command never arrives", &[20_000], &[DeafAtm])
        .tells(&["[DeafAtm", COMMANDED, "connects", REVERSING, REVERSED])
        .ends(&[Reversed]),
    Scenario::of("silent machine", &[20_000], &[AtmPartition])
        .tells(&[COMMANDED, "[AtmPartition", "outcome_deadline_passed -> suspect"])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("two withdrawals one after the other", &[30_000, 20_000], &[])
        .tells(&[CONFIRMED, APPROVED, CONFIRMED])
        .ends(&[Confirmed(30_000), Confirmed(20_000)]),
    Scenario::of("two machines, one disk", &[30_000, 20_000], &[SlowSync])
        .two_machines()
        .tells(&["[SlowSync", "records wait for the group", CONFIRMED, CONFIRMED])
        .ends(&[Confirmed(30_000), Confirmed(20_000)]),
    Scenario::of("bank down while confirming", &[20_000], &[BankCrash])
        .tells(&[HELD, "[BankCrash", CONFIRMING, CONFIRMED])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("disk full, so the next is refused", &[20_000, 10_000], &[DiskFull])
        .tells(&["[DiskFull", CONFIRMED, "phone of visit 1: refused: LEDGER_FULL"])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("disk full while paying", &[20_000], &[DiskFull])
        .tells(&[COMMANDED, "[DiskFull", CONFIRMING, CONFIRMED])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("sync fails", &[20_000], &[SyncFails]).tells(&["the gateway is gone: a sync failed"]),
    Scenario::of("sync is slow", &[20_000], &[SlowSync]).tells(&["[SlowSync", CONFIRMED]).ends(&[Confirmed(20_000)]),
    Scenario::of("HSM refuses", &[20_000], &[HsmRefuses]).tells(&["[HsmRefuses"]),
];

/// With dispensers that pay out against a token, and prove what they did.
pub const END_TO_END: [Scenario; 8] = [
    Scenario::of("end to end, success", &[30_000], &[])
        .end_to_end()
        .tells(&[HELD, "token: Some", "StatusVerified", CONFIRMING, CONFIRMED])
        .ends(&[Confirmed(30_000)]),
    Scenario::of("end to end, no token for a while", &[20_000], &[TokenNotMade])
        .end_to_end()
        .tells(&[HELD, "[TokenNotMade", COMMANDED, CONFIRMED])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("end to end, line cut before the token", &[20_000], &[TokenNotMade, LineCut])
        .end_to_end()
        .tells(&[HELD, "[LineCut", "connects", COMMANDED, CONFIRMED])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("end to end, jam", &[20_000], &[Jam])
        .end_to_end()
        .tells(&["[Jam", UNKNOWN, "OutcomeAsked", "StatusVerified", REVERSING, REVERSED])
        .ends(&[Reversed]),
    Scenario::of("end to end, jam while the HSM is away", &[20_000], &[Jam, StatusNotVerified, StatusNotVerified])
        .end_to_end()
        .tells(&["[StatusNotVerified", UNKNOWN, "[StatusNotVerified", "StatusVerified", REVERSING, REVERSED])
        .ends(&[Reversed]),
    Scenario::of("end to end, forged status", &[20_000], &[Jam, StatusForged])
        .end_to_end()
        .tells(&["[StatusForged", UNKNOWN, "genuine: true", REVERSING, REVERSED])
        .ends(&[Reversed]),
    Scenario::of("end to end, denied too early", &[20_000], &[DeniesEarly])
        .end_to_end()
        .tells(&["[DeniesEarly", UNKNOWN, "OutcomeAsked", "NotesMoved", CONFIRMING, CONFIRMED])
        .ends(&[Confirmed(20_000)]),
    Scenario::of("end to end, command never arrives", &[20_000], &[DeafAtm])
        .end_to_end()
        .tells(&["[DeafAtm", COMMANDED, "connects", UNKNOWN, "-> suspect", RESOLVED, REVERSED])
        .ends(&[Reversed]),
];

/// Every scenario.
pub fn all() -> impl Iterator<Item = Scenario> {
    OF_THE_DEMO.into_iter().chain(FURTHER).chain(END_TO_END)
}
