//! Which accounts a phone asked for, and which phones asked for an account, within 30 days.

use std::collections::HashMap;

use super::shelf::{Key, Shelf};

/// One side's partner, and the day on which the two were last seen together.
#[derive(Clone, Copy)]
struct Partner {
    tag: u32,
    day: u16,
}

impl Partner {
    const fn is_live(self, today: u16) -> bool {
        today.saturating_sub(self.day) <= Partners::DAYS
    }
}

/// Nearly everybody has one partner, who stands in the entry itself; those with more have a list beside it.
pub(super) struct Partners {
    first: Shelf<Partner>,
    more: HashMap<Key, Vec<Partner>>,
}

impl Partners {
    const DAYS: u16 = 30;
    /// More partners than this are not told apart.
    const MORE_MAX: usize = 63;

    pub(super) fn new() -> Self {
        Self { first: Shelf::new(), more: HashMap::new() }
    }

    /// How many partners `of` had, with this one; 64 stands for 64 and more.
    pub(super) fn count(&self, of: Key, with: Key, today: u16) -> u32 {
        let first = self.first.entry(of).into_iter();
        let more = self.more.get(&of).into_iter().flatten();
        let others = first.chain(more).filter(|one| one.is_live(today) && one.tag != with.tag()).count();
        1 + u32::try_from(others).unwrap_or(u32::MAX - 1)
    }

    pub(super) fn met(&mut self, of: Key, with: Key, today: u16) {
        let now = Partner { tag: with.tag(), day: today };
        let more = self.more.get_mut(&of);
        if let Some(known) = more.into_iter().flatten().find(|one| one.tag == now.tag) {
            known.day = known.day.max(today);
            return;
        }
        let Some(first) = self.first.entry_or(of, || now) else { return };
        if first.tag == now.tag || !first.is_live(today) {
            *first = now;
            return;
        }
        let more = self.more.entry(of).or_default();
        more.retain(|one| one.is_live(today));
        if more.len() < Self::MORE_MAX {
            more.push(now);
        }
    }

    pub(super) fn forget_older(&mut self, today: u16) {
        self.first.sweep(|one| one.is_live(today));
        self.more.retain(|_, more| {
            more.retain(|one| one.is_live(today));
            !more.is_empty()
        });
    }

    pub(super) fn len(&self) -> usize {
        self.first.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> Key {
        Key::of("device", "bank-a", id)
    }

    #[test]
    fn each_partner_counts_once_and_for_30_days() {
        let mut partners = Partners::new();
        assert_eq!(partners.count(key("a"), key("1"), 100), 1, "the one that asks counts");
        for (with, day) in [("1", 100), ("2", 101), ("1", 102), ("3", 110)] {
            partners.met(key("a"), key(with), day);
        }
        for (with, today, expected) in
            [("1", 110, 3), ("4", 110, 4), ("4", 131, 4), ("4", 132, 3), ("4", 133, 2), ("4", 141, 1)]
        {
            assert_eq!(partners.count(key("a"), key(with), today), expected, "{with} on day {today}");
        }
        assert_eq!(partners.count(key("b"), key("1"), 110), 1, "nobody else is meant");
    }

    #[test]
    fn an_old_partner_makes_room_and_is_not_counted_twice() {
        let mut partners = Partners::new();
        for (with, day) in [("1", 100), ("2", 120), ("2", 140), ("1", 141)] {
            partners.met(key("a"), key(with), day);
        }
        assert_eq!(partners.count(key("a"), key("1"), 141), 2);
        for _ in 0..16 {
            partners.forget_older(172);
        }
        assert_eq!((partners.len(), partners.more.len()), (0, 0));
    }

    #[test]
    fn the_list_is_bounded() {
        let mut partners = Partners::new();
        (0..200).for_each(|one| partners.met(key("a"), key(&one.to_string()), 100));
        assert_eq!(partners.count(key("a"), key("0"), 100), 64);
    }
}
