//! The flags of what is left out on purpose.

use std::path::PathBuf;

use clap::Args;
use record_bpf::Class;

use super::control::{MAX_LEVEL, THINNED};

#[derive(Debug, Args)]
pub struct ThinArgs {
    /// auto: when the ring fills up, keep only a part of the file, network and syscall classes, as little and as short as
    /// it takes. off: never. CLASS=N[,CLASS=N]: one in N (a power of two up to 1024) all the time. Critical events are never
    /// left out, and what is is counted
    #[arg(long, default_value = "auto", value_name = "HOW", help_heading = "Left out on purpose", value_parser = sample)]
    pub sample: Sample,
    /// Do not record what containers are known to do: files opened as listed in FILE, which 'replay profile export' makes.
    /// An attacker who does the same is not recorded either
    #[arg(long, value_name = "FILE", help_heading = "Left out on purpose", conflicts_with = "command")]
    pub known: Option<PathBuf>,
}

/// `--sample`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sample {
    #[default]
    Auto,
    Off,
    /// One in 2^n of each class, all the time.
    Fixed(Vec<(Class, u8)>),
}

fn sample(text: &str) -> Result<Sample, String> {
    match text {
        "auto" => Ok(Sample::Auto),
        "off" => Ok(Sample::Off),
        _ => text.split(',').map(|part| fixed(part.trim())).collect::<Result<_, _>>().map(Sample::Fixed),
    }
}

fn fixed(part: &str) -> Result<(Class, u8), String> {
    let (name, n) = part.split_once('=').ok_or("give auto, off or CLASS=N, as file=16")?;
    let class = THINNED.into_iter().find(|class| class.name() == name).ok_or_else(|| {
        let names = THINNED.map(Class::name);
        format!("'{name}' is never thinned; classes that may be are {}", names.join(", "))
    })?;
    match n.parse::<u32>() {
        Ok(n) if n.is_power_of_two() && n <= 1 << MAX_LEVEL => Ok((class, n.trailing_zeros() as u8)),
        _ => Err(format!("'{n}': give a power of two from 1 to {}", 1 << MAX_LEVEL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_thinned_is_said_in_one_word_or_by_class() {
        assert_eq!(sample("auto"), Ok(Sample::Auto));
        assert_eq!(sample("off"), Ok(Sample::Off));
        assert_eq!(sample("file=16,syscall=1024"), Ok(Sample::Fixed(vec![(Class::File, 4), (Class::Syscall, 10)])));
        assert!(sample("process=2").unwrap_err().contains("file, network, syscall"));
        for bad in ["", "file", "file=3", "file=0", "file=2048", "file=2,"] {
            assert!(sample(bad).is_err(), "{bad}");
        }
    }
}
