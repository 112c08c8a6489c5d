//! What replicas of one gateway say to each other.

use cashgate_withdrawal::ids::{AtmId, InstitutionId, OperatorName};
use cashgate_withdrawal::refusal::Refusal;

use crate::fields::{id, invalid};
use crate::proto::customer::v1 as customer;
use crate::proto::operations::v1 as operations;
use crate::proto::replica::v1 as pb;

/// How often a request may be handed on.
const HOPS_MAX: u32 = 1;

/// A request that another replica took and handed on.
#[derive(Clone, Debug, PartialEq)]
pub struct Forwarded<T> {
    /// Who handed it on.
    pub from: u16,
    /// Whom that replica verified as the caller.
    pub institution: InstitutionId,
    /// The request.
    pub request: T,
}

/// An ATM's lane that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseLane {
    /// Who asks.
    pub from: u16,
    /// The ATM.
    pub atm: AtmId,
    /// The highest epoch in which it is to be let go.
    pub epoch: u64,
}

fn forwarded_to(from: u16, institution: &InstitutionId) -> Option<pb::Forwarded> {
    Some(pb::Forwarded { from_replica: from.into(), institution_id: institution.to_string(), hops: HOPS_MAX })
}

fn read<T>(forwarded: Option<pb::Forwarded>, request: Option<T>) -> Result<Forwarded<T>, Refusal> {
    let forwarded = forwarded.ok_or_else(|| invalid("forwarded", "is missing"))?;
    if forwarded.hops != HOPS_MAX {
        return Err(invalid("forwarded.hops", format!("must be {HOPS_MAX}: a request is handed on once")));
    }
    Ok(Forwarded {
        from: number("forwarded.from_replica", forwarded.from_replica)?,
        institution: id("forwarded.institution_id", &forwarded.institution_id)?,
        request: request.ok_or_else(|| invalid("request", "is missing"))?,
    })
}

fn number(field: &'static str, number: u32) -> Result<u16, Refusal> {
    u16::try_from(number).map_err(|_| invalid(field, "is no replica's number"))
}

macro_rules! forwards {
    ($($to:ident, $from:ident: $message:ident, $request:ident;)*) => {
        $(
            /// Hands a request on.
            #[must_use]
            pub fn $to(from: u16, institution: &InstitutionId, request: customer::$request) -> pb::$message {
                pb::$message { forwarded: forwarded_to(from, institution), request: Some(request) }
            }

            /// Reads a request that was handed on.
            pub fn $from(message: pb::$message) -> Result<Forwarded<customer::$request>, Refusal> {
                read(message.forwarded, message.request)
            }
        )*
    };
}

forwards! {
    forward_scan, forwarded_scan: ForwardScanRequest, ScanRequest;
    forward_approve, forwarded_approve: ForwardApproveRequest, ApproveRequest;
    forward_cancel, forwarded_cancel: ForwardCancelRequest, CancelRequest;
    forward_watch, forwarded_watch: ForwardWatchRequest, WatchRequest;
}

/// Hands a person's decision on.
#[must_use]
pub fn forward_resolve(
    from: u16,
    operator: &OperatorName,
    request: operations::ResolveSuspectRequest,
) -> pb::ForwardResolveSuspectRequest {
    pb::ForwardResolveSuspectRequest {
        from_replica: from.into(),
        operator: operator.to_string(),
        hops: HOPS_MAX,
        request: Some(request),
    }
}

/// Reads a person's decision that was handed on: who handed it on, who decided, and what.
pub fn forwarded_resolve(
    message: pb::ForwardResolveSuspectRequest,
) -> Result<(u16, OperatorName, operations::ResolveSuspectRequest), Refusal> {
    if message.hops != HOPS_MAX {
        return Err(invalid("hops", format!("must be {HOPS_MAX}: a request is handed on once")));
    }
    let request = message.request.ok_or_else(|| invalid("request", "is missing"))?;
    Ok((number("from_replica", message.from_replica)?, id("operator", &message.operator)?, request))
}

/// Asks for a lane.
#[must_use]
pub fn release_lane(from: u16, atm: &AtmId, epoch: u64) -> pb::ReleaseLaneRequest {
    pb::ReleaseLaneRequest { from_replica: from.into(), atm_id: atm.to_string(), epoch }
}

/// Reads what lane is asked for.
pub fn released_lane(message: &pb::ReleaseLaneRequest) -> Result<ReleaseLane, Refusal> {
    Ok(ReleaseLane {
        from: number("from_replica", message.from_replica)?,
        atm: id("atm_id", &message.atm_id)?,
        epoch: message.epoch,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_as_it_was_handed_on_and_is_not_handed_on_twice() {
        let institution: InstitutionId = "sakura".parse().unwrap();
        let request = customer::ScanRequest { qr_text: "CG1:".into(), device_id: "d".into(), account_id: "a".into() };
        let message = forward_scan(2, &institution, request.clone());
        let read = forwarded_scan(message.clone()).unwrap();
        assert_eq!(read, Forwarded { from: 2, institution, request });
        for hops in [0, 2, u32::MAX] {
            let mut again = message.clone();
            again.forwarded.as_mut().unwrap().hops = hops;
            assert_eq!(forwarded_scan(again).unwrap_err().factor(), "forwarded.hops", "{hops}");
        }
        assert!(forwarded_scan(pb::ForwardScanRequest::default()).is_err());
    }

    #[test]
    fn a_lane_is_named_with_its_epoch() {
        let atm: AtmId = "A1".parse().unwrap();
        assert_eq!(released_lane(&release_lane(1, &atm, 7)), Ok(ReleaseLane { from: 1, atm, epoch: 7 }));
        let wrong = pb::ReleaseLaneRequest { from_replica: 70_000, ..release_lane(1, &"A1".parse().unwrap(), 7) };
        assert_eq!(released_lane(&wrong).unwrap_err().factor(), "from_replica");
    }
}
