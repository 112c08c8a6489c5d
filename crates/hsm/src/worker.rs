//! One thread with one HSM session: takes work, asks the HSM, answers. It never decides what to do about a failure; its keeper does.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::batcher::Batcher;
use crate::card::Card;
use crate::config::BATCH_MAX;
use crate::device::Device;
use crate::device_error::DeviceError;
use crate::error::{HsmError, HsmKeyError, HsmSlotError};
use crate::job::{MacJob, MacWanted, OrderJob, Work};
use crate::queue::Taken;
use crate::workshop::Workshop;

/// Why a worker ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Its card was revoked, or there is nothing left to do.
    Told,
    /// The HSM failed it. What it held went back to the queue.
    Failed(Failure),
}

/// What failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{call}: {source}")]
    Device { call: &'static str, source: DeviceError },
    #[error("{0}")]
    Key(HsmKeyError),
    #[error("{0}")]
    Opening(HsmSlotError),
    #[error("the worker panicked")]
    Panicked,
    #[error("C_Sign: a signature that does not verify under the HSM's own public key")]
    WrongSignature,
    #[error("C_GenerateRandom: the HSM's generator repeats itself")]
    NoncesRepeat,
    #[error("more orders were taken than nonces drawn")]
    NoncesUsedUp,
}

pub(crate) struct Worker<D, B: Batcher> {
    device: D,
    card: Arc<Card<B>>,
    workshop: Arc<Workshop<B>>,
    nonces: Nonces,
    key_epoch: u64,
}

impl<D: Device, B: Batcher> Worker<D, B> {
    /// A worker whose device uses the signing key of `key_epoch`.
    pub(crate) fn new(device: D, key_epoch: u64, card: Arc<Card<B>>, workshop: Arc<Workshop<B>>) -> Self {
        card.uses(*device.signing_key());
        Self { device, card, workshop, nonces: Nonces::default(), key_epoch }
    }

    /// Works until it is told to end or the HSM fails it. Its HSM session is closed afterwards.
    pub(crate) fn run(mut self) -> Ended {
        let worked = self.work();
        let Self { device, card, workshop, .. } = self;
        card.inside(|| drop(device));
        match worked {
            Ok(()) => Ended::Told,
            Err(failure) => {
                workshop.counters.failed();
                Ended::Failed(failure)
            }
        }
    }

    fn work(&mut self) -> Result<(), Failure> {
        while !self.card.is_revoked() {
            self.follow_signing_key()?;
            self.draw_nonces()?;
            let may_sign = || self.workshop.batcher.may_sign(self.device.signing_key());
            match self.workshop.queue.take(&self.card, self.key_epoch, may_sign) {
                Taken::Work(Work::Orders(orders)) => self.sign(orders)?,
                Taken::Work(Work::Mac(mac)) => self.authenticate(mac)?,
                Taken::Changed => {}
                Taken::Idle => self.see_whether_it_is_there()?,
                Taken::Nothing => return Ok(()),
            }
        }
        Ok(())
    }

    /// Goes over to another signing key if there is one.
    fn follow_signing_key(&mut self) -> Result<(), Failure> {
        let epoch = self.card.key_epoch();
        if epoch != self.key_epoch {
            let label = self.workshop.signing_key_label();
            self.card.inside(|| self.device.use_signing_key(&label)).map_err(Failure::Key)?;
            self.card.uses(*self.device.signing_key());
            self.key_epoch = epoch;
        }
        Ok(())
    }

    /// Before work is taken, so that no order waits for it and a lone one costs the HSM a signature and nothing else.
    fn draw_nonces(&mut self) -> Result<(), Failure> {
        if self.nonces.left() < self.workshop.batch_max {
            let mut block = [0; NONCES_DRAWN * NONCE_LENGTH];
            let drawn = self.card.inside(|| self.device.random(&mut block));
            drawn.map_err(|source| Failure::Device { call: "draw nonces", source })?;
            self.workshop.counters.called();
            if !self.nonces.take_in(&block) {
                return Err(Failure::NoncesRepeat);
            }
        }
        Ok(())
    }

    /// A connection that died while nothing was asked is found now, not by the next customer.
    fn see_whether_it_is_there(&mut self) -> Result<(), Failure> {
        let drawn = self.card.inside(|| self.device.random(&mut [0; NONCE_LENGTH]));
        drawn.map_err(|source| Failure::Device { call: "draw nonces", source })?;
        self.workshop.counters.called();
        Ok(())
    }

    fn sign(&mut self, mut orders: Vec<OrderJob<B>>) -> Result<(), Failure> {
        let taken = orders.len();
        orders.retain(|order| !order.reply.is_closed());
        self.workshop.counters.skipped(taken - orders.len());
        if orders.is_empty() {
            return Ok(());
        }
        let batcher = &self.workshop.batcher;
        let with_nonces: Option<Vec<_>> =
            orders.iter().map(|job| self.nonces.next().map(|nonce| (&job.order, nonce))).collect();
        let Some(with_nonces) = with_nonces else {
            return Err(self.give_back(Work::Orders(orders), Failure::NoncesUsedUp));
        };
        let batch = match batcher.batch(self.device.signing_key(), &with_nonces) {
            Ok(batch) => batch,
            Err(why) => {
                let refuse = |job: OrderJob<B>| drop(job.reply.send(Err(HsmError::Refused { why: why.clone() })));
                orders.into_iter().for_each(refuse);
                return Ok(());
            }
        };
        let digest = batcher.digest(&batch);
        let Some((work, signature)) = self.card.inside_for(Work::Orders(orders), || self.device.sign(&digest)) else {
            return Ok(());
        };
        let signature = match signature {
            Ok(signature) => signature,
            Err(source) => return Err(self.give_back(work, Failure::Device { call: "sign", source })),
        };
        let Some(signed) = batcher.signed(batch, signature) else {
            return Err(self.give_back(work, Failure::WrongSignature));
        };
        self.card.count_answer();
        self.workshop.counters.signed(signed.len());
        if let Work::Orders(jobs) = work {
            self.workshop.hand_out(jobs.into_iter().map(|job| job.reply).zip(signed).collect());
        }
        Ok(())
    }

    fn authenticate(&mut self, job: MacJob) -> Result<(), Failure> {
        if job.is_abandoned() {
            self.workshop.counters.skipped(1);
            return Ok(());
        }
        let (label, message) = (job.key_label.clone(), job.message.clone());
        let wanted = match &job.wanted {
            MacWanted::Made(_) => None,
            MacWanted::Verified { mac, .. } => Some(*mac),
        };
        let asked = || match wanted {
            None => self.device.mac(&label, &message).map(Mac::Made),
            Some(mac) => self.device.mac_is_right(&label, &message, &mac).map(Mac::IsRight),
        };
        let Some((work, answer)) = self.card.inside_for(Work::Mac(job), asked) else {
            return Ok(());
        };
        let Work::Mac(job) = work else { return Ok(()) };
        match (answer, job.wanted) {
            (Ok(Mac::Made(mac)), MacWanted::Made(reply)) => drop(reply.send(Ok(mac))),
            (Ok(Mac::IsRight(is_right)), MacWanted::Verified { reply, .. }) => drop(reply.send(Ok(is_right))),
            (Ok(_), _) => {}
            (Err(HsmKeyError::Device { call, source }), wanted) => {
                let job = MacJob { key_label: job.key_label, message: job.message, wanted, failures: job.failures };
                return Err(self.give_back(Work::Mac(job), Failure::Device { call, source }));
            }
            // The key is missing or refused: the HSM is well, the caller has to hear of it.
            (Err(error), wanted) => {
                let job = MacJob { key_label: job.key_label, message: job.message, wanted, failures: job.failures };
                job.refuse(HsmError::MacKey { why: error.to_string() });
            }
        }
        self.card.count_answer();
        self.workshop.counters.called();
        Ok(())
    }

    fn give_back(&self, work: Work<B>, failure: Failure) -> Failure {
        self.workshop.queue.put_back(work, || HsmError::Failed { why: failure.to_string() });
        failure
    }
}

/// An authentication code that was made, or what became of one that was verified.
enum Mac {
    Made([u8; 32]),
    IsRight(bool),
}

const NONCE_LENGTH: usize = 16;

/// How many nonces one call draws: 1 KiB, which every HSM gives at once, and enough for the largest batch.
const NONCES_DRAWN: usize = BATCH_MAX;

/// Nonces drawn from the HSM in blocks. Each is given out once.
#[derive(Default)]
struct Nonces {
    unused: VecDeque<[u8; NONCE_LENGTH]>,
    /// How the last block began.
    last: [u8; NONCE_LENGTH],
}

impl Nonces {
    fn left(&self) -> usize {
        self.unused.len()
    }

    /// Takes in a block. `false`, and none of it is given out, if it begins like the one before or with zeros: a generator that is stuck.
    fn take_in(&mut self, block: &[u8; NONCES_DRAWN * NONCE_LENGTH]) -> bool {
        let (nonces, _) = block.as_chunks::<NONCE_LENGTH>();
        let first = nonces.first().copied().unwrap_or_default();
        if first == self.last || first == [0; NONCE_LENGTH] {
            return false;
        }
        self.last = first;
        self.unused.extend(nonces);
        true
    }

    fn next(&mut self) -> Option<[u8; NONCE_LENGTH]> {
        self.unused.pop_front()
    }
}
