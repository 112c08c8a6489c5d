//! What a gateway's ports answer: pages over HTTP, and peers' connections with their certificates.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::{Port, Site};

impl Site {
    /// A page of the HTTP port.
    pub(crate) async fn page(&self, path: &str) -> String {
        let (status, body) = self.try_page(path).await.expect("the HTTP port answers");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The same with its status, if it answers.
    pub(super) async fn try_page(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http_port())).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The stem of a peer's certificate and key, issued if there is none yet.
    pub(crate) fn certificate(&self, peer: &str) -> PathBuf {
        let stem = self.path("certs").join(peer.replace('/', "-"));
        if !stem.with_extension("pem").exists() {
            let issued = self.run(&["issue-cert", &self.path("").display().to_string(), peer]);
            assert!(issued.status.success(), "{peer}: {}", String::from_utf8_lossy(&issued.stderr));
        }
        stem
    }

    /// A peer's connection.
    pub(crate) async fn channel(&self, port: Port, peer: &str) -> Channel {
        let stem = self.certificate(peer);
        let identity = Identity::from_pem(read(&stem, ".pem"), read(&stem, "-key.pem"));
        self.try_channel(port, Some(identity)).await.unwrap_or_else(|error| panic!("{peer}: {error:?}"))
    }

    /// A connection with whatever certificate, or none.
    pub(crate) async fn try_channel(
        &self,
        port: Port,
        identity: Option<Identity>,
    ) -> Result<Channel, tonic::transport::Error> {
        let ca = Certificate::from_pem(fs::read(self.path("ca.pem")).unwrap());
        let mut tls = ClientTlsConfig::new().ca_certificate(ca).domain_name("localhost");
        if let Some(identity) = identity {
            tls = tls.identity(identity);
        }
        let address = format!("https://127.0.0.1:{}", self.port(port));
        Endpoint::from_shared(address)?.tls_config(tls)?.connect().await
    }

    /// The sum of a metric's lines that have all these labels.
    pub(crate) async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let page = self.page("/metrics").await;
        let lines = page.lines().filter_map(|line| line.strip_prefix(name)).filter_map(|line| line.rsplit_once(' '));
        let has = |line: &str| labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")));
        lines.filter(|(line, _)| has(line)).map(|(_, value)| value.parse::<u64>().unwrap()).sum()
    }
}

fn read(stem: &Path, suffix: &str) -> Vec<u8> {
    fs::read(format!("{}{suffix}", stem.display())).unwrap()
}
