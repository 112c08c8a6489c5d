//! Old history out of the way of what comes.

use cashgate_withdrawal::time::Timestamp;

use super::connecting::Connector;
use super::faults;
use super::opening::checked;
use super::runtime::Runtime;
use crate::columns::signed;
use crate::open_error::LedgerOpenError;
use crate::options::PostgresOptions;

/// How many withdrawals one transaction moves: the commits of gateways go on between and beside them.
const AT_ONCE: i32 = 500;

/// Moves the withdrawals that ended before a moment, with their steps and remarks, into the tables of archived ones, and says how many those
/// were. Histories, lists, the feed and the check of the whole ledger find them there as before; the claims of new withdrawals do not look
/// there. May run beside gateways, and be stopped and repeated at any time. Blocking; `each` hears of every part.
///
/// # Errors
///
/// [`LedgerOpenError`]; what was moved is moved.
pub fn archive(
    options: &PostgresOptions,
    before: Timestamp,
    each: &mut dyn FnMut(u64),
) -> Result<u64, LedgerOpenError> {
    let fault =
        |source| LedgerOpenError::System { path: options.dsn_file.clone(), doing: "starting its thread", source };
    let runtime = Runtime::start().map_err(fault)?;
    let connector = Connector::new(options)?;
    runtime.wait(async {
        let client = checked(&connector).await?;
        let mut moved = 0;
        loop {
            let row = client
                .query_one("SELECT cashgate_archive($1, $2)", &[&signed(before.unix_ms()), &AT_ONCE])
                .await
                .and_then(|row| row.try_get::<_, i32>(0))
                .map_err(|error| LedgerOpenError::Database {
                    dsn_file: options.dsn_file.clone(),
                    doing: "archiving",
                    source: faults::storage(&error),
                })?;
            if row == 0 {
                return Ok(moved);
            }
            moved += u64::try_from(row).unwrap_or(0);
            each(moved);
        }
    })
}
