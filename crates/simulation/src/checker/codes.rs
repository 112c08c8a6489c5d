//! Rule 1: what became of each code.

use std::collections::BTreeMap;

use super::verdict::{Judgement, Rule, broken, broken_by_none};
use crate::boundary::{AtmNo, PhoneNo, WithdrawalNo};

/// A code that the HSM signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Code {
    pub(super) atm: AtmNo,
    /// The gateway process for which it was signed.
    pub(super) life: u32,
    qr_session: u128,
    expires_at_ms: u64,
    scanned_by: Option<PhoneNo>,
}

/// The time in which one machine shows codes for one customer.
#[derive(Clone, Copy, Debug)]
struct QrSession {
    atm: AtmNo,
    scanned_by: Option<PhoneNo>,
    withdrawal: Option<WithdrawalNo>,
}

/// Every code and QR session that there ever was.
#[derive(Debug, Default)]
pub(super) struct Codes {
    codes: BTreeMap<u128, Code>,
    qr_sessions: BTreeMap<u128, QrSession>,
}

impl Codes {
    pub(super) fn code(&self, nonce: u128) -> Option<&Code> {
        self.codes.get(&nonce)
    }

    pub(super) fn signed(
        &mut self,
        nonce: u128,
        atm: AtmNo,
        qr_session: u128,
        expires_at_ms: u64,
        life: u32,
    ) -> Judgement {
        let code = Code { atm, life, qr_session, expires_at_ms, scanned_by: None };
        if self.codes.insert(nonce, code).is_some() {
            return broken_by_none(Rule::One, || format!("nonce {nonce:x} was signed twice"));
        }
        let session =
            self.qr_sessions.entry(qr_session).or_insert(QrSession { atm, scanned_by: None, withdrawal: None });
        if session.atm != atm {
            return broken_by_none(Rule::One, || {
                format!("QR session {qr_session:x} of machine {} got a code for machine {atm}", session.atm)
            });
        }
        Ok(())
    }

    /// Scanning again with the same phone gives the same answer, after the expiry too: the first scan claimed the code.
    pub(super) fn scan_accepted(&mut self, nonce: u128, phone: PhoneNo, at_ms: u64, life: u32) -> Judgement {
        let Some(code) = self.codes.get_mut(&nonce) else {
            return broken_by_none(Rule::One, || {
                format!("a scan of nonce {nonce:x} was accepted, which was never signed")
            });
        };
        if let Some(other) = code.scanned_by.filter(|other| *other != phone) {
            return broken_by_none(Rule::One, || {
                format!("nonce {nonce:x} was scanned by phone {other} and then by phone {phone}")
            });
        }
        if code.life != life {
            return broken_by_none(Rule::One, || {
                format!("a scan of nonce {nonce:x} was accepted after the gateway, whose QR session it was, had gone")
            });
        }
        if code.scanned_by.is_none() && at_ms >= code.expires_at_ms {
            return broken_by_none(Rule::One, || {
                format!("a scan of nonce {nonce:x} was accepted at {at_ms} ms, it expired at {} ms", code.expires_at_ms)
            });
        }
        code.scanned_by = Some(phone);
        let Some(session) = self.qr_sessions.get_mut(&code.qr_session) else { return Ok(()) };
        match session.scanned_by {
            Some(other) if other != phone => broken_by_none(Rule::One, || {
                format!("QR session {:x} was claimed by phone {other} and then by phone {phone}", code.qr_session)
            }),
            _ => {
                session.scanned_by = Some(phone);
                Ok(())
            }
        }
    }

    /// The same approval again gives the same withdrawal, for ever.
    pub(super) fn approval_accepted(&mut self, nonce: u128, phone: PhoneNo, withdrawal: WithdrawalNo) -> Judgement {
        let Some(code) = self.codes.get(&nonce) else {
            return broken(Rule::One, withdrawal, || format!("approved over nonce {nonce:x}, which was never signed"));
        };
        match code.scanned_by {
            Some(scanned_by) if scanned_by == phone => {}
            Some(scanned_by) => {
                return broken(Rule::One, withdrawal, || {
                    format!("phone {scanned_by} scanned, but phone {phone} approved")
                });
            }
            None => {
                return broken(Rule::One, withdrawal, || {
                    format!("phone {phone} approved a code that nobody had scanned")
                });
            }
        }
        // A code belongs to one QR session, and that to one customer: one withdrawal a session also means one a code.
        let Some(session) = self.qr_sessions.get_mut(&code.qr_session) else { return Ok(()) };
        match session.withdrawal {
            Some(other) if other != withdrawal => broken(Rule::One, withdrawal, || {
                format!("its code or QR session had already opened withdrawal {other:x}")
            }),
            _ => {
                session.withdrawal = Some(withdrawal);
                Ok(())
            }
        }
    }
}
