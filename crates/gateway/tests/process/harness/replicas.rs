//! Three gateways in one folder that share a ledger on a real PostgreSQL.

use std::fs;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use cashgate_postgres_server::Server;

use super::{Site, eventually};

static SERVER: LazyLock<Server> = LazyLock::new(|| Server::start_with("max_connections = 300"));

/// The replicas 0, 1 and 2. Their rules come from the ledger.
pub(crate) struct Replicas {
    pub(crate) sites: [Site; 3],
    dsn: String,
}

impl Replicas {
    /// Three that are ready, after a first set of rules with these limits was published.
    pub(crate) async fn with_set(rules: &str, limits: Option<&str>) -> Self {
        let mut replicas = Self::prepared().await;
        let [first, ..] = &replicas.sites;
        first.write_set("first", rules, 200_000);
        if let Some(limits) = limits {
            fs::write(first.path("first/limits.toml"), limits).unwrap();
        }
        replicas.sites.iter_mut().for_each(Site::start);
        for site in &replicas.sites {
            eventually("a replica answers", async || site.readiness().await).await;
        }
        // One of them is told.
        replicas.sites[0].publish("first", &[]).unwrap();
        for site in &replicas.sites {
            replicas.ready(site).await;
        }
        replicas
    }

    async fn prepared() -> Self {
        static DATABASES: AtomicU16 = AtomicU16::new(0);
        let database = format!("gateways_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let _ = SERVER.sql("postgres", &format!("CREATE DATABASE {database}"));
        let site = Site::folder_only().await;
        let dsn = SERVER.dsn(&database);
        fs::write(site.path("dsn"), &dsn).unwrap();
        site.take_rules_from_ledger();
        site.edit_configuration(|text| text.replace("path = \"ledger.db\"", "postgres = { dsn_file = \"dsn\" }"));
        let migrated = site.run(&["migrate", "--config", &site.configuration()]);
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        let sites = [0, 1, 2].map(|id| replica(&site, id));
        Self { sites, dsn }
    }

    pub(crate) async fn ready(&self, site: &Site) {
        eventually("a replica is ready", async || matches!(site.readiness().await, Some((200, _))).then_some(())).await;
    }

    /// The database's connection string.
    pub(crate) fn dsn(&self) -> &str {
        &self.dsn
    }
}

fn replica(site: &Site, id: u16) -> Site {
    let replica = site.beside(&format!("replica-{id}"));
    let _ = replica.certificate(&format!("replica/{id}"));
    let port = Site::free_port();
    replica.edit_configuration(|text| {
        let listen = format!("[listen]\nreplica = \"127.0.0.1:{port}\"");
        text.replace("[listen]", &listen)
            + &format!(
                "\n[replica]\nid = {id}\naddress = \"127.0.0.1:{port}\"\nserver_name = \"localhost\"\n\
                 certificate = \"certs/replica-{id}.pem\"\nkey = \"certs/replica-{id}-key.pem\"\n"
            )
    });
    replica
}
