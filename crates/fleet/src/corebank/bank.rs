//! The bank's accounts and holds. Every call is one transaction, idempotent by withdrawal id.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::answers::{Lookup, PlaceHold, PlaceHoldAnswer, SettlementAnswer, Standing};
use super::schema::{ADD_POSTED_AT, LACKS_POSTED_AT, SCHEMA};
use crate::clock::unix_ms;

/// The only currency of the simulated accounts.
pub(super) const ACCOUNT_CURRENCY: &str = "JPY";

/// Why the bank could not do its books.
#[derive(Debug, thiserror::Error)]
pub enum BankError {
    /// SQLite.
    #[error("the bank's database: {0}")]
    Database(#[from] rusqlite::Error),
    /// Whoever the books were written to.
    #[error("writing the books: {0}")]
    Write(#[from] std::io::Error),
    /// An amount that no account can have.
    #[error("{0} minor units is more than an account can have")]
    TooLarge(u64),
}

/// A core bank.
#[derive(Debug)]
pub struct Bank {
    connection: Mutex<Connection>,
}

struct Hold {
    account: String,
    currency: String,
    asked: u64,
    held: u64,
    confirmed: u64,
    standing: Standing,
    code: String,
}

impl Bank {
    /// The bank in a database file, which is made if it is missing.
    ///
    /// # Errors
    /// SQLite.
    pub fn open(path: &Path) -> Result<Self, BankError> {
        Self::on(Connection::open(path)?)
    }

    /// A bank that forgets everything when it is dropped, for load.
    ///
    /// # Errors
    /// SQLite.
    pub fn in_memory() -> Result<Self, BankError> {
        Self::on(Connection::open_in_memory()?)
    }

    fn on(connection: Connection) -> Result<Self, BankError> {
        connection.execute_batch(SCHEMA)?;
        if connection.query_row(LACKS_POSTED_AT, [], |row| row.get(0))? {
            connection.execute_batch(ADD_POSTED_AT)?;
        }
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Opens an account with a balance in minor units. One that exists is kept as it is.
    ///
    /// # Errors
    /// SQLite, or an amount above 2^63 - 1.
    pub fn open_account(&self, account: &str, opening: u64) -> Result<(), BankError> {
        let opening = i64::try_from(opening).map_err(|_| BankError::TooLarge(opening))?;
        let sql = "INSERT INTO accounts (account, currency, opening, balance) VALUES (?1, ?2, ?3, ?3)
                   ON CONFLICT (account) DO NOTHING";
        self.connection().execute(sql, params![account, ACCOUNT_CURRENCY, opening])?;
        Ok(())
    }

    /// Takes money aside, or answers as it did before. `forced_decline` is the reason of a bank that has been told to decline.
    ///
    /// # Errors
    /// SQLite; then nothing has happened.
    pub fn place_hold(&self, request: &PlaceHold, forced_decline: Option<&str>) -> Result<PlaceHoldAnswer, BankError> {
        self.in_transaction(|books| {
            let known = hold_of(books, &request.withdrawal_id)?;
            if let Some(known) = known {
                return Ok(answer_again(&known, request));
            }
            let refusal = match forced_decline {
                Some(code) => Some(code.to_owned()),
                None => why_not(books, request)?.map(str::to_owned),
            };
            let (standing, held) = match refusal {
                Some(_) => (Standing::Declined, 0),
                None => (Standing::Held, request.amount),
            };
            move_balance(books, &request.account, -signed(held))?;
            insert_hold(books, request, standing, held, refusal.as_deref().unwrap_or_default())?;
            Ok(match refusal {
                Some(code) => PlaceHoldAnswer::Declined { code },
                None => PlaceHoldAnswer::Granted { reference: reference_of(&request.withdrawal_id) },
            })
        })
    }

    /// Books what left; the rest of the hold goes back to the account.
    ///
    /// # Errors
    /// SQLite; then nothing has happened.
    pub fn confirm_hold(
        &self,
        withdrawal_id: &str,
        reference: &str,
        amount: u64,
        currency: &str,
    ) -> Result<SettlementAnswer, BankError> {
        let refused = |code| Ok(SettlementAnswer::Refused { code });
        self.in_transaction(|books| {
            let Some(hold) = hold_of(books, withdrawal_id)? else { return refused("no_such_hold") };
            match hold.standing {
                Standing::Reversed => refused("already_reversed"),
                Standing::Declined => refused("no_such_hold"),
                _ if reference != reference_of(withdrawal_id) => refused("no_such_hold"),
                Standing::Confirmed if amount == hold.confirmed && currency == hold.currency => {
                    Ok(SettlementAnswer::Done)
                }
                Standing::Confirmed => refused("amount_differs"),
                Standing::Held if amount == 0 || amount > hold.held || currency != hold.currency => {
                    refused("amount_differs")
                }
                Standing::Held => {
                    move_balance(books, &hold.account, signed(hold.held - amount))?;
                    let sql = "UPDATE holds SET standing = 'confirmed', confirmed = ?2, posted_at_ms = ?3
                               WHERE withdrawal_id = ?1";
                    books.prepare_cached(sql)?.execute(params![withdrawal_id, signed(amount), unix_ms()])?;
                    Ok(SettlementAnswer::Done)
                }
            }
        })
    }

    /// Gives a hold back. A hold that is not known is remembered as one that may never be placed.
    ///
    /// # Errors
    /// SQLite; then nothing has happened.
    pub fn reverse_hold(&self, withdrawal_id: &str) -> Result<SettlementAnswer, BankError> {
        self.in_transaction(|books| {
            match hold_of(books, withdrawal_id)? {
                Some(Hold { standing: Standing::Confirmed, .. }) => {
                    return Ok(SettlementAnswer::Refused { code: "already_confirmed" });
                }
                Some(Hold { standing: Standing::Reversed, .. }) => {}
                Some(hold) => {
                    move_balance(books, &hold.account, signed(hold.held))?;
                    let sql = "UPDATE holds SET standing = 'reversed', posted_at_ms = ?2 WHERE withdrawal_id = ?1";
                    books.prepare_cached(sql)?.execute(params![withdrawal_id, unix_ms()])?;
                }
                None => {
                    let (account, currency) = (String::new(), String::new());
                    let nothing = PlaceHold { withdrawal_id: withdrawal_id.to_owned(), account, amount: 0, currency };
                    insert_hold(books, &nothing, Standing::Reversed, 0, "")?;
                }
            }
            Ok(SettlementAnswer::Done)
        })
    }

    /// What the bank knows of a withdrawal; `None` if it never heard of it.
    ///
    /// # Errors
    /// SQLite.
    pub fn look_up(&self, withdrawal_id: &str) -> Result<Option<Lookup>, BankError> {
        let hold = self.in_transaction(|books| hold_of(books, withdrawal_id))?;
        Ok(hold.map(|hold| Lookup {
            standing: hold.standing,
            reference: if hold.held > 0 { reference_of(withdrawal_id) } else { String::new() },
            asked: hold.asked,
            confirmed: hold.confirmed,
            currency: hold.currency,
        }))
    }

    pub(super) fn connection(&self) -> MutexGuard<'_, Connection> {
        // A panic inside a transaction has rolled it back.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_transaction<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, BankError>) -> Result<T, BankError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let answer = work(&transaction)?;
        transaction.commit()?;
        Ok(answer)
    }
}

/// The bank's reference of a hold. It follows from the id, so it is the same every time.
fn reference_of(withdrawal_id: &str) -> String {
    let plain = withdrawal_id.chars().filter(char::is_ascii_alphanumeric).take(60);
    plain.fold(String::from("h-"), |mut reference, c| {
        reference.push(c);
        reference
    })
}

fn answer_again(known: &Hold, request: &PlaceHold) -> PlaceHoldAnswer {
    let declined = |code: &str| PlaceHoldAnswer::Declined { code: code.to_owned() };
    let same = known.account == request.account && known.asked == request.amount && known.currency == request.currency;
    match known.standing {
        Standing::Reversed => declined("already_reversed"),
        _ if !same => declined("request_differs"),
        Standing::Declined => declined(&known.code),
        Standing::Held | Standing::Confirmed => {
            PlaceHoldAnswer::Granted { reference: reference_of(&request.withdrawal_id) }
        }
    }
}

/// Why a new hold cannot be granted.
fn why_not(books: &Transaction<'_>, request: &PlaceHold) -> Result<Option<&'static str>, BankError> {
    let sql = "SELECT currency, balance FROM accounts WHERE account = ?1";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
    let account = books.prepare_cached(sql)?.query_row(params![request.account], row).optional()?;
    Ok(match account {
        _ if request.amount == 0 => Some("amount_invalid"),
        None => Some("unknown_account"),
        Some((currency, _)) if currency != request.currency => Some("currency_differs"),
        Some((_, balance)) if unsigned(balance) < request.amount => Some("insufficient_funds"),
        Some(_) => None,
    })
}

fn hold_of(books: &Transaction<'_>, withdrawal_id: &str) -> Result<Option<Hold>, BankError> {
    let sql = "SELECT account, currency, asked, held, confirmed, standing, code FROM holds WHERE withdrawal_id = ?1";
    // Kept prepared, as the other statements of a hold's life: parsing them would be most of what a bank in memory does.
    let hold = books.prepare_cached(sql)?.query_row(params![withdrawal_id], |row| {
        Ok(Hold {
            account: row.get(0)?,
            currency: row.get(1)?,
            asked: unsigned(row.get(2)?),
            held: unsigned(row.get(3)?),
            confirmed: unsigned(row.get(4)?),
            standing: standing_of(row, 5)?,
            code: row.get(6)?,
        })
    });
    Ok(hold.optional()?)
}

fn insert_hold(
    books: &Transaction<'_>,
    request: &PlaceHold,
    standing: Standing,
    held: u64,
    code: &str,
) -> Result<(), BankError> {
    let sql =
        "INSERT INTO holds (withdrawal_id, account, currency, asked, held, confirmed, standing, code, posted_at_ms)
               VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8)";
    let PlaceHold { withdrawal_id, account, amount, currency } = request;
    let (asked, held) = (signed(*amount), signed(held));
    books.prepare_cached(sql)?.execute(params![
        withdrawal_id,
        account,
        currency,
        asked,
        held,
        standing.as_str(),
        code,
        unix_ms()
    ])?;
    Ok(())
}

fn move_balance(books: &Transaction<'_>, account: &str, by: i64) -> Result<(), BankError> {
    let sql = "UPDATE accounts SET balance = balance + ?2 WHERE account = ?1";
    books.prepare_cached(sql)?.execute(params![account, by])?;
    Ok(())
}

pub(super) fn standing_of(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Standing> {
    let text: String = row.get(column)?;
    Standing::parse(&text).ok_or(rusqlite::Error::InvalidQuery)
}

/// SQLite counts in signed numbers; the tables hold none below zero, and requests above are refused before they come here.
pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
