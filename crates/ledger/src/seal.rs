//! Seals: what tells a record that was written from one that the disk, a restore or a hand has changed.
//!
//! Each step's seal covers the step and the seal before it, so the steps of one withdrawal form a chain: none can be changed, left out
//! or exchanged without breaking it. The chain is per withdrawal and not over all, because replicas append in parallel. The row of a
//! withdrawal holds the last seal of its chain, and a check over itself, so that a row that is read alone is checked as well.
//!
//! Seals find damage. They do not stop a forger who can write to the file: he can compute them too.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::time::Timestamp;

use crate::columns::signed;
use crate::damage::{Damage, Fault};
use crate::records::{Sequence, StepRecord, StoredStep, WithdrawalSummary};

/// Stands first in what is hashed, so that no seal is ever equal to another kind of hash.
const STEP_DOMAIN: &[u8] = b"cashgate ledger step seal 2\0";

/// Of seals made until 2026-11-29, which cover the sequence as well: ledgers that have such are read as ever.
const STEP_DOMAIN_1: &[u8] = b"cashgate ledger step seal 1\0";

/// SHA-256 over a step and the seal of the step before it in the same withdrawal.
///
/// The hashed bytes are: a domain string; one byte 0, or one byte 1 and the 32 bytes of the previous seal; the withdrawal's id (16), the
/// number (4), the time in milliseconds (8); then kind, institution and body, each after its length (4). Numbers are big-endian.
///
/// The sequence is not sealed, because it is known last: claims of several writers and replicas are prepared side by side, and get their
/// places one after the other. A wrong one shows as a gap, as one that is there twice, or as an order that the withdrawal's steps do not
/// have.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seal([u8; 32]);

impl Seal {
    /// The seal of a step. `previous` is the seal of its withdrawal's step before it, `None` for the first.
    #[must_use]
    pub fn of_step(previous: Option<&Seal>, step: &StepRecord) -> Self {
        Contents {
            withdrawal: step.withdrawal,
            number: step.number,
            at: step.at,
            kind: step.kind,
            institution: step.row.institution.as_str(),
            body: &step.body,
        }
        .seal(previous)
    }

    /// What is sealed of a step behind the seal before, without its body, which comes last.
    pub(crate) fn head_of_step(step: &StepRecord) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(96);
        bytes.extend_from_slice(step.withdrawal.as_bytes());
        bytes.extend_from_slice(&step.number.to_be_bytes());
        bytes.extend_from_slice(&signed(step.at.unix_ms()).to_be_bytes());
        extend_with_length(&mut bytes, step.kind.as_bytes());
        extend_with_length(&mut bytes, step.row.institution.as_str().as_bytes());
        bytes.extend_from_slice(&u32::try_from(step.body.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes
    }

    /// What the seal of a stored step must be, whatever seal it has.
    #[must_use]
    pub fn of_stored(previous: Option<&Seal>, step: &StoredStep) -> Self {
        Contents::of(step).seal(previous)
    }

    /// Whether it is the seal of this step behind that one.
    #[must_use]
    pub fn fits(&self, previous: Option<&Seal>, step: &StoredStep) -> bool {
        *self == Self::of_stored(previous, step) || *self == Contents::of(step).seal_1(previous, step.sequence)
    }

    /// A seal that was kept as bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The seal as bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({self})")
    }
}

/// What a seal covers of a step.
struct Contents<'step> {
    withdrawal: WithdrawalId,
    number: u32,
    at: Timestamp,
    kind: &'step str,
    institution: &'step str,
    body: &'step [u8],
}

impl<'step> Contents<'step> {
    fn of(step: &'step StoredStep) -> Self {
        Self {
            withdrawal: step.withdrawal,
            number: step.number,
            at: step.at,
            kind: &step.kind,
            institution: step.institution.as_str(),
            body: &step.body,
        }
    }

    fn seal(&self, previous: Option<&Seal>) -> Seal {
        self.sealed(begun(STEP_DOMAIN, previous))
    }

    fn seal_1(&self, previous: Option<&Seal>, sequence: Sequence) -> Seal {
        let mut bytes = begun(STEP_DOMAIN_1, previous);
        bytes.extend_from_slice(&sequence.0.to_be_bytes());
        self.sealed(bytes)
    }

    fn sealed(&self, mut bytes: Vec<u8>) -> Seal {
        bytes.extend_from_slice(self.withdrawal.as_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        // As the ledger keeps it, so that what is read back seals alike.
        bytes.extend_from_slice(&signed(self.at.unix_ms()).to_be_bytes());
        for part in [self.kind.as_bytes(), self.institution.as_bytes(), self.body] {
            extend_with_length(&mut bytes, part);
        }
        Seal(sha256(&bytes))
    }
}

fn begun(domain: &[u8], previous: Option<&Seal>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(domain);
    extend_with_optional(&mut bytes, previous.map(Seal::as_bytes));
    bytes
}

/// Whether `steps` are all the steps of the withdrawal, unchanged and in order, and end where its row says.
///
/// # Errors
///
/// The first [`Damage`] there is.
pub fn check_chain(summary: &WithdrawalSummary, steps: &[StoredStep]) -> Result<(), Damage> {
    let mut previous: Option<&StoredStep> = None;
    for (step, expected) in steps.iter().zip(1_u32..) {
        check_link(summary, previous, step, expected).map_err(|fault| Damage::of_step(step, fault))?;
        previous = Some(step);
    }
    let of_row = |fault| Damage::of_withdrawal(summary.id, fault);
    let last = previous.ok_or_else(|| of_row(Fault::NoSteps))?;
    if last.number != summary.last_step {
        Err(of_row(Fault::LastStep { expected: summary.last_step, found: last.number }))
    } else if last.seal != summary.last_seal {
        Err(of_row(Fault::LastSeal))
    } else if signed(last.at.unix_ms()) != signed(summary.changed_at.unix_ms()) {
        Err(of_row(Fault::NotOfRow("changed_at_ms")))
    } else {
        Ok(())
    }
}

/// Whether `step` is the first of the withdrawal, unchanged.
pub(crate) fn check_first(summary: &WithdrawalSummary, step: &StoredStep) -> Result<(), Damage> {
    check_link(summary, None, step, 1).map_err(|fault| Damage::of_step(step, fault))
}

fn check_link(
    summary: &WithdrawalSummary,
    previous: Option<&StoredStep>,
    step: &StoredStep,
    expected: u32,
) -> Result<(), Fault> {
    if step.withdrawal != summary.id {
        return Err(Fault::NotOfRow("withdrawal"));
    }
    if step.number != expected {
        return Err(Fault::StepNumber { expected, found: step.number });
    }
    if !step.seal.fits(previous.map(|previous| &previous.seal), step) {
        return Err(Fault::Seal);
    }
    if previous.is_some_and(|previous| previous.sequence >= step.sequence) {
        return Err(Fault::Order);
    }
    if step.institution != summary.row.institution {
        return Err(Fault::NotOfRow("institution"));
    }
    Ok(())
}

/// One byte 0, or one byte 1 and the part.
pub(crate) fn extend_with_optional<const N: usize>(bytes: &mut Vec<u8>, part: Option<&[u8; N]>) {
    bytes.push(u8::from(part.is_some()));
    bytes.extend_from_slice(part.map_or(&[], |part| part.as_slice()));
}

pub(crate) fn extend_with_length(bytes: &mut Vec<u8>, part: &[u8]) {
    // Nothing here comes near 4 GiB; a cut length would still not make two records alike, for the whole part follows.
    bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(part);
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = digest(&SHA256, bytes);
    let mut result = [0; 32];
    result.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(number: u32, kind: &str) -> StoredStep {
        StoredStep {
            sequence: Sequence(39 + 2 * u64::from(number)),
            withdrawal: WithdrawalId::from_bytes(0x0198_1f2e_7c1a_7000_8000_0000_0000_0007_u128.to_be_bytes()),
            institution: "aozora".parse().unwrap(),
            number,
            at: Timestamp::from_unix_ms(1_752_885_361_680 + 10 * u64::from(number)),
            kind: kind.to_owned(),
            body: if number == 1 { vec![1, 2, 3] } else { vec![] },
            seal: Seal([0; 32]),
        }
    }

    /// Computed by a few lines of another language from the description of [`Seal`]: a change here breaks every ledger there is.
    #[test]
    fn seals_are_made_as_described() {
        let first = Seal::of_stored(None, &step(1, "hold_requested"));
        assert_eq!(first.to_string(), "172e61a65e1942bc47d4af416fc13655178e0660ad3c78cadf6155ac672bdfd3");
        let second = Seal::of_stored(Some(&first), &step(2, "hold_granted"));
        assert_eq!(second.to_string(), "2a7012af995f8dd03bd4f894e6cc7081e419ef2fc6c71652317c181de1a99d25");
    }

    /// As they were made first: the same, and the sequence in front of the withdrawal's id.
    #[test]
    fn older_seals_still_fit_and_hold_the_sequence() {
        let seal = |hex: &str| {
            let bytes = (0..32).map(|place| u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap());
            Seal(bytes.collect::<Vec<_>>().try_into().unwrap())
        };
        let first = seal("ecefea5903f0678037278950208111232d9b790c191fb808f3bc420ab6dd602b");
        let second = seal("b3e0bfeac23c76b3daaee88f03387a56b58d9fb2652033543b6a58a4cc4b1a63");
        assert!(first.fits(None, &step(1, "hold_requested")));
        assert!(second.fits(Some(&first), &step(2, "hold_granted")));
        let moved = StoredStep { sequence: Sequence(44), ..step(2, "hold_granted") };
        assert!(!second.fits(Some(&first), &moved));
        assert!(!second.fits(None, &step(2, "hold_granted")));
        // A chain may go on in the newer form.
        let third = Seal::of_stored(Some(&second), &step(3, "dispense_commanded"));
        assert!(third.fits(Some(&second), &step(3, "dispense_commanded")));
    }

    #[test]
    fn everything_in_a_step_counts() {
        let first = Seal::of_stored(None, &step(1, "hold_requested"));
        let whole = step(2, "hold_granted");
        let changes: [fn(&mut StoredStep); 6] = [
            |step| step.withdrawal = WithdrawalId::from_bytes([0; 16]),
            |step| step.number = 3,
            |step| step.at = Timestamp::from_unix_ms(0),
            |step| step.kind.push('s'),
            |step| step.institution = "aozor".parse().unwrap(),
            |step| step.body.push(0),
        ];
        let mut seals = vec![
            Seal::of_stored(None, &whole),
            Seal::of_stored(Some(&first), &whole),
            Seal::of_stored(Some(&Seal([0; 32])), &whole),
        ];
        seals.extend(changes.iter().map(|change| {
            let mut changed = whole.clone();
            change(&mut changed);
            Seal::of_stored(Some(&first), &changed)
        }));
        // A byte that moves from one part to the next is a change, too.
        let moved = StoredStep { kind: "hold_grante".to_owned(), institution: "daozora".parse().unwrap(), ..whole };
        seals.push(Seal::of_stored(Some(&first), &moved));
        let different: std::collections::HashSet<_> = seals.iter().collect();
        assert_eq!(different.len(), seals.len());
    }
}
