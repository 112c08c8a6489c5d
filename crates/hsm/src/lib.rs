//! PKCS#11: sessions, key labels, worker threads, signatures and random nonces
