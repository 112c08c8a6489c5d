//! A replica that does not hear the database sends its machines to one that does.
//!
//! Whether a replica may act, and whether it takes machines, the production's own [`Pulse`](cashgate_gateway::replica::Pulse) says. Who is asked,
//! and what a lane's driver does then, is modelled here: in production both are bound up with connections and tasks.

use cashgate_withdrawal::lane::{Input, LinkId};
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::time::Timestamp;

use crate::boundary::{Among, AtmNo};
use crate::event::{Caller, Event};
use crate::gateway::Gateway;
use crate::world::World;

/// How often a replica that does not hear asks whether others do.
const LOOK_EVERY_MS: u64 = 250;
/// How long it waits for the answer.
const ANSWER_MS_MAX: u64 = 500;

impl World {
    /// The present replica has not heard what others wrote for a second: from now on it looks whether it may still act.
    pub(crate) fn begins_to_look(&mut self) {
        if self.gateway.members.is_looking {
            return;
        }
        self.gateway.members.is_looking = true;
        let life = self.gateway.life;
        self.after(LOOK_EVERY_MS, Event::LooksElsewhere { life });
    }

    /// Whether the present replica has heard nothing for a second. Looking costs events, so it is done only then.
    pub(crate) fn is_behind(&self) -> bool {
        !self.gateway.members.pulse.is_fresh(Timestamp::from_unix_ms(self.now))
    }

    /// Asks all others whether they take machines, if it may not act itself.
    pub(crate) fn looks_elsewhere(&mut self) {
        let (life, now) = (self.gateway.life, Timestamp::from_unix_ms(self.now));
        if self.gateway.members.pulse.may_act(now) {
            self.gateway.members.served_elsewhere = false;
            self.gateway.members.is_looking = self.is_behind();
            if self.gateway.members.is_looking {
                self.after(LOOK_EVERY_MS, Event::LooksElsewhere { life });
            }
            return;
        }
        let after = self.network.between(2, 20);
        self.after(after, Event::AsksElsewhere { life });
    }

    /// The question is with the others. Whoever takes machines says so at once; who does not, or is not reached, makes it wait.
    pub(crate) fn asks_elsewhere(&mut self) {
        let (life, now) = (self.gateway.life, Timestamp::from_unix_ms(self.now));
        let takes = |peer: &Gateway| {
            let is_reached = self.now >= peer.members.paused_until_ms.max(peer.members.peers_cut_until_ms);
            peer.up && is_reached && peer.members.pulse.takes_atms(now)
        };
        let takes = self.now >= self.gateway.members.peers_cut_until_ms && self.others.iter().any(takes);
        let after = if takes { self.network.between(2, 20) } else { self.network.between(20, ANSWER_MS_MAX) };
        self.after(after, Event::ElsewhereAnswered { life, takes });
    }

    pub(crate) fn elsewhere_answered(&mut self, takes: bool) {
        let (life, now) = (self.gateway.life, Timestamp::from_unix_ms(self.now));
        #[cfg(feature = "planted")]
        let takes = (takes || is(Bug::SentInCircles)) && !is(Bug::DeafKeepsAtms);
        let is_deaf = !self.gateway.members.pulse.may_act(now);
        #[cfg(feature = "planted")]
        let is_deaf = is_deaf || is(Bug::SentWithoutSecondLook);
        self.gateway.members.served_elsewhere = takes && is_deaf;
        if self.gateway.members.served_elsewhere {
            for atm in 0..self.plan.atms {
                self.sends_elsewhere(atm);
            }
        } else if is_deaf && (0..self.plan.atms).any(|atm| self.gateway.link(atm).is_some()) {
            self.count("machines kept, because nobody hears");
        }
        self.after(LOOK_EVERY_MS, Event::LooksElsewhere { life });
    }

    /// The machine goes to another replica, whomever it serves; its lane stays until that one asks for it.
    pub(crate) fn sends_elsewhere(&mut self, atm: AtmNo) {
        let life = self.gateway.life;
        let Some(slot) = self.gateway.slot(atm) else { return };
        let Some(link) = slot.link.take() else { return };
        let writes = slot.waiting.is_some() && !slot.is_durable;
        slot.inbox.push_back((Input::AtmDisconnected { link: LinkId(link) }, None));
        self.count("machines sent elsewhere");
        self.crosses_among(Among::AtmSentElsewhere { atm });
        self.database.sent_elsewhere.insert(atm, (life, false));
        let after = self.network.between(5, 60);
        self.after(after, Event::AtmLosesLink { atm, link });
        if writes {
            self.count("machines sent elsewhere while a write is on its way");
            self.tells_callers_that_nobody_knows(atm);
        }
    }

    /// A machine whose lane is not here has come to a replica that cannot ask for it.
    pub(crate) fn refuses_newcomer(&mut self, atm: AtmNo, link: u64) {
        self.count("newcomers sent elsewhere");
        let after = self.network.between(5, 60);
        self.after(after, Event::AtmLosesLink { atm, link });
    }

    /// What they asked for may still become durable, unless another replica has the lane first.
    fn tells_callers_that_nobody_knows(&mut self, atm: AtmNo) {
        let waiting: Vec<_> = self.gateway.callers.keys().filter(|(of, _)| *of == atm).copied().collect();
        for key in waiting {
            if let Some(Caller::Phone { visit, phone, asks }) = self.gateway.callers.remove(&key) {
                self.answer_phone(visit, phone, asks, Err(Refusal::OutcomeUnknown));
            }
        }
    }

    /// A machine came and its lane was taken: was it sent away by another?
    pub(crate) fn perhaps_was_sent_here(&mut self, atm: AtmNo) {
        let life = self.gateway.life;
        if let Some((by, is_served)) = self.database.sent_elsewhere.get_mut(&atm)
            && *by != life
            && !std::mem::replace(is_served, true)
        {
            self.count("machines served elsewhere");
        }
    }
}
