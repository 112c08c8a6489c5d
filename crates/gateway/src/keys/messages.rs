//! Keys as operators' messages carry them.

use cashgate_hsm::{HsmState, SlotStatus};
use cashgate_ledger::StoredKeyEvent;
use cashgate_wire::proto::operations::v1 as pb;
use cashgate_wire::unix_ms;
use cashgate_withdrawal::time::Timestamp;

use super::office::{KeyStanding, KeyStatus};
use super::ring::KeyState;

pub(crate) fn status(status: KeyStatus) -> pb::ListKeysResponse {
    pb::ListKeysResponse {
        keys: status.keys.into_iter().map(key).collect(),
        slots: status.slots.into_iter().map(slot).collect(),
        state: hsm_state(status.hsm).into(),
    }
}

pub(crate) fn event(stored: StoredKeyEvent) -> pb::KeyEvent {
    let StoredKeyEvent { sequence, event, seal } = stored;
    pb::KeyEvent {
        sequence,
        at_unix_ms: unix_ms(event.at),
        actor: event.actor,
        action: event.action.name().to_owned(),
        key_id: event.key_id.to_string(),
        label: event.label,
        token_label: event.token_label,
        use_from_unix_ms: or_zero(event.action.use_from()),
        reason: event.reason,
        seal: seal.to_string(),
    }
}

fn key(standing: KeyStanding) -> pb::Key {
    let KeyStanding { row, found_in, may_be_retired_from } = standing;
    let state = match row.state {
        KeyState::Published => pb::KeyState::Published,
        KeyState::Signing => pb::KeyState::Signing,
        KeyState::Overlapping => pb::KeyState::Overlapping,
        KeyState::Retired => pb::KeyState::Retired,
    };
    pb::Key {
        key_id: row.key_id.to_string(),
        label: row.label,
        found_in,
        state: state.into(),
        published_at_unix_ms: unix_ms(row.published_at),
        use_from_unix_ms: or_zero(row.use_from),
        signing_since_unix_ms: or_zero(row.signing_since),
        signed_until_unix_ms: or_zero(row.signed_until),
        retired_at_unix_ms: or_zero(row.retired_at),
        may_be_retired_from_unix_ms: or_zero(may_be_retired_from),
        public_key: row.public_key.to_vec(),
    }
}

fn slot(status: SlotStatus) -> pb::HsmSlot {
    let count = |workers| u32::try_from(workers).unwrap_or(u32::MAX);
    pb::HsmSlot {
        token_label: status.token_label,
        state: hsm_state(status.state).into(),
        workers: count(status.workers),
        stuck_workers: count(status.stuck),
        reason: status.reason,
    }
}

const fn hsm_state(state: HsmState) -> pb::HsmState {
    match state {
        HsmState::Lost => pb::HsmState::Lost,
        HsmState::Degraded => pb::HsmState::Degraded,
        HsmState::Ready => pb::HsmState::Ready,
    }
}

fn or_zero(at: Option<Timestamp>) -> i64 {
    at.map(unix_ms).unwrap_or_default()
}
