//! Three gateways in one folder that share a ledger on a real PostgreSQL.

use std::fs;

use crate::harness::{Site, eventually};

/// The replicas 0, 1 and 2. Their rules come from the ledger.
pub(crate) struct Replicas {
    pub(crate) sites: [Site; 3],
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
        let site = Site::folder_only().await;
        site.take_rules_from_ledger();
        let sites = [0, 1, 2].map(|number| {
            let mut replica = site.beside(&format!("replica-{number}"));
            replica.be_replica(number);
            replica
        });
        Self { sites }
    }

    pub(crate) async fn ready(&self, site: &Site) {
        eventually("a replica is ready", async || matches!(site.readiness().await, Some((200, _))).then_some(())).await;
    }
}
