use std::sync::Arc;

use tokio::sync::oneshot;

use super::*;
use crate::signing_key::SigningPublicKey;

struct Numbers;

impl Batcher for Numbers {
    type Order = u32;
    type Batch = ();
    type Signed = u32;

    fn may_sign(&self, _: &SigningPublicKey) -> bool {
        true
    }

    fn batch(&self, _: &SigningPublicKey, _: &[(&u32, [u8; 16])]) -> Result<(), String> {
        Ok(())
    }

    fn digest(&self, (): &()) -> [u8; 32] {
        [0; 32]
    }

    fn signed(&self, (): (), _: [u8; 64]) -> Option<Vec<u32>> {
        None
    }
}

type Answer = oneshot::Receiver<Result<u32, HsmError>>;

fn put(queue: &Queue<Numbers>, order: u32) -> Answer {
    let (reply, answer) = oneshot::channel();
    queue.put_order(OrderJob { order, reply, failures: 0 }).expect("taken in");
    answer
}

fn card() -> Card<Numbers> {
    Card::new(Arc::default())
}

fn taken(queue: &Queue<Numbers>) -> Vec<u32> {
    match queue.take(&card(), 0, || true) {
        Taken::Work(Work::Orders(orders)) => orders.iter().map(|job| job.order).collect(),
        _ => panic!("no orders"),
    }
}

#[test]
fn what_waits_is_shared_out_among_the_workers_up_to_a_batch() {
    let queue = Queue::new(1_000, 64, 4);
    queue.workers_are(4);
    let _answers: Vec<Answer> = (0..10).map(|order| put(&queue, order)).collect();
    assert_eq!(taken(&queue), [0, 1, 2], "a quarter of ten, rounded up");
    assert_eq!(taken(&queue), [3, 4], "a quarter of seven");
    let _more: Vec<Answer> = (10..600).map(|order| put(&queue, order)).collect();
    assert_eq!(taken(&queue).len(), 64, "never more than a batch");
}

#[test]
fn one_alone_goes_alone() {
    let queue = Queue::new(10, 64, 4);
    queue.workers_are(4);
    let _answer = put(&queue, 7);
    assert_eq!(taken(&queue), [7]);
}

#[test]
fn a_worker_that_sleeps_is_woken_for_each_of_two_orders() {
    let queue = Arc::new(Queue::new(10, 64, 4));
    queue.workers_are(1);
    let their_queue = Arc::clone(&queue);
    let worker = std::thread::spawn(move || [taken(&their_queue), taken(&their_queue)]);
    for order in [7, 8] {
        while queue.lock().asleep == 0 {
            std::thread::yield_now();
        }
        drop(put(&queue, order));
        while queue.depth() > 0 {
            std::thread::yield_now();
        }
    }
    assert_eq!(worker.join().expect("it ends"), [[7], [8]]);
}

#[test]
fn a_worker_whose_key_may_not_sign_leaves_orders_to_others() {
    let queue = Arc::new(Queue::new(10, 64, 4));
    let _answer = put(&queue, 7);
    let idle = Arc::new(card());
    let (their_queue, their_card) = (Arc::clone(&queue), Arc::clone(&idle));
    let waiting = std::thread::spawn(move || matches!(their_queue.take(&their_card, 0, || false), Taken::Changed));
    assert_eq!(taken(&queue), [7]);
    idle.revoke();
    queue.wake_all();
    assert!(waiting.join().expect("it ends"), "it took nothing");
}

#[test]
fn orders_that_nobody_may_sign_are_refused_and_so_is_what_comes_after_them() {
    let queue = Arc::new(Queue::new(10, 64, 4));
    queue.workers_are(1);
    let mut answer = put(&queue, 7);
    let idle = Arc::new(card());
    let (their_queue, their_card) = (Arc::clone(&queue), Arc::clone(&idle));
    let waiting = std::thread::spawn(move || drop(their_queue.take(&their_card, 0, || false)));
    let refused = loop {
        match answer.try_recv() {
            Ok(answer) => break answer,
            Err(_) => std::thread::yield_now(),
        }
    };
    assert_eq!(refused, Err(no_key_may_sign()));
    assert_eq!(queue.depth(), 0);
    idle.revoke();
    queue.wake_all();
    waiting.join().expect("it ends");
}

#[test]
fn whoever_has_codes_verified_without_end_does_not_stop_everybody_else() {
    let queue = Queue::new(10, 64, 4);
    queue.workers_are(1);
    let mut codes = Vec::new();
    for _ in 0..3 {
        let (reply, code) = oneshot::channel();
        codes.push(code);
        let wanted = crate::job::MacWanted::Made(reply);
        queue.put_mac(MacJob { key_label: String::new(), message: vec![], wanted, failures: 0 }).expect("taken in");
    }
    let _answer = put(&queue, 7);
    assert!(matches!(queue.take(&card(), 0, || true), Taken::Work(Work::Mac(_))));
    assert_eq!(taken(&queue), [7]);
    assert!(matches!(queue.take(&card(), 0, || true), Taken::Work(Work::Mac(_))));
}

#[test]
fn authentication_codes_go_first() {
    let queue = Queue::new(10, 64, 4);
    queue.workers_are(1);
    let _answer = put(&queue, 7);
    let (reply, _code) = oneshot::channel();
    let wanted = crate::job::MacWanted::Made(reply);
    let mac = MacJob { key_label: String::new(), message: vec![], wanted, failures: 0 };
    queue.put_mac(mac).expect("taken in");
    assert!(matches!(queue.take(&card(), 0, || true), Taken::Work(Work::Mac(_))));
    assert_eq!(taken(&queue), [7]);
}

#[test]
fn what_a_failed_worker_held_comes_first_again_and_is_given_up_when_it_failed_more_often_than_there_are_workers() {
    let queue = Queue::new(10, 2, 1);
    queue.workers_are(1);
    let mut answers: Vec<Answer> = (1..=3).map(|order| put(&queue, order)).collect();
    for failure in 1..=2 {
        let Taken::Work(work) = queue.take(&card(), 0, || true) else { panic!("no orders") };
        queue.put_back(work, || HsmError::Failed { why: format!("failure {failure}") });
        assert_eq!(queue.depth(), 3);
    }
    let Taken::Work(work) = queue.take(&card(), 0, || true) else { panic!("no orders") };
    queue.put_back(work, || HsmError::Failed { why: "failure 3".to_owned() });
    let given_up = Ok(Err(HsmError::Failed { why: "failure 3".to_owned() }));
    assert_eq!([answers[0].try_recv(), answers[1].try_recv()], [given_up.clone(), given_up]);
    assert_eq!(taken(&queue), [3], "the third was in nobody's hands");
}

#[test]
fn while_it_is_lost_nothing_waits_in_vain() {
    let queue = Queue::new(10, 64, 4);
    let lost = || HsmError::Lost { reason: "unplugged".to_owned() };
    let mut waiting = put(&queue, 1);
    let _second = put(&queue, 2);
    queue.workers_are(2);
    let Taken::Work(held) = queue.take(&card(), 0, || true) else { panic!("no orders") };
    queue.lose("unplugged");
    assert_eq!(queue.depth(), 0);
    queue.put_back(held, || HsmError::TimedOut);
    assert_eq!(waiting.try_recv(), Ok(Err(lost())));
    let (reply, _) = oneshot::channel();
    assert_eq!(queue.put_order(OrderJob { order: 3, reply, failures: 0 }), Err(lost()));
    queue.open();
    let _third = put(&queue, 3);
    assert_eq!(taken(&queue), [3]);
}

#[test]
fn closed_is_for_ever_and_what_waits_is_still_done() {
    let queue = Queue::new(10, 64, 4);
    let _answer = put(&queue, 1);
    queue.close();
    queue.open();
    let (reply, _) = oneshot::channel();
    assert_eq!(queue.put_order(OrderJob { order: 2, reply, failures: 0 }), Err(HsmError::Closed));
    assert_eq!(taken(&queue), [1]);
    assert!(matches!(queue.take(&card(), 0, || true), Taken::Nothing));
}
