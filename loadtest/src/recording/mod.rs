//! What was measured: a histogram for each step, and the same by time; how visits ended; what the gateway used.
//!
//! Everything is kept under the moment at which it was *meant* to begin, not at which its answer came: ten seconds without an answer then show as ten
//! seconds of long latencies, and not as one long answer among many quick ones.

mod sample;
mod step;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

pub use sample::Sample;
pub use step::Step;

/// The longest latency that is told from longer ones: ten minutes.
const LONGEST_US: u64 = 600_000_000;
/// At most so many slices of time, however long the run is.
const SLICES_MAX: u64 = 300;

/// The end of a visit that every customer wants.
pub const PAID: &str = "paid";

/// Who came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A customer.
    Honest,
    /// Somebody with a phone that was activated with stolen data.
    Thief,
}

/// A visit as it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// When the customer wanted to be served.
    pub arrived: Duration,
    /// When he left.
    pub left: Duration,
    /// Who.
    pub who: Who,
    /// [`PAID`], or where and why it ended.
    pub ending: String,
    /// How many codes he scanned: more than one if he had to begin again after a scan.
    pub scans: u32,
}

impl Visit {
    /// Whether it failed: a customer had scanned a code, so that the gateway had taken him in, and left without cash, whatever the reason. That a withdrawal
    /// ended otherwise than its ATM's outcome says is another matter, which the books find.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.who == Who::Honest && self.scans > 0 && self.ending != PAID
    }
}

/// Takes measurements from every task of a run.
#[derive(Debug)]
pub struct Recorder {
    began: Instant,
    warm_up: Duration,
    slice: Duration,
    inner: Mutex<Recording>,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The length of a slice of time.
    pub slice: Duration,
    /// Microseconds by step, warm-up left out.
    pub totals: BTreeMap<Step, Histogram<u64>>,
    /// Microseconds by step and slice of the moment at which it was meant to begin; warm-up included.
    pub by_time: BTreeMap<Step, BTreeMap<usize, Histogram<u32>>>,
    /// Every visit.
    pub visits: Vec<Visit>,
    /// How often customers had to touch the screen again.
    pub touched_again: u64,
    /// What gateway and generator used, a sample a second.
    pub samples: Vec<Sample>,
    /// What happened, in words, in its order.
    pub log: Vec<(Duration, String)>,
}

impl Recorder {
    /// Begins now.
    #[must_use]
    pub fn new(duration: Duration, warm_up: Duration) -> Self {
        let slice = Duration::from_secs((duration.as_secs() / SLICES_MAX).max(1));
        let inner = Mutex::new(Recording { slice, ..Recording::default() });
        Self { began: Instant::now(), warm_up, slice, inner }
    }

    /// The moment of the load's beginning.
    #[must_use]
    pub const fn began(&self) -> Instant {
        self.began
    }

    /// How long ago the load began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// A step that was meant to begin at a moment, and took so long from then.
    pub fn took(&self, step: Step, meant_to_begin: Instant, took: Duration) {
        let moment = meant_to_begin.saturating_duration_since(self.began);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(LONGEST_US).clamp(1, LONGEST_US);
        let slice = self.slice_of(moment);
        let mut inner = self.inner();
        if moment >= self.warm_up {
            // Histograms that grow take every value; `saturating_record` would cut it off where they end now.
            let _ = inner.totals.entry(step).or_insert_with(precise).record(microseconds);
        }
        let slices = inner.by_time.entry(step).or_default();
        let _ = slices.entry(slice).or_insert_with(coarse).record(microseconds);
    }

    /// A step that was meant to begin at a moment and is done now.
    pub fn done(&self, step: Step, meant_to_begin: Instant) {
        self.took(step, meant_to_begin, meant_to_begin.elapsed());
    }

    /// A visit that has ended.
    pub fn ended(&self, arrived: Instant, who: Who, ending: String, scans: u32) {
        let arrived = arrived.saturating_duration_since(self.began);
        let left = self.elapsed();
        self.inner().visits.push(Visit { arrived, left, who, ending, scans });
    }

    /// A customer has to begin again.
    pub fn touched_again(&self) {
        self.inner().touched_again += 1;
    }

    /// What was used in the last second.
    pub fn sampled(&self, sample: Sample) {
        self.inner().samples.push(sample);
    }

    /// Something worth telling happened.
    pub fn note(&self, what: String) {
        let elapsed = self.elapsed();
        self.inner().log.push((elapsed, what));
    }

    /// A copy of what was measured so far.
    #[must_use]
    pub fn recording(&self) -> Recording {
        self.inner().clone()
    }

    /// How many visits ended so far, and how many of them with cash.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.visits.len(), inner.visits.iter().filter(|visit| visit.ending == PAID).count())
    }

    /// The 99th percentile of a step in the slices that ended within the last so many.
    #[must_use]
    pub fn recent_p99(&self, step: Step, slices: usize) -> Option<Duration> {
        let now = self.slice_of(self.elapsed());
        let inner = self.inner();
        let mut sum = coarse();
        for (_, one) in inner.by_time.get(&step)?.range(now.saturating_sub(slices)..=now) {
            sum.add(one).ok()?;
        }
        (!sum.is_empty()).then(|| Duration::from_micros(sum.value_at_quantile(0.99)))
    }

    fn slice_of(&self, moment: Duration) -> usize {
        usize::try_from(moment.as_secs() / self.slice.as_secs().max(1)).unwrap_or(usize::MAX)
    }

    fn inner(&self) -> MutexGuard<'_, Recording> {
        // Whoever panicked had added something whole or nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recording {
    /// Customers who left without cash after a scan.
    pub fn failed(&self) -> impl Iterator<Item = &Visit> {
        self.visits.iter().filter(|visit| visit.has_failed())
    }

    /// How many customers had to scan more than one code.
    #[must_use]
    pub fn scanned_again(&self) -> usize {
        self.visits.iter().filter(|visit| visit.scans > 1).count()
    }

    /// A percentile of a step without the warm-up, such as 99.0; nothing if it never happened.
    #[must_use]
    pub fn percentile(&self, step: Step, percentile: f64) -> Option<Duration> {
        let histogram = self.totals.get(&step).filter(|histogram| !histogram.is_empty())?;
        Some(Duration::from_micros(histogram.value_at_percentile(percentile)))
    }
}

/// Three digits: a thousandth of the value.
fn precise() -> Histogram<u64> {
    resizing(3)
}

/// Two digits, for the many slices of time.
fn coarse() -> Histogram<u32> {
    resizing(2)
}

/// A histogram that grows with its values.
fn resizing<C: hdrhistogram::Counter>(digits: u8) -> Histogram<C> {
    let mut histogram = Histogram::new(digits).unwrap_or_else(|_| unreachable!("0 to 5 digits are allowed"));
    histogram.auto(true);
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_counts_under_the_moment_at_which_it_was_meant_to_begin() {
        let recorder = Recorder::new(Duration::from_secs(20), Duration::from_secs(2));
        let meant = recorder.began() + Duration::from_secs(3);
        recorder.took(Step::Whole, meant, Duration::from_secs(10));
        let recording = recorder.recording();
        assert_eq!(recording.by_time[&Step::Whole].keys().collect::<Vec<_>>(), [&3]);
        let seconds = recording.percentile(Step::Whole, 50.0).unwrap().as_secs_f64();
        assert!((seconds - 10.0).abs() < 0.02, "{seconds}");
    }

    #[test]
    fn the_warm_up_is_shown_and_not_counted() {
        let recorder = Recorder::new(Duration::from_secs(20), Duration::from_secs(2));
        recorder.took(Step::Scan, recorder.began() + Duration::from_secs(1), Duration::from_secs(9));
        recorder.took(Step::Scan, recorder.began() + Duration::from_secs(2), Duration::from_millis(1));
        let recording = recorder.recording();
        assert_eq!(recording.totals[&Step::Scan].len(), 1);
        assert_eq!(recording.by_time[&Step::Scan].len(), 2);
        assert_eq!(recording.percentile(Step::Approve, 99.0), None);
    }

    #[test]
    fn a_long_run_has_no_more_slices_than_a_plot_shows() {
        let recorder = Recorder::new(Duration::from_secs(3_600), Duration::ZERO);
        recorder.took(Step::Scan, recorder.began() + Duration::from_secs(3_599), Duration::from_millis(1));
        assert_eq!(recorder.recording().by_time[&Step::Scan].keys().collect::<Vec<_>>(), [&299]);
    }
}
