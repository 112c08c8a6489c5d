//! Whether the ledger can take what begins.

/// Whether there is room on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// The reserve is whole. All may be recorded.
    Ample,
    /// The disk was found full, and what is written now lives on the reserve, or there is none. No new withdrawal may begin, so that
    /// those that are open can be recorded to their ends.
    Reserve,
}
