//! Counts the HTTP/2 frames of one connection before anybody acts on them.
//!
//! `h2` answers each PING and SETTINGS and forgets reset streams, so a peer that sends nothing else costs processor time without end. Here the
//! peer is cut off as soon as it sends more than honest peers do. Only the nine bytes of a frame's header are read (RFC 9113, section 4.1);
//! whether frames are legal stays `h2`'s business.

use governor::RateLimiter;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};

use super::{Cut, PortGuard, Rate};

/// `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n` (RFC 9113, section 3.4).
const PREFACE_BYTES: u8 = 24;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

type Allowance<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// What one connection has sent, and may still send.
#[derive(Debug)]
pub(crate) struct FrameMeter<C: Clock = DefaultClock> {
    preface_left: u8,
    header: [u8; 9],
    header_read: usize,
    payload_left: usize,
    in_headers: bool,
    frames: Allowance<C>,
    empty_frames: Allowance<C>,
    resets: Allowance<C>,
}

impl FrameMeter {
    /// A connection that has sent nothing yet.
    pub(crate) fn new(guard: &PortGuard) -> Self {
        Self::with_clock(guard, &DefaultClock::default())
    }
}

impl<C: Clock + Clone> FrameMeter<C> {
    fn with_clock(guard: &PortGuard, clock: &C) -> Self {
        let allowance = |rate: Rate| RateLimiter::direct_with_clock(rate.quota(), clock.clone());
        Self {
            preface_left: PREFACE_BYTES,
            header: [0; 9],
            header_read: 0,
            payload_left: 0,
            in_headers: false,
            frames: allowance(guard.frames),
            empty_frames: allowance(guard.empty_frames),
            resets: allowance(guard.resets),
        }
    }

    /// Whether HTTP/2 has begun.
    pub(crate) const fn has_preface(&self) -> bool {
        self.preface_left == 0
    }

    /// Whether a block of headers, or a frame of another kind than DATA, was begun and not ended. Until it has, nothing else can come on this
    /// connection, not even the answer to a PING. (DATA may take long on a slow line.)
    pub(crate) const fn owes_an_end(&self) -> bool {
        let [_, _, _, kind, ..] = self.header;
        self.in_headers || self.header_read > 0 || (self.payload_left > 0 && kind != DATA)
    }

    /// Counts what was read from the connection.
    ///
    /// # Errors
    /// It is too much.
    pub(crate) fn count(&mut self, mut bytes: &[u8]) -> Result<(), Cut> {
        while !bytes.is_empty() {
            if self.preface_left > 0 {
                let taken = bytes.len().min(usize::from(self.preface_left));
                self.preface_left -= u8::try_from(taken).unwrap_or(self.preface_left);
                bytes = bytes.get(taken..).unwrap_or_default();
            } else if self.payload_left > 0 {
                let taken = bytes.len().min(self.payload_left);
                self.payload_left -= taken;
                bytes = bytes.get(taken..).unwrap_or_default();
            } else {
                bytes = self.read_header(bytes);
                if self.header_read == self.header.len() {
                    self.header_read = 0;
                    self.count_frame()?;
                }
            }
        }
        Ok(())
    }

    fn read_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let wanted = self.header.get_mut(self.header_read..).unwrap_or_default();
        let taken = bytes.len().min(wanted.len());
        let (mine, rest) = bytes.split_at(taken);
        wanted.iter_mut().zip(mine).for_each(|(to, from)| *to = *from);
        self.header_read += taken;
        rest
    }

    fn count_frame(&mut self) -> Result<(), Cut> {
        let [high, middle, low, kind, flags, ..] = self.header;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.payload_left = length;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.in_headers = flags & END_HEADERS == 0;
        }
        self.frames.check().map_err(|_| Cut::FrameFlood)?;
        match kind {
            RST_STREAM => self.resets.check().map_err(|_| Cut::ResetFlood),
            HEADERS | WINDOW_UPDATE => Ok(()),
            DATA if length > 0 || flags & END_STREAM != 0 => Ok(()),
            // PRIORITY, SETTINGS, PING, GOAWAY, CONTINUATION, empty DATA, and kinds that nobody knows.
            _ => self.empty_frames.check().map_err(|_| Cut::EmptyFrameFlood),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::config::GuardSection;

    const PING: u8 = 6;

    struct Wire {
        meter: FrameMeter<FakeRelativeClock>,
        clock: FakeRelativeClock,
        guard: PortGuard,
    }

    impl Wire {
        fn of_an_atm() -> Self {
            let (guard, clock) = (PortGuard::atm(&GuardSection::default()), FakeRelativeClock::default());
            let mut meter = FrameMeter::with_clock(&guard, &clock);
            meter.count(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
            Self { meter, clock, guard }
        }

        fn sends(&mut self, kind: u8, flags: u8, payload: &[u8]) -> Result<(), Cut> {
            let length = u8::try_from(payload.len()).unwrap();
            self.meter.count(&[0, 0, length, kind, flags, 0, 0, 0, 1])?;
            self.meter.count(payload)
        }

        /// How many of these frames it takes until the connection is cut, and why.
        fn until_cut(&mut self, kind: u8, flags: u8, payload: &[u8]) -> (u32, Cut) {
            (1..=1_000_000).find_map(|sent| self.sends(kind, flags, payload).err().map(|cut| (sent, cut))).unwrap()
        }
    }

    #[test]
    fn what_carries_nothing_is_cut_off_first() {
        let allowed = PortGuard::atm(&GuardSection::default()).empty_frames.burst;
        for (what, kind, flags, payload) in [
            ("PING", PING, 0, &[0; 8][..]),
            ("SETTINGS", 4, 0, &[]),
            ("empty DATA", DATA, 0, &[]),
            ("CONTINUATION", CONTINUATION, 0, &[1]),
            ("PRIORITY", 2, 0, &[0; 5]),
            ("unknown", 77, 0, &[1]),
        ] {
            let cut = Wire::of_an_atm().until_cut(kind, flags, payload);
            assert_eq!(cut, (allowed + 1, Cut::EmptyFrameFlood), "{what}");
        }
    }

    #[test]
    fn resets_and_frames_in_all_have_bounds_of_their_own() {
        let mut wire = Wire::of_an_atm();
        let guard = wire.guard;
        assert_eq!(wire.until_cut(RST_STREAM, 0, &[0; 4]), (guard.resets.burst + 1, Cut::ResetFlood));
        for (kind, flags, payload) in [(HEADERS, END_HEADERS, &[1][..]), (DATA, 0, &[1]), (WINDOW_UPDATE, 0, &[0; 4])] {
            let cut = Wire::of_an_atm().until_cut(kind, flags, payload);
            assert_eq!(cut, (guard.frames.burst + 1, Cut::FrameFlood));
        }
    }

    #[test]
    fn what_comes_slowly_may_come_for_ever() {
        let mut wire = Wire::of_an_atm();
        for _ in 0..10_000 {
            wire.sends(PING, 0, &[0; 8]).unwrap();
            wire.clock.advance(Duration::from_millis(1_000 / u64::from(wire.guard.empty_frames.per_s)));
        }
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut_up() {
        let frame = [0, 0, 8, PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        let guard = PortGuard::atm(&GuardSection::default());
        let many = usize::try_from(guard.empty_frames.burst).unwrap();
        let bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame.repeat(many)].concat();
        for at_a_time in [1, 2, 7, 26, 4_096] {
            let mut meter = FrameMeter::with_clock(&guard, &FakeRelativeClock::default());
            assert!(
                bytes.chunks(at_a_time).all(|part| meter.count(part).is_ok()),
                "{at_a_time}: exactly as many as allowed"
            );
            assert_eq!(meter.count(&frame), Err(Cut::EmptyFrameFlood), "{at_a_time}: and not one more");
        }
    }

    #[test]
    fn a_frame_that_is_not_whole_is_waited_for_unless_it_is_data() {
        let mut wire = Wire::of_an_atm();
        for (begun, waited_for) in [
            (&[0, 0, 9, HEADERS, END_HEADERS, 0, 0, 0, 1, 1][..], true),
            (&[1; 8], false),
            (&[0, 0], true),
            (&[2, DATA, 0, 0, 0, 0, 1, 9], false),
            (&[9], false),
        ] {
            wire.meter.count(begun).unwrap();
            assert_eq!(wire.meter.owes_an_end(), waited_for, "after {begun:?}");
        }
    }

    #[test]
    fn a_block_of_headers_is_open_until_its_last_part() {
        let mut wire = Wire::of_an_atm();
        assert!(wire.meter.has_preface() && !wire.meter.owes_an_end());
        wire.sends(HEADERS, 0, &[1]).unwrap();
        assert!(wire.meter.owes_an_end());
        wire.sends(CONTINUATION, 0, &[1]).unwrap();
        assert!(wire.meter.owes_an_end());
        wire.sends(CONTINUATION, END_HEADERS, &[1]).unwrap();
        assert!(!wire.meter.owes_an_end());
    }
}
