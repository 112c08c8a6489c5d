//! The `cashgate` binary: its command line, and nothing else.

mod cli;

#[cfg(feature = "planted")]
compile_error!("the feature `planted` puts bugs into the gateway: it is for the simulation's own test");

use std::process::ExitCode;

use clap::Parser;

/// Codes are made on one thread and freed on another, which with the C library's allocator costs a busy mint a tenth more CPU. mimalloc would
/// take 24 KiB more for each idle ATM.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The gateway between ATMs and core banking for cardless cash.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: cli::Command,
}

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(code) => code,
        Err(failure) => {
            #[allow(clippy::print_stderr, reason = "the one line that says why")]
            {
                eprintln!("cashgate: {failure}");
            }
            failure.exit_code()
        }
    }
}
