//! The ledger of the world, and the auditor who reads every turn of the lane.

use std::collections::{BTreeMap, BTreeSet};

use cashgate_withdrawal::dispense::DispenseCommand;
use cashgate_withdrawal::event::{Event, Settlement};
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::lane::{Action, Lane, Record, ToAtm, Turn};
use cashgate_withdrawal::step;
use cashgate_withdrawal::withdrawal::{State, Withdrawal};

/// Every record that was made durable, and what was sent out on the strength of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) records: BTreeMap<WithdrawalId, Vec<Record>>,
    commands_sent: BTreeMap<WithdrawalId, DispenseCommand>,
    holds_asked: BTreeSet<WithdrawalId>,
}

impl Books {
    /// Makes a turn's records durable, then looks at its actions as they are carried out.
    pub(crate) fn enter(&mut self, turn: &Turn, lane: &Lane, reserved: &mut BTreeSet<WithdrawalId>) {
        for record in &turn.records {
            self.enter_record(record);
        }
        for action in &turn.actions {
            self.audit(action, turn, lane, reserved);
        }
        for remark in &turn.remarks {
            let history = self.records.get(&remark.withdrawal);
            assert!(history.is_some_and(|history| history.iter().all(|record| record.at <= remark.at)), "{remark:?}");
        }
        let open: Vec<&Withdrawal> =
            self.records.keys().map(|id| self.last(*id)).filter(|w| !w.state.is_ended()).collect();
        assert!(lane.open_withdrawals().eq(open.iter().copied()), "the lane and the ledger know the same");
        assert!(
            reserved.iter().eq(open.iter().map(|w| &w.terms.withdrawal)),
            "amounts are reserved exactly while withdrawals are open"
        );
        assert!(open.iter().filter(|w| w.state.occupies_atm()).count() <= 1, "one customer at a time");
    }

    /// The records of one withdrawal are numbered without gaps, and replaying their events gives what they say.
    fn enter_record(&mut self, record: &Record) {
        let history = self.records.entry(record.after.terms.withdrawal).or_default();
        let replayed = match (history.last(), &record.event) {
            (None, None) => Withdrawal::open(record.after.terms.clone()).0,
            (Some(last), Some(event)) => {
                assert!(!last.after.state.is_ended(), "ended withdrawals do not change: {}", record.name());
                step(last.after.clone(), event.clone(), record.at).expect("a record is a legal step").0
            }
            _ => panic!("the approval comes first, and once: {}", record.name()),
        };
        assert_eq!(replayed, record.after, "replay gives what was recorded");
        assert_eq!(usize::try_from(record.number), Ok(history.len() + 1), "numbers without gaps");
        history.push(record.clone());
    }

    fn audit(&mut self, action: &Action, turn: &Turn, lane: &Lane, reserved: &mut BTreeSet<WithdrawalId>) {
        match action {
            Action::PlaceHold(terms) => {
                assert_eq!(self.last(terms.withdrawal).terms, **terms);
                assert!(self.holds_asked.insert(terms.withdrawal), "a hold is asked for once");
            }
            Action::Tell(ToAtm::Dispense(command)) => self.audit_dispense(command, lane),
            Action::Settle { terms, settlement, .. } => {
                let mut states = self.passed_through(terms.withdrawal, turn);
                assert!(states.any(|state| calls_for(state, *settlement)), "nothing calls for {settlement:?}");
            }
            Action::EndReservation { withdrawal, dispensed } => {
                assert!(reserved.remove(withdrawal), "a reservation ends once");
                assert_eq!(*dispensed, self.last(*withdrawal).state.dispensed(), "what left is what is counted");
            }
            _ => {}
        }
    }

    /// The states of a withdrawal in a turn: the one that it came with, and those that the turn gave it.
    fn passed_through(&self, id: WithdrawalId, turn: &Turn) -> impl Iterator<Item = &State> {
        let new = turn.records.iter().filter(|record| record.after.terms.withdrawal == id).count();
        self.history(id).iter().rev().take(new + 1).map(|record| &record.after.state)
    }

    /// Rules 2 and 3: the intent is durable, on a granted hold, and every copy is the same.
    fn audit_dispense(&mut self, command: &DispenseCommand, lane: &Lane) {
        assert!(lane.view().connected, "nobody is there to hear the command");
        let history = self.history(command.withdrawal);
        let is_this = |record: &Record| matches!(&record.event, Some(Event::DispenseCommanded { command: recorded }) if recorded == command);
        let commanded = history.iter().position(is_this).expect("the command is durable before it leaves");
        assert!(
            history[..commanded].iter().any(|record| record.name() == "hold_granted"),
            "no dispense without a hold"
        );
        let first = self.commands_sent.entry(command.withdrawal).or_insert_with(|| command.clone());
        assert_eq!(first, command, "every copy of the command is the same");
    }

    /// The latest known of a withdrawal.
    pub(crate) fn last(&self, id: WithdrawalId) -> &Withdrawal {
        &self.history(id).last().expect("recorded").after
    }

    pub(crate) fn history(&self, id: WithdrawalId) -> &[Record] {
        self.records.get(&id).map_or(&[], Vec::as_slice)
    }

    /// What a restart begins with.
    pub(crate) fn open(&self) -> Vec<(Withdrawal, u32)> {
        let last = self.records.values().filter_map(|history| history.last());
        last.filter(|record| !record.after.state.is_ended())
            .map(|record| (record.after.clone(), record.number))
            .collect()
    }

    /// The books as they stand if the gateway dies when only the first `count` records of the withdrawal are durable.
    pub(crate) fn cut_after(&mut self, id: WithdrawalId, count: usize) {
        self.records.get_mut(&id).expect("recorded").truncate(count);
        if !self.history(id).iter().any(|record| record.name() == "dispense_commanded") {
            self.commands_sent.remove(&id);
        }
    }
}

/// Whether core banking may be asked so in this state. A grant that comes after the end is reversed as well.
fn calls_for(state: &State, settlement: Settlement) -> bool {
    match (state, settlement) {
        (State::Confirming { amount, .. }, Settlement::Confirm(asked)) => *amount == asked,
        (State::Reversing { .. } | State::Reversed { .. } | State::Declined { .. }, Settlement::Reverse) => true,
        _ => false,
    }
}
