//! Reservations and spent windows per account, decided under one guard
