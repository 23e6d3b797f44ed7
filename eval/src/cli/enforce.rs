//! `eval enforce`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eval::enforce::xdp::Call;
use eval::enforce::{Enforced, Kind, Plan, enforce, remove_recordings};
use eval::error::{Error, Result};
use eval::picture;

use super::{Format, Outcome, enforce_text, json};

const AFTER: &str = "\
Examples:
  eval enforce xmrig -o out/enforce               learn the shop's life, attack it under each policy
  eval enforce escape-mount reverse-shell --policy seccomp --seeds 21,22
  eval enforce syn-flood --policy xdp --max-syn-per-s 20    a flood to a known peer, at the veth pair
  eval enforce exfil-http --policy tc --before 60s          an upload, shaped
  eval enforce webapp --profile shop.json         what last week's profile breaks of ordinary life
  eval enforce --from out/enforce/enforce.json    the tables again

A run of 20 s of life, 60 s of attack and the containers' begin takes about two minutes; each scenario has one without
policies and one under each, and so has each life, after two that are learned from.";

#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// Scenarios, by name; those with the same services share a profile. One without an attack is ordinary life alone
    #[arg(required_unless_present = "from", value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Policies to apply, each in runs of its own
    #[arg(long = "policy", value_enum, value_delimiter = ',', default_value = "seccomp,nftables", value_name = "KIND")]
    policies: Vec<Kind>,
    /// A profile.json instead of one that is learned now
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Seeds of the lives that are learned from
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_name = "N,...", conflicts_with = "profile")]
    learn_seeds: Vec<u64>,
    /// Length of each life that is learned from
    #[arg(long, default_value = "2m", value_parser = length, value_name = "TIME", conflicts_with = "profile")]
    life: Duration,
    /// Seeds of what is run under policies: a life and each attack
    #[arg(long, value_delimiter = ',', default_value = "21", value_name = "N,...")]
    seeds: Vec<u64>,
    /// Length of a life that is run under policies
    #[arg(long, default_value = "1m", value_parser = length, value_name = "TIME")]
    benign: Duration,
    /// Ordinary life before an attack
    #[arg(long, default_value = "10s", value_parser = length, value_name = "TIME")]
    before: Duration,
    /// xdp: new connections to one known peer that pass in a second [default: any number]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_syn_per_s: Option<u64>,
    /// Set one configuration value of learning and of policies, as network.ephemeral_from=49152; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Print what an enforce.json says, and run nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenarios", "output"])]
    from: Option<PathBuf>,
    /// Our recorder [default: the one beside this program]; xdp needs the program enforce beside it
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Directory for enforce.json, the profiles and the policies; must not exist or be empty
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Keep the recordings there too
    #[arg(long, requires = "output")]
    keep: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// More options for the recorder
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

fn length(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time >= Duration::from_secs(5) => Ok(time),
        Ok(_) => Err("give 5s or more".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

pub fn run(args: &Args) -> Result<Outcome> {
    if let Some(path) = &args.from {
        let saved = |reason: String| Error::Saved { path: path.clone(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| saved(error.to_string()))?;
        let found: Enforced = serde_json::from_str(&text).map_err(|error| saved(error.to_string()))?;
        return Ok(said(args, &found));
    }
    let made = tempfile::tempdir().map_err(|error| Error::Run { what: "set-up".into(), reason: error.to_string() })?;
    let dir = args.output.clone().unwrap_or_else(|| made.path().to_owned());
    std::fs::create_dir_all(&dir).map_err(|source| Error::Output { path: dir.clone(), source })?;
    // podman is given the files by their path.
    let dir = dir.canonicalize().map_err(|source| Error::Output { path: dir.clone(), source })?;
    if dir.read_dir().map_err(|source| Error::Output { path: dir.clone(), source })?.next().is_some() {
        return Err(Error::Output { path: dir, source: std::io::ErrorKind::DirectoryNotEmpty.into() });
    }
    let scenarios = args.scenarios.iter().map(|name| scenarios::load(name)).collect::<Result<_, _>>()?;
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| Error::Run { what: "handling signals".into(), reason: error.to_string() })?;
    let record = args.record.clone().unwrap_or_else(super::own_recorder);
    let plan = Plan {
        scenarios,
        kinds: args.policies.clone(),
        profile: args.profile.clone(),
        learn_seeds: args.learn_seeds.clone(),
        life: args.life,
        seeds: args.seeds.clone(),
        benign: args.benign,
        before: args.before,
        enforce: Call { program: record.with_file_name("enforce"), max_syn_per_s: args.max_syn_per_s },
        record,
        options: args.options.clone(),
        sets: args.sets.clone(),
        dir: dir.clone(),
    };
    let begun = std::time::Instant::now();
    let found = enforce(&plan, &stop, &|line| eprintln!("{:6.0} s  {line}", begun.elapsed().as_secs_f64()))?;
    if args.output.is_some() {
        picture::write(&dir, &[("enforce.json", json(&found).as_bytes())])?;
        if !args.keep {
            remove_recordings(&dir)?;
        }
    }
    Ok(said(args, &found))
}

fn said(args: &Args, found: &Enforced) -> Outcome {
    Outcome::said(match args.format {
        Format::Json => json(found),
        Format::Table => enforce_text::render(found),
    })
}
