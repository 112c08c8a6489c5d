//! Clients that take every connection that PostgreSQL has.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use cashgate_postgres_server::Server;

use super::group::{DATABASE, ROLE};

/// Far more than there are.
const CONNECTIONS_MAX: usize = 400;
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the gateways' connections are ended until none comes back.
const ROUNDS: usize = 5;

/// They hold what they have until they are dropped.
pub(super) struct Hogs {
    _held: Vec<TcpStream>,
}

impl Hogs {
    /// Takes all that is free, ends those of the gateways, and takes these too, until no gateway has any.
    pub(super) fn fill(server: &Server) -> Result<Self, String> {
        let mut held = Vec::new();
        for _ in 0..ROUNDS {
            while held.len() < CONNECTIONS_MAX {
                match Self::take(server.port()) {
                    Some(connection) => held.push(connection),
                    None => break,
                }
            }
            let ended = server.sql(
                "postgres",
                &format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{ROLE}'"),
            );
            if ended == "0" {
                return Ok(Self { _held: held });
            }
        }
        let left = Self::of_gateways(server);
        if left == "0" {
            Ok(Self { _held: held })
        } else {
            Err(format!("{left} connections of gateways are still there"))
        }
    }

    fn of_gateways(server: &Server) -> String {
        server.sql("postgres", &format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}'"))
    }

    /// A connection of a user who does nothing with it: PostgreSQL's start-up message, version 3.0, and the first byte of the answer.
    fn take(port: u16) -> Option<TcpStream> {
        let mut words = Vec::new();
        for word in ["user", HOG, "database", DATABASE, ""] {
            words.extend(word.as_bytes());
            words.push(0);
        }
        let length = u32::try_from(words.len() + 8).ok()?;
        let mut message = length.to_be_bytes().to_vec();
        message.extend(196_608_u32.to_be_bytes());
        message.extend(words);
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        connection.set_read_timeout(Some(PATIENCE)).ok()?;
        connection.write_all(&message).ok()?;
        let mut kind = [0];
        connection.read_exact(&mut kind).ok()?;
        // R is "authenticated"; E is an error, such as "sorry, too many clients already".
        (kind == *b"R").then_some(connection)
    }
}

/// Another user than the gateways', and no superuser.
pub(super) const HOG: &str = "hog";
