//! What the demo shows: each case is a customer, or a thief, at a machine.

mod at_the_machine;
mod faults;
mod fraud;
mod power;
mod refusals;

use super::report::Told;
use super::world::{STRICT, World};
use crate::parties::phone::Phone;
use crate::site::Site;

/// When the banks say that they bound their apps. The gateway sees every phone for the first time, and counts from there.
const BOUND_HOURS_AGO: u32 = 100;

/// One line of the demo. Every case has an account and a phone of its own, so that no limit of one is felt by another.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) institution: &'static str,
    pub(crate) run: fn(&mut World, &Phone) -> Result<Told, String>,
}

impl Case {
    /// The account that this case draws from.
    pub(crate) fn account(&self) -> String {
        format!("acct-{}", self.name.replace(' ', "-"))
    }

    /// Registers the phone of this case.
    pub(crate) fn phone(&self, site: &Site) -> Result<Phone, String> {
        let device = format!("phone-{}", self.name.replace(' ', "-"));
        Phone::register(site, self.institution, &device, &self.account(), BOUND_HOURS_AGO)
    }
}

const fn sakura(name: &'static str, run: fn(&mut World, &Phone) -> Result<Told, String>) -> Case {
    Case { name, institution: "sakura", run }
}

const fn momiji(name: &'static str, run: fn(&mut World, &Phone) -> Result<Told, String>) -> Case {
    Case { name, institution: "momiji", run }
}

/// Every case, in the order in which they are shown. Names are unique; A3 loses its power now and then, and A2 and A1 are
/// left with an open withdrawal by the last two.
pub(crate) const ALL: [Case; 24] = [
    sakura("plain success", at_the_machine::plain_success),
    sakura("amount chosen at ATM", at_the_machine::amount_chosen_at_atm),
    momiji("step-up code", at_the_machine::step_up_code),
    sakura("cancelled after scan", at_the_machine::cancelled_after_scan),
    momiji("declined by bank", refusals::declined_by_bank),
    sakura("not dispensable", refusals::not_dispensable),
    momiji("replayed code", refusals::replayed_code),
    sakura("photographed code", refusals::photographed_code),
    sakura("code of another ATM", refusals::code_of_another_atm),
    momiji("changed code", refusals::changed_code),
    sakura("wrong signature", refusals::wrong_signature),
    Case { name: "new phone", institution: STRICT, run: fraud::new_phone },
    momiji("above habit", fraud::above_habit),
    sakura("kill switch", fraud::kill_switch),
    momiji("five failures", fraud::five_failures),
    sakura("key changed", fraud::key_changed),
    sakura("partial dispense", faults::partial_dispense),
    momiji("proven partial", faults::proven_partial),
    momiji("notes taken back", faults::notes_taken_back),
    momiji("hold unanswered", faults::hold_unanswered),
    sakura("power cut", power::power_cut),
    sakura("gateway killed", power::gateway_killed),
    sakura("uncounted retract", faults::uncounted_retract),
    momiji("lying machine", faults::lying_machine),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_has_an_account_of_its_own_with_a_name_that_the_gateway_accepts() {
        let accounts: BTreeSet<String> = ALL.iter().map(Case::account).collect();
        assert_eq!(accounts.len(), ALL.len());
        let fits = |id: &String| id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        assert!(accounts.iter().all(fits), "{accounts:?}");
    }
}
