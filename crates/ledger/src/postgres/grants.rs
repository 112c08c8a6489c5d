//! What the role of gateways may do: read, and call functions. The owner of the schema grants it again after every migration, because what a migration
//! adds is granted to nobody.

use tokio_postgres::{Client, Error};

/// As docs/postgresql.md has it.
const GRANTS: &str = include_str!("../../migrations/postgres/grants.sql");

/// Whether a role is the one that is connected. It would lose a right of its own.
pub(super) async fn is_connected(client: &Client, role: &str) -> Result<bool, Error> {
    client.query_one("SELECT $1::text = current_user", &[&role]).await?.try_get(0)
}

/// All in one transaction: a gateway that runs meanwhile never lacks what it had.
pub(super) async fn grant(client: &Client, role: &str) -> Result<(), Error> {
    client.batch_execute(&format!("BEGIN; {}; COMMIT", statements(&quoted(role)))).await
}

fn statements(role: &str) -> String {
    GRANTS.replace("{role}", role)
}

/// A name as SQL reads it, whatever is in it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_what_is_granted() {
        let page = include_str!("../../../../docs/postgresql.md");
        assert!(page.contains(&statements("cashgate")), "docs/postgresql.md must have: {}", statements("cashgate"));
    }

    #[test]
    fn a_role_s_name_cannot_become_a_statement() {
        assert_eq!(quoted("cashgate"), "\"cashgate\"");
        assert_eq!(quoted("a\"; DROP TABLE x"), "\"a\"\"; DROP TABLE x\"");
    }
}
