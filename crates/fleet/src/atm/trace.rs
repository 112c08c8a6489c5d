//! Which trace a machine's messages belong to, as a W3C `traceparent` (<https://www.w3.org/TR/trace-context/>): one begins at each touch,
//! and an outcome says that of its dispense, so that a customer's whole visit is one trace.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use cashgate_wire::proto::atm::v1::{GatewayMessage, atm_message::Message as Saying, gateway_message::Message as Told};

/// The traces that a machine has to do with.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Of the customer before the machine.
    visit: Option<TraceId>,
    /// Of the last dispense command, and which withdrawal it was for.
    dispense: Option<(String, TraceId)>,
}

/// 32 hexadecimal digits.
#[derive(Clone, Debug)]
struct TraceId(String);

impl Trace {
    /// What goes with a message that leaves: a span of its own in the trace that it belongs to, or nothing.
    pub(super) fn of(&mut self, saying: &Saying) -> String {
        let trace = match saying {
            Saying::StartQrSession(_) => {
                self.visit = random().map(|bytes: [u8; 16]| TraceId(hex::encode(bytes)));
                self.visit.as_ref()
            }
            Saying::EndQrSession(_) | Saying::EnterConfirmCode(_) => self.visit.as_ref(),
            Saying::Outcome(outcome) => {
                let is_its = |(id, _): &&(String, TraceId)| *id == outcome.withdrawal_id;
                self.dispense.as_ref().filter(is_its).map(|(_, trace)| trace)
            }
            _ => None,
        };
        let span = random().map(|bytes: [u8; 8]| hex::encode(bytes));
        // Not sampled: that is for the gateway to decide, and a simulated machine tells nobody its spans.
        trace.zip(span).map(|(TraceId(trace), span)| format!("00-{trace}-{span}-00")).unwrap_or_default()
    }

    /// Takes note of what the gateway says that its command belongs to.
    pub(super) fn follow(&mut self, told: &GatewayMessage) {
        if let (Some(Told::Dispense(dispense)), Some(trace)) = (&told.message, trace_id(&told.traceparent)) {
            self.dispense = Some((dispense.withdrawal_id.clone(), trace));
        }
    }
}

fn trace_id(traceparent: &str) -> Option<TraceId> {
    let mut parts = traceparent.split('-');
    let (version, trace) = (parts.next()?, parts.next()?);
    let is_one = version == "00" && trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| TraceId(trace.to_owned()))
}

/// A machine without chance has no traces, and works on.
fn random<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    SystemRandom::new().fill(&mut bytes).ok().map(|()| bytes)
}

#[cfg(test)]
mod tests {
    use cashgate_wire::proto::atm::v1::{Dispense, EndQrSession, StartQrSession};
    use cashgate_wire::proto::withdrawal::v1::OutcomeReport;

    use super::*;

    fn touch() -> Saying {
        Saying::StartQrSession(StartQrSession::default())
    }

    fn outcome_of(withdrawal_id: &str) -> Saying {
        Saying::Outcome(OutcomeReport { withdrawal_id: withdrawal_id.to_owned(), ..Default::default() })
    }

    fn dispense(withdrawal_id: &str, traceparent: &str) -> GatewayMessage {
        let command = Dispense { withdrawal_id: withdrawal_id.to_owned(), ..Default::default() };
        GatewayMessage { message: Some(Told::Dispense(command)), traceparent: traceparent.to_owned() }
    }

    fn trace_and_span(traceparent: &str) -> (&str, &str) {
        let parts: Vec<_> = traceparent.split('-').collect();
        assert_eq!((parts.len(), parts[0], parts[3]), (4, "00", "00"), "{traceparent}");
        assert_eq!((parts[1].len(), parts[2].len()), (32, 16), "{traceparent}");
        (parts[1], parts[2])
    }

    #[test]
    fn each_touch_begins_a_trace_and_its_end_is_in_it() {
        let mut trace = Trace::default();
        let (first, second, ended) =
            (trace.of(&touch()), trace.of(&touch()), trace.of(&Saying::EndQrSession(EndQrSession::default())));
        let ((first, _), (second, span), (ended, its_span)) =
            (trace_and_span(&first), trace_and_span(&second), trace_and_span(&ended));
        assert_ne!(first, second);
        assert_eq!(second, ended);
        assert_ne!(span, its_span, "a span of its own");
    }

    #[test]
    fn an_outcome_is_in_the_trace_of_its_dispense_and_of_no_other() {
        let mut trace = Trace::default();
        let of_dispense = "4bf92f3577b34da6a3ce929d0e0e4736";
        trace.of(&touch());
        trace.follow(&dispense("w-1", &format!("00-{of_dispense}-00f067aa0ba902b7-01")));
        trace.follow(&GatewayMessage {
            message: None,
            traceparent: format!("00-{}-00f067aa0ba902b7-01", "1".repeat(32)),
        });
        assert_eq!(trace_and_span(&trace.of(&outcome_of("w-1"))).0, of_dispense);
        assert_eq!(trace.of(&outcome_of("w-0")), "", "of an earlier life");
        for unreadable in ["", "00-4bf9-00f067aa0ba902b7-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
        {
            trace.follow(&dispense("w-2", unreadable));
            assert_eq!(trace.of(&outcome_of("w-2")), "", "{unreadable:?}");
        }
    }
}
