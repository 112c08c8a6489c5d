//! As `docs/postgresql.md` says that it is to be run: TLS both ways, one role that owns the schema, and one for gateways that may do nothing but call
//! its functions: what `cashgate migrate --grant-to` grants, which stands in that document.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Output;

use cashgate_postgres_server::Server;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

use super::away::is_ready;
use crate::harness::{Atm, Phone, Site, eventually};
use crate::starting::says;

const DATABASE: &str = "cashgate";

/// Nobody comes in without TLS but the test itself, and the gateway's role shows a certificate beside its password.
const HBA: &str = "host all postgres 127.0.0.1/32 trust
hostssl all cashgate_owner 127.0.0.1/32 scram-sha-256
hostssl all cashgate 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
";

/// An authority with what it issues.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// Certificate and key.
    fn issued(&self, names: &[SanType]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // Not the authority's: OpenSSL would take it for its own issuer.
        params.distinguished_name.push(DnType::CommonName, "cashgate");
        params.subject_alt_names.extend_from_slice(names);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// A server, its authority, and a site whose configuration is the document's.
struct Secured {
    server: Server,
    authority: Authority,
    site: Site,
}

impl Secured {
    async fn new() -> Self {
        let authority = Authority::new("authority of the database");
        let (certificate, key) = authority.issued(&[SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))]);
        let settings = "ssl = on\nssl_cert_file = 'own.crt'\nssl_key_file = 'own.key'\nssl_ca_file = 'clients.crt'";
        let files = [
            ("own.crt", certificate.as_bytes()),
            ("own.key", key.as_bytes()),
            ("clients.crt", authority.certificate.as_bytes()),
            ("pg_hba.conf", HBA.as_bytes()),
        ];
        let server = Server::start_with_files(settings, &files);
        let _ = server.sql("postgres", "CREATE ROLE cashgate_owner LOGIN PASSWORD 'of-owner'");
        let _ = server.sql("postgres", "CREATE ROLE cashgate LOGIN PASSWORD 'of-gateway'");
        let _ = server.sql("postgres", &format!("CREATE DATABASE {DATABASE} OWNER cashgate_owner"));

        let site = Site::folder_only().await;
        let secured = Self { server, authority, site };
        secured.write("ledger-dsn", &secured.dsn("cashgate:of-gateway@127.0.0.1"));
        secured.write("owner-dsn", &secured.dsn("cashgate_owner:of-owner@127.0.0.1"));
        secured.write("database-ca.pem", &secured.authority.certificate);
        let (certificate, key) = secured.authority.issued(&[]);
        secured.write("database-client.pem", &certificate);
        secured.write("database-client-key.pem", &key);
        secured.site.edit_configuration(|text| {
            let named = "postgres.dsn_file = \"ledger-dsn\"";
            let tls = "postgres.ca = \"database-ca.pem\"\npostgres.certificate = \"database-client.pem\"\n\
                       postgres.key = \"database-client-key.pem\"";
            assert!(text.contains(named));
            text.replace(named, &format!("{named}\n{tls}"))
        });
        secured
    }

    fn dsn(&self, who_and_where: &str) -> String {
        format!("postgresql://{who_and_where}:{}/{DATABASE}", self.server.port())
    }

    fn write(&self, file: &str, contents: &str) {
        fs::write(self.site.path(file), contents).unwrap();
    }

    /// As the owner, with grants for a role.
    fn migrate_for(&self, role: &str) -> Output {
        let owner = self.site.path("owner-dsn").display().to_string();
        let arguments = ["migrate", "--config", &self.site.configuration(), "--dsn-file", &owner, "--grant-to", role];
        self.site.run(&arguments)
    }

    fn migrate(&self) {
        let migrated = self.migrate_for("cashgate");
        assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    }
}

/// Every right in the schema, or with the whole server, by which the gateway's role, or anybody else, may do more or less than the document says: one a
/// line.
const UNDOCUMENTED: &str = "
WITH relation AS (
    SELECT c.oid, c.relname AS name, c.relkind = 'S' AS is_sequence FROM pg_class c
    WHERE c.relnamespace = 'cashgate'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
), routine AS (
    SELECT p.oid, p.proname AS name FROM pg_proc p WHERE p.pronamespace = 'cashgate'::regnamespace
)
SELECT format('%s on %s', what, name) FROM relation, unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS what
    WHERE NOT is_sequence AND has_table_privilege('cashgate', oid, what)
UNION SELECT format('%s on columns of %s', what, name) FROM relation, unnest(ARRAY['INSERT', 'UPDATE', 'REFERENCES']) AS what
    WHERE NOT is_sequence AND has_any_column_privilege('cashgate', oid, what) AND NOT has_table_privilege('cashgate', oid, what)
UNION SELECT format('%s on %s', what, name) FROM relation, unnest(ARRAY['USAGE', 'UPDATE']) AS what
    WHERE is_sequence AND has_sequence_privilege('cashgate', oid, what)
UNION SELECT format('no SELECT on %s', name) FROM relation WHERE NOT is_sequence AND NOT has_table_privilege('cashgate', oid, 'SELECT')
UNION SELECT format('EXECUTE on %s', name) FROM routine WHERE name = 'cashgate_archive' AND has_function_privilege('cashgate', oid, 'EXECUTE')
UNION SELECT format('no EXECUTE on %s', name) FROM routine WHERE name <> 'cashgate_archive' AND NOT has_function_privilege('cashgate', oid, 'EXECUTE')
UNION SELECT 'CREATE in the schema' WHERE has_schema_privilege('cashgate', 'cashgate', 'CREATE')
UNION SELECT 'CREATE in the database' WHERE has_database_privilege('cashgate', current_database(), 'CREATE')
UNION SELECT 'rights of the whole server' FROM pg_roles
    WHERE rolname = 'cashgate' AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
UNION SELECT format('membership of %s', roleid::regrole) FROM pg_auth_members WHERE member = 'cashgate'::regrole
UNION SELECT format('anybody: SELECT on %s', name) FROM relation WHERE NOT is_sequence AND has_table_privilege('somebody', oid, 'SELECT')
UNION SELECT format('anybody: EXECUTE on %s', name) FROM routine WHERE has_function_privilege('somebody', oid, 'EXECUTE')
UNION SELECT 'anybody: USAGE of the schema' WHERE has_schema_privilege('somebody', 'cashgate', 'USAGE')
ORDER BY 1";

/// No right is wider than the document says, and each that were would be seen.
fn rights_are_as_documented(server: &Server) {
    assert_eq!(server.sql(DATABASE, UNDOCUMENTED), "");
    for (wider, seen) in [
        ("GRANT INSERT ON cashgate.publications TO cashgate", "INSERT on publications"),
        ("GRANT UPDATE (last_batch) ON cashgate.writers TO cashgate", "UPDATE on columns of writers"),
        ("GRANT DELETE ON cashgate.archived_steps TO PUBLIC", "DELETE on archived_steps"),
        ("GRANT EXECUTE ON FUNCTION cashgate.cashgate_archive TO cashgate", "EXECUTE on cashgate_archive"),
        ("GRANT CREATE ON SCHEMA cashgate TO cashgate", "CREATE in the schema"),
        ("GRANT cashgate_owner TO cashgate", "membership of cashgate_owner"),
        ("GRANT SELECT ON cashgate.devices TO PUBLIC", "anybody: SELECT on devices"),
    ] {
        let found = server.sql(DATABASE, &format!("BEGIN; {wider}; {UNDOCUMENTED}; ROLLBACK"));
        assert!(found.lines().any(|line| line == seen), "{wider}: {found}");
    }
    assert_eq!(server.sql(DATABASE, UNDOCUMENTED), "", "and they were taken back");
}

#[tokio::test]
async fn a_gateway_serves_over_tls_as_a_role_that_may_only_call_functions() {
    let Secured { server, mut site, .. } = {
        let secured = Secured::new().await;
        secured.migrate();
        secured
    };
    site.serve().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let id = phone.approve_at(&mut atm, 10_000).await;
    atm.pays_out().await;
    phone.watch_to_end(&id).await;
    let sessions = "SELECT count(*) FILTER (WHERE s.ssl), count(*) FILTER (WHERE NOT s.ssl)
        FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.usename = 'cashgate'";
    let sessions = server.sql(DATABASE, sessions);
    assert!(!sessions.starts_with("0|") && sessions.ends_with("|0"), "over TLS | without it: {sessions}");

    // Killed and started again: what a start reads and repairs it may read and repair too.
    site.kill();
    site.serve().await;
    let verified = site.run(&["ledger", "verify", "--config", &site.configuration()]);
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success() && said.contains("nothing is wrong"), "{said}");

    for (what, sql) in [
        ("change a step", "UPDATE cashgate.steps SET body = '\\x00'"),
        ("delete a step", "DELETE FROM cashgate.steps"),
        ("empty the steps", "TRUNCATE cashgate.steps"),
        ("write a step past the functions", "INSERT INTO cashgate.steps SELECT * FROM cashgate.steps"),
        ("change a withdrawal", "UPDATE cashgate.withdrawals SET state = 'confirmed'"),
        ("unlock a phone", "UPDATE cashgate.devices SET locked_at_ms = NULL"),
        ("delete a notice", "DELETE FROM cashgate.notices"),
        ("rewrite the head", "UPDATE cashgate.ledger_head SET last_sequence = 0"),
        ("turn the triggers off", "SET session_replication_role = replica"),
        ("disable a trigger", "ALTER TABLE cashgate.steps DISABLE TRIGGER ALL"),
        ("put a table of its own into the schema", "CREATE TABLE cashgate.own (x int)"),
        (
            "put a function in a function's way",
            "CREATE OR REPLACE FUNCTION cashgate.cashgate_text(value text) RETURNS bytea LANGUAGE sql AS $$ SELECT '\\x00'::bytea $$",
        ),
        ("archive", "SELECT cashgate.cashgate_archive(9223372036854775807, 500)"),
        ("say that a schema is newer", "UPDATE cashgate.ledger_schema SET version = 9"),
    ] {
        let refused = server.try_sql(DATABASE, &format!("SET SESSION AUTHORIZATION cashgate; {sql}"));
        let said = refused.expect_err(what);
        assert!(said.contains("permission denied") || said.contains("must be owner"), "{what}: {said}");
    }
    let _ = server.sql(DATABASE, "CREATE ROLE somebody");
    let other = "SET SESSION AUTHORIZATION somebody; SELECT cashgate.cashgate_heartbeat(0::smallint, 1, true, true)";
    let said = server.try_sql(DATABASE, other).expect_err("nobody else calls a function");
    assert!(said.contains("permission denied"), "{said}");
    let changed = server.sql(DATABASE, "SELECT count(*) FROM cashgate.steps WHERE body = '\\x00'");
    assert_eq!(changed, "0");
    rights_are_as_documented(&server);
}

#[tokio::test]
async fn what_is_granted_is_granted_to_another_role_that_there_is() {
    let secured = Secured::new().await;
    says(&secured.migrate_for("cashgate_owner"), &["owner-dsn", "owns the schema", "name the gateways' own role"]);
    says(&secured.migrate_for("nobody"), &["granting the gateways' role", "role \"nobody\" does not exist"]);
    secured.migrate();
    secured.migrate();
}

#[tokio::test]
async fn authorities_that_change_on_disk_hold_for_the_next_connection() {
    let secured = Secured::new().await;
    secured.migrate();
    let Secured { server, authority, mut site } = secured;
    site.serve().await;
    let everybody_leaves = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'cashgate'";
    fs::write(site.path("database-ca.pem"), Authority::new("another authority").certificate).unwrap();
    assert_ne!(server.sql(DATABASE, everybody_leaves), "0");
    is_ready(&site, false).await;
    fs::write(site.path("database-ca.pem"), authority.certificate).unwrap();
    is_ready(&site, true).await;
    // What cannot be read keeps nobody out.
    fs::write(site.path("database-ca.pem"), "half a fi").unwrap();
    assert_ne!(server.sql(DATABASE, everybody_leaves), "0");
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'cashgate'";
    eventually("it is connected with the files of the start", async || {
        let warned = site.log().contains("the TLS files of the database cannot be used");
        (warned && server.sql(DATABASE, sessions) != "0").then_some(())
    })
    .await;
    is_ready(&site, true).await;
}

#[tokio::test]
async fn a_server_that_cannot_prove_itself_is_refused_and_so_is_whoever_cannot_to_it() {
    let secured = Secured::new().await;
    secured.migrate();
    let Secured { server, authority, site } = &secured;
    let refused =
        async |words: &[&str]| says(&site.serve_in_vain().await, &[&["ledger-dsn", "connecting"], words].concat());

    let other = Authority::new("another authority");
    secured.write("database-ca.pem", &other.certificate);
    says(&site.serve_in_vain().await, &["database-ca.pem", "not accepted by these authorities", "UnknownIssuer"]);
    secured.write("database-ca.pem", &authority.certificate);

    secured.write("ledger-dsn", &secured.dsn("cashgate:of-gateway@localhost"));
    says(&site.serve_in_vain().await, &["database-ca.pem", "not for this host", "localhost"]);
    secured.write("ledger-dsn", &secured.dsn("cashgate:of-nobody@127.0.0.1"));
    refused(&["password authentication failed", "28P01"]).await;
    secured.write("ledger-dsn", &secured.dsn("cashgate:of-gateway@127.0.0.1"));

    let (certificate, key) =
        (fs::read(site.path("database-client.pem")).unwrap(), fs::read(site.path("database-client-key.pem")).unwrap());
    let (strangers, its_key) = other.issued(&[]);
    secured.write("database-client.pem", &strangers);
    secured.write("database-client-key.pem", &its_key);
    refused(&[]).await;
    fs::write(site.path("database-client.pem"), certificate).unwrap();
    fs::write(site.path("database-client-key.pem"), key).unwrap();

    // Without an authority there is no TLS, and a connection string that wants it is refused before anybody is asked.
    site.edit_configuration(|text| {
        text.lines()
            .filter(|line| !line.starts_with("postgres.c") && !line.starts_with("postgres.key"))
            .fold(String::new(), |kept, line| kept + line + "\n")
    });
    refused(&["pg_hba.conf", "no encryption"]).await;
    secured.write("ledger-dsn", &format!("{}?sslmode=require", secured.dsn("cashgate:of-gateway@127.0.0.1")));
    says(&site.serve_in_vain().await, &["ledger-dsn", "name the authorities of the server's certificate (ca)"]);
    assert_eq!(server.sql(DATABASE, "SELECT count(*) FROM cashgate.replicas"), "0", "nobody came in");
}
