//! The signed QR token and the approval's signature: encode, verify, key sets
