//! `eval forecast`

use datasets::Recording;
use eval::error::{Error, Result};
use eval::forecast::{Measured, Plan, Row, Volume, measure};
use replay::forecast::{duration, level};

use super::text::{count, percent, table};
use super::{Format, Outcome, json};

const EXAMPLES: &str = "Examples:\n  \
    eval forecast days/ --until +7d                 a week learned, the rest held back, in hours\n  \
    eval forecast days/ --until +7d --level 0.9,0.99,0.999 --inject 3x,1M\n  \
    eval forecast redis-pair-1 --bucket 1s --season 10s --format json";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directories of recordings, or names of ones that ship; each by itself, and one table of all
    #[arg(required = true, value_name = "RECORDING")]
    recordings: Vec<String>,
    /// Length of time that bytes are summed over
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    bucket: i64,
    /// After how long traffic repeats itself
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration)]
    season: i64,
    /// Shares of buckets that the interval shall have
    #[arg(long, value_name = "SHARE,...", value_delimiter = ',', default_values_t = [0.9, 0.99], value_parser = level)]
    level: Vec<f64>,
    /// End of what is learned: a time, or +7d after the begin [default: three quarters]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Volumes to find on top of what was sent: times the mean bucket, as 3x, or bytes, as 64k or 1M
    #[arg(long, value_name = "VOLUME,...", value_delimiter = ',', default_values = ["1x", "3x", "10x", "1M"])]
    inject: Vec<String>,
    /// Set one configuration value, as network.volume_factor=2; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(args: &Args) -> Result<Outcome> {
    let volume = |text: &String| {
        let failed = |why| Error::Usage { reason: format!("--inject {text}: it takes {why}") };
        Ok((text.clone(), text.parse::<Volume>().map_err(failed)?))
    };
    let volumes = args.inject.iter().map(volume).collect::<Result<Vec<_>>>()?;
    let config = replay::config::load(None, &args.sets)?;
    let open = |name: &String| Ok((name.clone(), Recording::find(name)?));
    let recordings = args.recordings.iter().map(open).collect::<Result<Vec<_>>>()?;
    let &Args { bucket, season, .. } = args;
    let plan = Plan { bucket, season, levels: args.level.clone(), until: args.until.clone(), volumes };
    let found = measure(&recordings, &plan, &config)?;
    Ok(Outcome::said(match args.format {
        Format::Json => json(&found),
        Format::Table => render(&found),
    }))
}

fn render(found: &Measured) -> String {
    let all = |buckets: &[usize]| count(buckets.iter().sum::<usize>() as u64);
    let mut out = format!(
        "{} recordings, {} ways; {} buckets of {} s learned and {} held back, a season of {} s\n",
        found.recordings.len(),
        count(found.ways as u64),
        all(&found.learned),
        found.bucket_s,
        all(&found.held_back),
        found.season_s
    );
    if found.left_out > 0 {
        out += &format!("{} ways left out: too little was learned of them\n", count(found.left_out as u64));
    }
    let mut header = vec!["level", "method", "inside", "above", "width"];
    let finds: Vec<String> = found.volumes.iter().map(|volume| format!("found {volume}")).collect();
    header.extend(finds.iter().map(String::as_str));
    let row = |row: &Row| {
        let mut cells = vec![
            row.level.to_string(),
            row.method.name().to_owned(),
            percent(Some(row.inside)),
            percent(Some(row.above)),
            format!("{:.2}", row.width),
        ];
        cells.extend(row.found.iter().map(|found| percent(Some(*found))));
        cells
    };
    let rows: Vec<_> = found.rows.iter().map(row).collect();
    out + "\n" + &table(&header, &rows, 2)
}
