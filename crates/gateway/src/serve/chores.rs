//! What goes on beside serving: room on the disk, and memory that nothing needs any more.

use std::sync::Arc;
use std::time::Duration;

use cashgate_ledger::{Ledger, Room};

use crate::admission::Desk;
use crate::clock;

/// How often a ledger that lives on its reserve looks for space.
const RESERVE_EVERY: Duration = Duration::from_secs(10);
/// How often what no decision needs any more is let go.
const FORGET_EVERY: Duration = Duration::from_secs(300);

/// Has new withdrawals refused while the ledger lives on its reserve, and has the reserve made again when there is space.
pub(super) async fn watch_room(ledger: Ledger, desk: Arc<Desk>) {
    let mut room = ledger.subscribe_room();
    loop {
        let now = *room.borrow_and_update();
        desk.ledger_has_room(now == Room::Ample);
        match now {
            Room::Ample => tracing::info!("the ledger has room"),
            Room::Reserve => tracing::error!("the disk is full: no new withdrawals; outcomes go into the reserve"),
        }
        loop {
            match tokio::time::timeout(RESERVE_EVERY, room.changed()).await {
                Ok(Ok(())) => break,
                Ok(Err(_)) => return,
                Err(_) if now == Room::Reserve => ledger.try_restore_reserve(),
                Err(_) => {}
            }
        }
    }
}

pub(super) async fn forget_what_is_over(desk: Arc<Desk>) {
    loop {
        tokio::time::sleep(FORGET_EVERY).await;
        let sweeping = Arc::clone(&desk);
        // With millions of accounts it takes a while.
        let forgotten = tokio::task::spawn_blocking(move || sweeping.forget(clock::now())).await;
        tracing::debug!(?forgotten, kept = desk.limits().accounts(), "idle accounts were let go");
    }
}
