//! Callers that have papers signed without a pause while a test breaks the HSM, and the book that is kept of every answer.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use cashgate_hsm::{Hsm, HsmConfig, HsmError, HsmState};

use crate::api::Papers;
use crate::faulty::Faulty;

/// How long anything may take that is to happen. A test never asserts that something is quick but in seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// The HSM that a test breaks.
pub(crate) type PaperHsm = Hsm<Papers>;

/// What came of all calls.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) asked: usize,
    pub(crate) signed: usize,
    /// Answers that a verifier who knows nothing of the HSM refuses.
    pub(crate) wrong: usize,
    /// Nonces that were handed out twice.
    pub(crate) repeated: usize,
    pub(crate) errors: BTreeMap<&'static str, usize>,
    /// The longest that a caller waited.
    pub(crate) longest: Duration,
}

impl Book {
    /// Whatever was broken: nothing wrong left, nobody was left without an answer, and nobody waited for longer than the patience.
    pub(crate) fn is_in_order(&self, patience: Duration) {
        assert_eq!((self.wrong, self.repeated), (0, 0), "{self:?}");
        assert_eq!(self.asked, self.signed + self.errors.values().sum::<usize>(), "{self:?}");
        assert!(self.longest < patience + Duration::from_secs(5), "{self:?}");
        assert!(self.signed > 0, "{self:?}");
    }

    /// No caller has seen an error.
    pub(crate) fn has_no_error(&self) {
        assert!(self.errors.is_empty(), "{self:?}");
    }

    /// Callers saw these errors and no others, if any.
    pub(crate) fn has_only(&self, allowed: &[&str]) {
        assert!(self.errors.keys().all(|kind| allowed.contains(kind)), "{self:?}");
    }

    fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.signed += other.signed;
        self.wrong += other.wrong;
        other.errors.into_iter().for_each(|(kind, many)| *self.errors.entry(kind).or_default() += many);
        self.longest = self.longest.max(other.longest);
    }
}

/// Callers at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Book>,
}

impl Load {
    /// So many callers, each of whom asks again as soon as there is an answer.
    pub(crate) fn start(hsm: &PaperHsm, callers: usize) -> Self {
        let (hsm, stop) = (hsm.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            runtime.block_on(async move {
                let one = |caller| call_until(stopped.clone(), hsm.clone(), caller);
                let tasks: Vec<_> = (0..callers).map(|caller| tokio::spawn(one(caller))).collect();
                let (mut book, mut nonces) = (Book::default(), HashSet::new());
                for task in tasks {
                    let (of_one, its_nonces) = task.await.expect("a caller ends");
                    book.add(of_one);
                    book.repeated += its_nonces.into_iter().filter(|nonce| !nonces.insert(*nonce)).count();
                }
                book
            })
        });
        Self { stop, thread }
    }

    /// Lets the callers have their last answers.
    pub(crate) fn stop(self) -> Book {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the callers end")
    }
}

async fn call_until(stop: Arc<AtomicBool>, hsm: PaperHsm, caller: usize) -> (Book, Vec<[u8; 16]>) {
    let (mut book, mut nonces) = (Book::default(), Vec::new());
    while !stop.load(Ordering::SeqCst) {
        book.asked += 1;
        let paper = format!("paper {} of caller {caller}", book.asked).into_bytes();
        let since = now();
        match hsm.sign(paper.clone()).await {
            Ok(signed) => {
                book.signed += 1;
                book.wrong += usize::from(!signed.verifies(&paper));
                nonces.push(signed.nonce);
            }
            Err(error) => {
                *book.errors.entry(kind(&error)).or_default() += 1;
                // An ATM that is refused asks again after a while.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        book.longest = book.longest.max(since.elapsed());
    }
    (book, nonces)
}

fn kind(error: &HsmError) -> &'static str {
    match error {
        HsmError::Busy => "busy",
        HsmError::Lost { .. } => "lost",
        HsmError::TimedOut => "timed out",
        HsmError::Failed { .. } => "failed",
        HsmError::Refused { .. } => "refused",
        HsmError::MacKey { .. } => "mac key",
        HsmError::Closed => "closed",
    }
}

/// An HSM in whatever state it is.
pub(crate) fn opened(config: HsmConfig) -> PaperHsm {
    Hsm::open(config, Papers).expect("whatever may heal does not stop it")
}

/// Waits until something is so. How long that took.
pub(crate) fn until(what: &str, hsm: &PaperHsm, mut is_so: impl FnMut() -> bool) -> Duration {
    let since = now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "it never came to this: {what}; {:?} {:?}", hsm.slots(), hsm.stats());
        std::thread::sleep(Duration::from_millis(1));
    }
    since.elapsed()
}

pub(crate) fn until_state(hsm: &PaperHsm, state: HsmState) -> Duration {
    until(state.name(), hsm, || hsm.state() == state)
}

/// Waits until so many more orders were signed.
pub(crate) fn until_signed_more(hsm: &PaperHsm, many: u64) -> Duration {
    let before = hsm.stats().signed;
    until("it signs", hsm, || hsm.stats().signed >= before + many)
}

/// Waits until so many workers have proved their keys, which they do before they take work: a fault that strikes a few calls would be spent on
/// that otherwise, where a wrong signature has no consequence that a caller could see. The slot was proved once more, when it was entered.
pub(crate) fn until_proved(hsm: &PaperHsm, faulty: &Faulty, workers: u64) {
    let proved = || faulty.calls("C_Verify") > workers && faulty.inside("C_Verify") == 0;
    until("every worker has proved its key", hsm, proved);
}

/// One call from outside any runtime.
pub(crate) fn ask_once(hsm: &PaperHsm) -> Result<(), HsmError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(hsm.sign(b"paper".to_vec())).map(|signed| assert!(signed.verifies(b"paper")))
}

/// What is wrong with the first slot.
pub(crate) fn reason(hsm: &PaperHsm) -> String {
    hsm.slots().remove(0).reason
}

#[allow(clippy::disallowed_methods, reason = "how long people really wait is what is tested")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
