//! The `cashgate-fleet` binary: simulated ATMs, phones and core banks as processes that read lines and write JSON.

mod cli;

use std::process::ExitCode;

use clap::Parser;

use cli::{Exit, FleetCommand};

#[derive(Parser)]
#[command(name = "cashgate-fleet", version, about = "Simulated ATMs, phones and core banking over the real wire")]
struct Arguments {
    #[command(subcommand)]
    command: FleetCommand,
}

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Not clap's own exit code 2, which here means that the gateway refused.
            let printed = error.print();
            return if error.use_stderr() || printed.is_err() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(cli::run(arguments.command));
    // A thread that waits for a line of standard input cannot be woken; it must not keep the process.
    runtime.shutdown_background();
    match ended {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::RpcRefused) => ExitCode::from(2),
        Ok(Exit::PowerCut) => ExitCode::from(3),
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
