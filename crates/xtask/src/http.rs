//! Pages of a process on this machine: no proxy, no TLS, no library.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// What a gateway exports.
pub(crate) fn metrics(port: u16) -> Result<String, String> {
    match page(port, "/metrics") {
        Some((200, page)) => Ok(page),
        other => Err(format!("/metrics answers {:?}", other.map(|(status, _)| status))),
    }
}

/// Status and body of a page, or nothing if nobody answers.
pub(crate) fn page(port: u16, path: &str) -> Option<(u16, String)> {
    page_at((Ipv4Addr::LOCALHOST, port).into(), path)
}

/// The same at any address of the loopback interface.
pub(crate) fn page_at(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let ask = || -> std::io::Result<String> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        // HTTP/1.0: the body comes in one piece and ends with the connection.
        socket.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
