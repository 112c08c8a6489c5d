//! June and July 2020 in the life of two banks, with the wave of thefts hidden in it: what each control stops, and what it costs honest customers.
//!
//! This crate knows customers, thieves, and how to count. It must never know how a bank decides: it asks a [`bank::Bank`], and the real limits and
//! policies stand behind that. It reads no clock and draws from nothing but the seed, so a world is the same for every bank that lives through it.
//!
//! [`population`] and [`wave`] make the questions, [`life`] asks them, [`tally`] counts, [`trials`] does it with each set of controls over several
//! [`seeds`], [`report`] and [`plot`] say what came of it.
//!
//! # What was counted
//!
//! The National Police Agency of Japan (1 September 2020, as the newspapers reported it): in June and July 2020, 32 cases and about 10 million yen, drawn
//! without a card by QR code with banks' own smartphone apps that were activated with other people's data. 5 cases and about 600,000 yen in June, 27 cases and
//! about 9.4 million in July, at two banks. [`wave::COUNTED`] has these figures, and an unhindered wave takes exactly them.
//!
//! The calendar is that of 2020: weekdays, the holidays that were moved for the Olympic Games, salaries on the last working day up to the 25th, public
//! pensions on 15 June. Cities have about their inhabitants. 200,000 yen a withdrawal and 500,000 a day were usual limits.
//!
//! # What is assumed
//!
//! Nobody has published the following. It was chosen before the gateway's rules were first asked, to be unfavourable to the controls rather than favourable, and
//! every figure stands with its name where it is used.
//!
//! | what | assumed | where |
//! |---|---|---|
//! | customers | 200,000 use the app, 60% at the larger bank; four weeks before June are lived through and not counted | [`world`] |
//! | withdrawals | about 2 a customer and month (a quarter of them 0.7, a tenth 5): about 800,000 in two months; more on paydays, month ends and Fridays; 2 in 100 from midnight to six, 6% of customers work at night | `population::habits` |
//! | amounts | steps of 10,000 yen, 8 in 10 below 50,000; 7 in 10 are the customer's usual amount; 3 in 100 are anything up to 200,000 | `population::habits` |
//! | new phones | 2.5% of customers a month, in the daytime; 5% of them are bound because their owner wants cash, and are at a machine 5 minutes to 3 hours later | `population::phones` |
//! | binding | online 60%, at a machine 15%, by video 10%, in a branch 8%, by post 7%; attestation passed 88%, failed 0.5%, else none was asked | `population::phones` |
//! | people | elderly 15% (rare, larger, one machine, pension days); joint accounts 6%; 3% have 2 or 3 accounts on a phone; 16% make a trip of 2 to 4 days within the run | `population::person` |
//! | phones' place | 12% never tell; of the others 97 in 100 fixes are within 80 m, 3 in 100 within 2.5 km | `population` |
//! | mistakes | 13 in 1,000 withdrawals follow one mistyped code, 1 in 1,000 two, 1 in 8,000 three; 3% mistype the code at the machine, 1% walk away | `population::habits`, `life` |
//! | honest patience | an honest customer who is refused asks once more for half in one case of two, and again; then takes the card. Each withdrawal counts once, as refused | `life` |
//! | victims | 4 in 10 use the app themselves, the others never had it | `wave::plan` |
//! | thieves | who they are: [`wave::behaviour::Mix::ASSUMED`]; activation online; attestation passed 70%, failed 10%; 3 in 10 phones tell no place, the others are at the machine | `wave` |
//! | their patience | half come back once, three in ten also the next day, two in ten for six days; whoever was paid begins to count anew; ten days at most | [`wave::behaviour::Persistence`] |
//! | the code at the machine | stops no thief who holds the app and stands at the machine: only the relay, whose victim is elsewhere | [`wave::behaviour::Behaviour::is_at_the_machine`] |
//! | analyst | reacts after 4 working hours, to false alarms too; if an alarm is about one phone its holder is called, which stops nothing here | [`reaction::Reaction`] |
//! | notices | half of the victims react to the notice of a new phone, after 1 to 48 hours; honest customers ignore it | [`reaction::Alerts`] |
//!
//! An alarm is *true* if a thief's attempt lies in its window and the same alarm does not ring in the same world without thieves
//! ([`tally::Tally`]). A *case* is one account; it has begun with the first attempt on it, paid or not.
//!
//! Not modelled: thieves who report a false place or attestation, insiders, honest customers who give up the app after a refusal, the fall of travel in the
//! summer of 2020, and how an alarm at one bank warns the other.

pub mod attempt;
pub mod bank;
pub mod calendar;
mod chance;
pub mod controls;
pub mod gateway_bank;
pub mod geography;
pub mod life;
pub mod plain;
pub mod plot;
pub mod population;
pub mod reaction;
pub mod report;
pub mod seeds;
pub mod tally;
pub mod trials;
pub mod wave;
pub mod world;
