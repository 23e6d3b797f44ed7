//! `record`: options → recording → summary.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use datasets::manual;
use record::cli::{Action, CheckArgs, Cli, Format, SelftestArgs, TriggerArgs};
use record::error::Result;
use record::identity::Podman;
use record::{check, run, selftest, summary, verifier};

/// Rows of a minute come from one thread and are freed by another, among names that stay: in an hour of that the C library's
/// allocator came to hold three times what was in use (`eval soak`). This one gives pages back, and keeps sizes apart.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Read by jemalloc when it starts. Two arenas serve the few threads; what is free goes back to the kernel within a second.
/// No thread of its own does that: it would have to give up its privileges like the recorder's.
#[unsafe(export_name = "malloc_conf")]
pub static MALLOC_CONF: &[u8; 47] = b"narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    let cli = manual::parse::<Cli>();
    let result = match cli.action {
        Some(Action::Check(args)) if args.verifier => print_verifier(&args),
        Some(Action::Check(args)) => Ok(print_check(args.format)),
        Some(Action::Selftest(args)) => test(&args),
        Some(Action::SelftestTrigger(args)) => trigger(&args),
        Some(Action::Completions(args)) => {
            print(&manual::completions::<Cli>(&args));
            Ok(ExitCode::SUCCESS)
        }
        Some(Action::Man(args)) => manual::man::<Cli>(&args).map_err(Into::into).map(|text| {
            print(&text);
            ExitCode::SUCCESS
        }),
        None => record(&cli.record),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}\nhint: {}", error.hint());
        ExitCode::from(error.exit_code())
    })
}

fn record(args: &record::cli::RecordArgs) -> Result<ExitCode> {
    let (dir, finished) = run::record(args)?;
    print(&match args.format {
        Format::Table => summary::table(&finished, &dir),
        Format::Json => format!("{:#}\n", summary::json(&finished, &dir)),
    });
    Ok(ExitCode::SUCCESS)
}

fn print_check(format: Format) -> ExitCode {
    let report = check::report(&Podman::default());
    print(&match format {
        Format::Table => check::table(&report),
        Format::Json => format!("{:#}\n", serde_json::json!(report)),
    });
    if report.ready { ExitCode::SUCCESS } else { ExitCode::from(3) }
}

fn print_verifier(args: &CheckArgs) -> Result<ExitCode> {
    check::require()?;
    let report = verifier::report(&check::widest())?;
    if let Some(path) = &args.update {
        verifier::Budget::write(&report, path)?;
    }
    print(&match args.format {
        Format::Table => verifier::table(&report),
        Format::Json => format!("{:#}\n", serde_json::json!(report)),
    });
    Ok(ExitCode::SUCCESS)
}

fn test(args: &SelftestArgs) -> Result<ExitCode> {
    let report = selftest::run(args)?;
    print(&match args.format {
        Format::Table => selftest::table(&report),
        Format::Json => format!("{:#}\n", serde_json::json!(report)),
    });
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn trigger(args: &TriggerArgs) -> Result<ExitCode> {
    match (args.end, &args.case) {
        (Some(code), _) => return Ok(ExitCode::from(code)),
        (None, Some(case)) => selftest::run_here(&args.dir, case)?,
        (None, None) => selftest::trigger(&args.dir, &args.names)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A reader that closed the pipe has what it wanted; any other failure ends the program, whose recording is complete by then.
fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write the output: {error}\nhint: check the space where stdout goes");
            std::process::exit(5);
        }
        _ => {}
    }
}
