//! Worker threads behind one bounded queue: full is refused at once, late is given up, abandoned is skipped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc as std_mpsc};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::device::Device;
use crate::error::{DeviceError, HsmError};

/// Counts since the HSM was opened; they only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HsmStats {
    /// Signatures and nonces asked of the HSM.
    pub calls: u64,
    /// Of these, the ones that the HSM answered with an error.
    pub errors: u64,
    /// Refused before they were queued, because the queue was full.
    pub refused_full: u64,
    /// Given up by their caller at the call deadline.
    pub timed_out: u64,
    /// Never asked of the HSM, because their caller had gone when their turn came.
    pub skipped: u64,
}

/// The threads and their queue.
pub(crate) struct Workers {
    /// `None` once stopped: then the workers empty the queue and end.
    queue: RwLock<Option<mpsc::Sender<Job>>>,
    call_deadline: Duration,
    counters: Arc<Counters>,
    threads: Mutex<Option<Threads>>,
}

/// Some worker did not come back from the HSM in time. Its HSM session is still in use.
#[derive(Debug)]
pub(crate) struct WorkerStuck;

impl Workers {
    /// One thread for each device. Queues at most `queue` calls, each waiting at most `call_deadline`.
    pub(crate) fn start<D: Device>(devices: Vec<D>, queue: usize, call_deadline: Duration) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        let counters = Arc::new(Counters::default());
        let (running, ended) = std_mpsc::channel();
        let mut handles = Vec::with_capacity(devices.len());
        for (index, device) in devices.into_iter().enumerate() {
            let worker = Worker {
                device,
                jobs: Arc::clone(&receiver),
                counters: Arc::clone(&counters),
                _running: running.clone(),
            };
            match Builder::new().name(format!("hsm-worker-{index}")).spawn(move || worker.run()) {
                Ok(handle) => handles.push(handle),
                Err(error) => {
                    // The caller will finalise the module: no HSM session may outlive this.
                    drop((sender, running));
                    drop(Threads { handles, ended }.join(call_deadline));
                    return Err(error);
                }
            }
        }
        Ok(Self {
            queue: RwLock::new(Some(sender)),
            call_deadline,
            counters,
            threads: Mutex::new(Some(Threads { handles, ended })),
        })
    }

    /// A signature over a digest.
    pub(crate) async fn sign(&self, digest: [u8; 32]) -> Result<[u8; 64], HsmError> {
        self.call("sign", |reply| Job::Sign { digest, reply }).await
    }

    /// Sixteen random bytes.
    pub(crate) async fn nonce(&self) -> Result<[u8; 16], HsmError> {
        self.call("make a nonce", |reply| Job::Nonce { reply }).await
    }

    async fn call<T>(&self, call: &'static str, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, HsmError> {
        let (reply, answer) = oneshot::channel();
        self.submit(job(reply))?;
        match tokio::time::timeout(self.call_deadline, answer).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(source))) => Err(HsmError::Device { call, source }),
            Ok(Err(_dropped)) => Err(HsmError::Closed),
            Err(_elapsed) => {
                Counters::add(&self.counters.timed_out);
                Err(HsmError::TimedOut)
            }
        }
    }

    fn submit(&self, job: Job) -> Result<(), HsmError> {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        let sender = queue.as_ref().ok_or(HsmError::Closed)?;
        sender.try_send(job).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                Counters::add(&self.counters.refused_full);
                HsmError::Busy
            }
            mpsc::error::TrySendError::Closed(_) => HsmError::Closed,
        })
    }

    /// Calls that wait for a worker.
    pub(crate) fn queue_depth(&self) -> usize {
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().map_or(0, |sender| sender.max_capacity().saturating_sub(sender.capacity()))
    }

    pub(crate) fn stats(&self) -> HsmStats {
        self.counters.read()
    }

    /// Takes no more calls, lets the workers finish what is queued and waits for their end; at once when already stopped.
    pub(crate) fn stop(&self, patience: Duration) -> Result<(), WorkerStuck> {
        self.queue.write().unwrap_or_else(PoisonError::into_inner).take();
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        threads.map_or(Ok(()), |threads| threads.join(patience))
    }
}

struct Threads {
    handles: Vec<JoinHandle<()>>,
    /// Never brings anything: it hangs up when the last worker has ended.
    ended: std_mpsc::Receiver<()>,
}

impl Threads {
    fn join(self, patience: Duration) -> Result<(), WorkerStuck> {
        if let Err(std_mpsc::RecvTimeoutError::Timeout) = self.ended.recv_timeout(patience) {
            return Err(WorkerStuck);
        }
        for handle in self.handles {
            if handle.join().is_err() {
                tracing::error!("an HSM worker thread panicked");
            }
        }
        Ok(())
    }
}

type Reply<T> = oneshot::Sender<Result<T, DeviceError>>;

enum Job {
    Sign { digest: [u8; 32], reply: Reply<[u8; 64]> },
    Nonce { reply: Reply<[u8; 16]> },
}

struct Worker<D> {
    device: D,
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    counters: Arc<Counters>,
    // Declared after `device`, so it is dropped after it: when all have hung up, all HSM sessions are closed.
    _running: std_mpsc::Sender<()>,
}

impl<D: Device> Worker<D> {
    fn run(self) {
        while let Some(job) = self.next_job() {
            match job {
                Job::Sign { digest, reply } => self.answer(reply, || self.device.sign(&digest)),
                Job::Nonce { reply } => self.answer(reply, || self.device.random()),
            }
        }
    }

    /// One idle worker waits in the channel, the others for the lock.
    fn next_job(&self) -> Option<Job> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
    }

    fn answer<T>(&self, reply: Reply<T>, ask: impl FnOnce() -> Result<T, DeviceError>) {
        if reply.is_closed() {
            Counters::add(&self.counters.skipped);
            return;
        }
        let result = ask();
        Counters::add(&self.counters.calls);
        if result.is_err() {
            Counters::add(&self.counters.errors);
        }
        // The caller may have given up meanwhile; it has counted that itself.
        drop(reply.send(result));
    }
}

#[derive(Default)]
struct Counters {
    calls: AtomicU64,
    errors: AtomicU64,
    refused_full: AtomicU64,
    timed_out: AtomicU64,
    skipped: AtomicU64,
}

impl Counters {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> HsmStats {
        let figure = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HsmStats {
            calls: figure(&self.calls),
            errors: figure(&self.errors),
            refused_full: figure(&self.refused_full),
            timed_out: figure(&self.timed_out),
            skipped: figure(&self.skipped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(30);

    /// A device whose signatures report that they began and wait until the test lets one through; its nonces always fail.
    struct GatedDevice {
        begun: std_mpsc::Sender<()>,
        let_through: std_mpsc::Receiver<()>,
    }

    impl Device for GatedDevice {
        fn sign(&self, digest: &[u8; 32]) -> Result<[u8; 64], DeviceError> {
            self.begun.send(()).expect("the test holds the gate");
            self.let_through.recv().expect("the test holds the gate");
            Ok([digest[0]; 64])
        }

        fn random(&self) -> Result<[u8; 16], DeviceError> {
            Err(DeviceError::signature_length(63))
        }
    }

    struct Gate {
        begun: std_mpsc::Receiver<()>,
        let_through: std_mpsc::Sender<()>,
    }

    impl Gate {
        /// Waits until the worker is inside the device with a call that the test has spawned.
        async fn until_begun(&self) {
            tokio::task::yield_now().await;
            self.begun.recv_timeout(LONG).expect("the worker takes the call");
        }

        fn let_one_through(&self) {
            self.let_through.send(()).expect("the worker waits");
        }
    }

    /// One worker behind a gate, with room for `queue` calls.
    fn gated(queue: usize, call_deadline: Duration) -> (Arc<Workers>, Gate) {
        let (begin, begun) = std_mpsc::channel();
        let (let_through, gate) = std_mpsc::channel();
        let device = GatedDevice { begun: begin, let_through: gate };
        let workers = Workers::start(vec![device], queue, call_deadline).expect("a thread");
        (Arc::new(workers), Gate { begun, let_through })
    }

    fn spawn_sign(workers: &Arc<Workers>, digest: u8) -> tokio::task::JoinHandle<Result<[u8; 64], HsmError>> {
        let workers = Arc::clone(workers);
        tokio::spawn(async move { workers.sign([digest; 32]).await })
    }

    async fn until_queued(workers: &Workers, depth: usize) {
        for _ in 0..1_000 {
            if workers.queue_depth() == depth {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("the queue is {} deep and not {depth}", workers.queue_depth());
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_the_queued_calls_are_answered() {
        let (workers, gate) = gated(2, LONG);
        let in_the_hsm = spawn_sign(&workers, 1);
        gate.until_begun().await;
        let queued = [spawn_sign(&workers, 2), spawn_sign(&workers, 3)];
        until_queued(&workers, 2).await;

        assert!(matches!(workers.sign([4; 32]).await, Err(HsmError::Busy)));
        assert!(matches!(workers.nonce().await, Err(HsmError::Busy)));

        for _ in 0..3 {
            gate.let_one_through();
        }
        assert_eq!(in_the_hsm.await.expect("ran").expect("signed"), [1; 64]);
        for (call, expected) in queued.into_iter().zip([2, 3]) {
            assert_eq!(call.await.expect("ran").expect("signed"), [expected; 64]);
        }
        assert_eq!(workers.stats(), HsmStats { calls: 3, refused_full: 2, ..HsmStats::default() });
        workers.stop(LONG).expect("the worker ends");
    }

    #[tokio::test]
    async fn a_call_past_its_deadline_is_given_up_and_never_reaches_the_hsm() {
        let (workers, gate) = gated(8, SHORT);
        let in_the_hsm = spawn_sign(&workers, 1);
        gate.until_begun().await;
        let queued = spawn_sign(&workers, 2);
        assert!(matches!(in_the_hsm.await.expect("ran"), Err(HsmError::TimedOut)));
        assert!(matches!(queued.await.expect("ran"), Err(HsmError::TimedOut)));

        // One signature is let through, the one that was in the HSM; a second would block the worker for ever.
        gate.let_one_through();
        workers.stop(LONG).expect("the worker ends without asking for the abandoned signature");
        let expected = HsmStats { calls: 1, timed_out: 2, skipped: 1, ..HsmStats::default() };
        assert_eq!(workers.stats(), expected);
    }

    #[tokio::test]
    async fn an_error_of_the_device_names_the_call_and_is_counted() {
        let (workers, _gate) = gated(1, LONG);
        let failed = workers.nonce().await.expect_err("this device has no nonces");
        assert!(matches!(failed, HsmError::Device { call: "make a nonce", .. }), "{failed}");
        assert_eq!(workers.stats(), HsmStats { calls: 1, errors: 1, ..HsmStats::default() });
    }

    #[tokio::test]
    async fn stopped_workers_take_no_call_and_stopping_again_is_harmless() {
        let (workers, _gate) = gated(1, LONG);
        workers.stop(LONG).expect("the worker ends");
        assert!(matches!(workers.sign([0; 32]).await, Err(HsmError::Closed)));
        assert_eq!(workers.queue_depth(), 0);
        workers.stop(LONG).expect("nothing to stop");
    }

    #[tokio::test]
    async fn a_worker_that_hangs_in_the_hsm_is_reported_and_not_waited_for() {
        let (workers, gate) = gated(1, SHORT);
        let hanging = spawn_sign(&workers, 1);
        gate.until_begun().await;
        assert!(matches!(hanging.await.expect("ran"), Err(HsmError::TimedOut)));
        assert!(workers.stop(SHORT).is_err());
        gate.let_one_through();
    }
}
