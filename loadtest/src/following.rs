//! The app follows a withdrawal: what it is told in the end is the phones' side of the books.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cashgate_wire::proto::customer::v1::WatchResponse;
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;
use tokio::time::{Instant, sleep};

use crate::books::{Amount, State};
use crate::parties::phones::Customer;
use crate::recording::Step;
use crate::visit::Hall;

/// How long a broken watch waits before it asks again.
const AGAIN_AFTER: Duration = Duration::from_millis(300);

/// Follows a withdrawal until it has ended, or until nobody waits any more.
pub(crate) async fn to_the_end(hall: Arc<Hall>, customer: Arc<Customer>, withdrawal: String, sent_at: Instant) {
    let mut closed = hall.closed.clone();
    let told = async {
        loop {
            if let Some(end) = told_end(&customer, &withdrawal).await {
                return end;
            }
            sleep(AGAIN_AFTER).await;
        }
    };
    tokio::select! {
        (state, dispensed) = told => {
            if state == State::Confirmed {
                let own = hall.manner.present;
                hall.recorder.took(Step::Told, sent_at, sent_at.elapsed().saturating_sub(own));
            }
            hall.phones_book.ended(&withdrawal, state, dispensed);
        }
        // An error means that the run is over as well.
        _ = closed.wait_for(|closed| *closed) => {}
    }
    hall.following.fetch_sub(1, Ordering::Relaxed);
}

/// The end, if the stream tells one before it breaks.
async fn told_end(customer: &Customer, withdrawal: &str) -> Option<(State, Amount)> {
    let mut updates = customer.app.clone().watch(withdrawal).await.ok()?;
    while let Ok(Some(update)) = updates.message().await {
        if let Some(state) = ended(&update) {
            let dispensed = update.dispensed.map_or(0, |money| money.minor_units);
            return Some((state, u64::try_from(dispensed).unwrap_or(0)));
        }
    }
    None
}

fn ended(update: &WatchResponse) -> Option<State> {
    match update.state() {
        WithdrawalState::Confirmed => Some(State::Confirmed),
        WithdrawalState::Reversed => Some(State::Reversed),
        WithdrawalState::Declined => Some(State::Declined),
        _ => None,
    }
}
