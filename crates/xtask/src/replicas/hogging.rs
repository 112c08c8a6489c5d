//! Clients that take every connection that PostgreSQL has.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use cashgate_postgres_server::Server;

use super::group::{DATABASE, ROLE};

/// Far more than there are.
const CONNECTIONS_MAX: usize = 400;
const PATIENCE: Duration = Duration::from_secs(2);

/// They hold what they have until they are dropped.
pub(super) struct Hogs {
    _held: Vec<TcpStream>,
}

impl Hogs {
    /// Ends the gateways' connections, lets in none while all that is free is taken, and then lets them find that there is no room.
    pub(super) fn fill(server: &Server) -> Result<Self, String> {
        let allow = |connections: &str| {
            let _ = server.sql("postgres", &format!("ALTER ROLE {ROLE} CONNECTION LIMIT {connections}"));
        };
        allow("0");
        let _ = server.sql(
            "postgres",
            &format!("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE usename = '{ROLE}'"),
        );
        let mut held = Vec::new();
        while held.len() < CONNECTIONS_MAX
            && let Some(connection) = Self::take(server.port())
        {
            held.push(connection);
        }
        allow("-1");
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
