//! The `checkout-api` process and its tools: configuration from the environment, then
//! [`checkout_api::run`].

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use checkout_api::import::{ImportArgs, ImportReport, run_command};
use checkout_api::{AdminCreated, CheckoutConfig, NewAdmin, VARIABLES};
use clap::{Parser, Subcommand};
use event_store::{Executor, ExecutorOptions, PgEventStore, StoreSizes};
use service_kit::cli::{By, Program};
use service_kit::config::{Secret, Settings, Shape, Table, Variable, environment, shared};
use service_kit::{shutdown, telemetry};

/// The command API of the shop. Without a subcommand it serves.
#[derive(Debug, Parser)]
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
    CreateAdmin {
        #[command(flatten)]
        by: By,
    },
    /// Makes the catalogue be as a file says. Needs `DATABASE_URL` alone. Exits with 1 when a row was
    /// refused: the report counts and names those, all others were taken.
    ImportCatalogue(ImportArgs),
}

const PROGRAM: Program = Program {
    name: "checkout-api",
    variables: &[VARIABLES],
    check: |lookup| CheckoutConfig::load(lookup).map(drop),
};

/// What `create-admin` reads besides.
const ADMIN_VARIABLES: Table = &[
    Variable::required("ADMIN_EMAIL", Shape::Text, "What the administrator logs in with."),
    Variable::with("ADMIN_DISPLAY_NAME", Shape::Text, "admin", "What the administrator is called."),
    Variable::optional("ADMIN_PASSWORD", Shape::SecretText, "Read from standard input when unset."),
];

/// What `import-catalogue` reads.
const DATABASE_VARIABLES: Table = &[shared::DATABASE_URL, shared::DATABASE_PLAINTEXT];

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(code) => code,
    }
}

async fn run() -> Result<(), ExitCode> {
    let cli: Cli = PROGRAM.parse()?;
    let command = cli.command.unwrap_or(Command::Serve);
    if !matches!(command, Command::Serve) {
        telemetry::init_tool(PROGRAM.name);
    }
    match command {
        Command::Serve => serve().await,
        Command::CreateAdmin { by } => create_admin(&by).await,
        Command::ImportCatalogue(args) => {
            let url = PROGRAM.configuration(|lookup| {
                Settings::of(DATABASE_VARIABLES, lookup)?.database_url(shared::DATABASE_URL.name)
            })?;
            let report = import_catalogue(&url, &args).await;
            match report.map_err(|error| PROGRAM.failed(&*error))? {
                ImportReport { refused: 0, .. } => Ok(()),
                ImportReport { refused, rows, .. } => {
                    Err(PROGRAM.answer_is_no(&format!("{refused} of {rows} rows were refused")))
                }
            }
        }
    }
}

async fn serve() -> Result<(), ExitCode> {
    let config = PROGRAM.configuration(|lookup| CheckoutConfig::load(lookup))?;
    telemetry::init_filtered(PROGRAM.name, config.log_format, &config.log_filter);
    let shutdown = shutdown::on_signals().map_err(|error| PROGRAM.ended(&error))?;
    checkout_api::run(config, shutdown).await.map_err(|error| PROGRAM.ended(&error))
}

async fn create_admin(by: &By) -> Result<(), ExitCode> {
    let config = PROGRAM.configuration(|lookup| CheckoutConfig::load(lookup))?;
    let admin = PROGRAM.configuration(|_lookup| Settings::of(ADMIN_VARIABLES, environment()))?;
    let made = async {
        let admin = NewAdmin {
            email: admin.required("ADMIN_EMAIL")?,
            password: match admin.optional_secret("ADMIN_PASSWORD") {
                Some(password) => password,
                None => first_line()?,
            },
            display_name: admin.value("ADMIN_DISPLAY_NAME")?,
        };
        let told = match checkout_api::create_admin(&config, admin).await? {
            AdminCreated::Now(user_id) => {
                by.log("create_admin", &user_id.to_string());
                format!("the administrator was made: {user_id}")
            }
            AdminCreated::Before => "the administrator was there already".to_owned(),
        };
        writeln!(io::stdout(), "{told}")?;
        Ok::<_, Box<dyn Error>>(())
    };
    made.await.map_err(|error| PROGRAM.failed(&*error))
}

/// Standard output is the report's alone: nothing is logged.
async fn import_catalogue(url: &Secret, args: &ImportArgs) -> Result<ImportReport, Box<dyn Error>> {
    let store = PgEventStore::open(url, StoreSizes::default())?;
    // Each item is met once, so there is nothing to remember.
    let options = ExecutorOptions { cache_entries: 0, ..ExecutorOptions::default() };
    Ok(run_command(&Executor::new(store, options), args).await?)
}

fn first_line() -> io::Result<Secret> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(Secret::from(line.trim_end_matches(['\r', '\n'])))
}
