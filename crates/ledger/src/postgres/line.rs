//! Writes that wait, and how many of them leave at once.

use std::collections::VecDeque;

use crate::work::Write;

/// Fewer than this leave together: a commit costs about 0.3 ms whatever is in it, as much as twelve claims.
const TOGETHER_BELOW: usize = 32;

/// Fewer are not waited for.
const LINGER_FROM: usize = 8;

/// Writes that wait for the same kind of batch.
pub(super) struct Line {
    waiting: VecDeque<Write>,
    /// How many batches may be under way at once.
    at_once: usize,
    /// How many are, with so many writes.
    batches: usize,
    under_way: usize,
    /// How many of those who were answered have not come again. Under load they do so at once.
    returning: usize,
}

impl Line {
    pub(super) fn of(at_once: usize) -> Self {
        Self { waiting: VecDeque::new(), at_once, batches: 0, under_way: 0, returning: 0 }
    }

    pub(super) fn joins(&mut self, write: Write) {
        self.returning = self.returning.saturating_sub(1);
        self.waiting.push_back(write);
    }

    /// How many may leave now.
    ///
    /// At once if nothing is under way and nobody is expected. Beside another batch only with their share of all there are: so the batches are of
    /// one size, and while one is being written to disk the other is prepared.
    pub(super) fn due(&self) -> usize {
        let waiting = self.waiting.len();
        if self.batches >= self.at_once || self.expects_more() || (self.batches > 0 && waiting < self.share()) {
            return 0;
        }
        waiting.min(self.share())
    }

    fn share(&self) -> usize {
        let all = self.waiting.len() + self.under_way + self.returning;
        if all < TOGETHER_BELOW { all } else { all.div_ceil(self.at_once) }
    }

    /// Whether some who have just been answered are worth a moment's wait: two batches of one size are cheaper than a small one and a rest. Beside another
    /// batch it waits for them anyway; where there is one batch at a time, what comes meanwhile leaves together as it is.
    pub(super) fn expects_more(&self) -> bool {
        let may_leave = self.at_once > 1 && self.batches == 0 && !self.waiting.is_empty();
        may_leave && self.waiting.len() < self.share() && self.returning >= LINGER_FROM
    }

    /// That moment is over.
    pub(super) fn expects_nobody(&mut self) {
        self.returning = 0;
    }

    pub(super) fn leaves(&mut self, writes: usize) {
        self.batches += 1;
        self.under_way += writes;
    }

    pub(super) fn lands(&mut self, writes: usize) {
        self.batches = self.batches.saturating_sub(1);
        self.under_way = self.under_way.saturating_sub(writes);
        self.returning += writes;
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn waiting(&mut self) -> &mut VecDeque<Write> {
        &mut self.waiting
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::work::Work;

    fn come(line: &mut Line, many: usize) {
        for _ in 0..many {
            line.joins(Write { work: Work::Remark(Vec::new()), answer: oneshot::channel().0 });
        }
    }

    /// What is due leaves; how many that were.
    fn leave(line: &mut Line) -> usize {
        let due = line.due();
        drop(line.waiting().drain(..due));
        if due > 0 {
            line.leaves(due);
        }
        due
    }

    #[test]
    fn who_is_alone_leaves_at_once_and_few_leave_together() {
        let mut line = Line::of(2);
        assert_eq!(line.due(), 0);
        come(&mut line, 1);
        assert_eq!(leave(&mut line), 1);
        come(&mut line, 12);
        assert_eq!(line.due(), 0, "a commit of their own costs more than a moment's wait");
        line.lands(1);
        assert_eq!(leave(&mut line), 12);
    }

    #[test]
    fn many_leave_in_two_batches_that_stay_of_one_size() {
        let mut line = Line::of(2);
        come(&mut line, 1);
        assert_eq!(leave(&mut line), 1);
        come(&mut line, 63);
        assert_eq!((leave(&mut line), leave(&mut line)), (32, 0), "two are under way");
        let mut under_way = VecDeque::from([1, 32]);
        let mut left = Vec::new();
        for _ in 0..20 {
            let landed = under_way.pop_front().unwrap();
            line.lands(landed);
            for _ in 0..landed {
                // Those who were answered come again, one after the other.
                come(&mut line, 1);
                match leave(&mut line) {
                    0 => {}
                    writes => {
                        under_way.push_back(writes);
                        left.push(writes);
                    }
                }
            }
        }
        assert_eq!(left.get(4..), Some(&vec![32; left.len() - 4][..]), "{left:?}");
    }

    #[test]
    fn those_who_were_answered_are_waited_for_until_they_are_not_expected() {
        let mut line = Line::of(2);
        come(&mut line, 20);
        assert_eq!(leave(&mut line), 20);
        line.lands(20);
        assert!(!line.expects_more(), "nobody is there to wait for them");
        come(&mut line, 3);
        assert!(line.expects_more());
        line.expects_nobody();
        assert!(!line.expects_more());
        assert_eq!(leave(&mut line), 3);
        line.lands(3);
        come(&mut line, 1);
        assert!(!line.expects_more(), "few are not worth it");
        let mut steps = Line::of(1);
        come(&mut steps, 20);
        assert_eq!(leave(&mut steps), 20);
        steps.lands(20);
        come(&mut steps, 3);
        assert_eq!(leave(&mut steps), 3, "steps wait for nobody");
    }
}
