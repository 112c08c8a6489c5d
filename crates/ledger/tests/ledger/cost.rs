//! What a durable step costs. Run it by name, with `--release --ignored --nocapture`, alternately with what is to be compared.

use std::time::Instant;

use tokio::task::JoinSet;

use crate::sample::*;

#[test]
#[ignore = "a measurement"]
#[allow(clippy::disallowed_methods, clippy::float_arithmetic)] // It measures time; nothing depends on it.
fn durable_steps_a_second() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (ledger, _path, _folder) = new_ledger();
    let begun = Instant::now();
    runtime.block_on(async {
        let mut lanes = JoinSet::new();
        for lane in 0..512_u64 {
            let ledger = ledger.clone();
            lanes.spawn(async move {
                for n in 0..100 {
                    for step in whole_life(n * 512 + lane) {
                        let body = vec![n.to_le_bytes()[0]; 150];
                        ledger.append(vec![cashgate_ledger::StepRecord { body, ..step }]).await.unwrap();
                    }
                }
            });
        }
        lanes.join_all().await;
    });
    let seconds = begun.elapsed().as_secs_f64();
    let written = ledger.stats();
    println!("{:.0} steps a second, {} commits", written.steps as f64 / seconds, written.commits);

    let begun = Instant::now();
    let mut read = 0;
    for n in (0..51_200).step_by(5) {
        read += ledger.reader().withdrawal(id(n)).unwrap().unwrap().1.len();
    }
    println!("{:.0} steps read a second", read as f64 / begun.elapsed().as_secs_f64());

    let begun = Instant::now();
    let read = ledger.reader().for_each_approved_since(at(0), &mut |_| ()).unwrap();
    println!("{:.0} approvals read a second", read as f64 / begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let read = ledger.reader().for_each_first_step_since(at(0), &mut |_, _| ()).unwrap();
    println!("{:.0} approvals read a second with their first step", read as f64 / begun.elapsed().as_secs_f64());
}
