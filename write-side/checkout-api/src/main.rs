//! The `checkout-api` process and its tools: configuration from the environment, then
//! [`checkout_api::run`].

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use checkout_api::import::{ImportArgs, run_command};
use checkout_api::{AdminCreated, CheckoutConfig, NewAdmin};
use clap::{Parser, Subcommand};
use event_store::{Executor, ExecutorOptions, PgEventStore, StoreSizes};
use service_kit::config::{Secret, Settings, environment};
use service_kit::{shutdown, telemetry};

/// The command API of the shop. Without a subcommand it serves.
#[derive(Debug, Parser)]
#[command(name = "checkout-api", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answers requests until SIGINT or SIGTERM.
    Serve,
    /// Makes an administrator from `ADMIN_EMAIL`, `ADMIN_DISPLAY_NAME` (`admin` when unset) and
    /// `ADMIN_PASSWORD`, or the first line of standard input where that is unset.
    CreateAdmin,
    /// Makes the catalogue be as a file says. Needs `DATABASE_URL` alone.
    ImportCatalogue(ImportArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Cli::parse().command.unwrap_or(Command::Serve);
    if !matches!(command, Command::Serve) {
        telemetry::init_tool("checkout-api");
    }
    match act(command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            telemetry::init("checkout-api", telemetry::LogFormat::Json);
            tracing::error!(error = &*error, "checkout-api ended");
            ExitCode::FAILURE
        }
    }
}

async fn act(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Serve => {
            let config = configured()?;
            checkout_api::run(config, shutdown::on_signals()?).await?;
        }
        Command::CreateAdmin => {
            match checkout_api::create_admin(&configured()?, new_admin()?).await? {
                AdminCreated::Now(user_id) => {
                    writeln!(io::stdout(), "made the administrator {user_id}")?;
                }
                AdminCreated::Before => writeln!(io::stdout(), "the administrator is there")?,
            }
        }
        Command::ImportCatalogue(args) => import_catalogue(&args).await?,
    }
    Ok(())
}

fn configured() -> Result<CheckoutConfig, Box<dyn Error>> {
    let config = CheckoutConfig::load(environment())?;
    telemetry::init_filtered("checkout-api", config.log_format, &config.log_filter);
    Ok(config)
}

/// Standard output is the report's alone: nothing is logged unless it fails.
async fn import_catalogue(args: &ImportArgs) -> Result<(), Box<dyn Error>> {
    let url = Settings::new(environment()).secret("DATABASE_URL")?;
    let store = PgEventStore::open(&url, StoreSizes::default())?;
    // Each item is met once, so there is nothing to remember.
    let options = ExecutorOptions { cache_entries: 0, ..ExecutorOptions::default() };
    run_command(&Executor::new(store, options), args).await?;
    Ok(())
}

fn new_admin() -> Result<NewAdmin, Box<dyn Error>> {
    let settings = Settings::new(environment());
    let password = match settings.optional_secret("ADMIN_PASSWORD") {
        Some(password) => password,
        None => first_line()?,
    };
    Ok(NewAdmin {
        email: settings.required("ADMIN_EMAIL")?,
        password,
        display_name: settings.parsed("ADMIN_DISPLAY_NAME", "admin".to_owned())?,
    })
}

fn first_line() -> std::io::Result<Secret> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(Secret::from(line.trim_end_matches(['\r', '\n'])))
}
