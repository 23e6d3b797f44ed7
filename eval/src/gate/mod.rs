//! Whether something became worse: what is measured now against a file of what was measured before.
//!
//! [`measure`] measures, [`baseline`] is the file, [`Verdict`] is what comes of the two, and [`report`] tells it. Noise is met by
//! what is measured: counts that repeat, ratios of two things done in turns on the same machine, instructions instead of seconds.

pub mod baseline;
mod instructions;
pub mod measure;
pub mod report;
mod speed;

use serde::{Deserialize, Serialize};

use baseline::{Baseline, Better, Entry};

/// A figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// As `accuracy.acts-found`; the part before the dot is its group.
    pub name: String,
    /// `None`: it could not be measured.
    pub value: Option<f64>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<String>,
    pub unit: String,
    /// What was done to measure it, in a line.
    pub how: String,
    pub better: Better,
    /// Tolerance that a baseline gets which has none yet: so much worse it may be, in the figure's own unit, and as a share.
    pub slack: f64,
    pub share: f64,
}

impl Figure {
    /// The part before the dot.
    pub fn group(&self) -> &str {
        self.name.split_once('.').map_or(&*self.name, |(group, _)| group)
    }
}

/// What a figure is beside the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Passed,
    /// Better by more than the tolerance: the baseline could be lifted.
    Better,
    Failed,
    /// Not in the baseline.
    New,
    /// Could not be measured.
    Absent,
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Better => "better",
            Verdict::Failed => "FAILED",
            Verdict::New => "new",
            Verdict::Absent => "not measured",
        }
    }
}

/// A figure, its baseline and what comes of the two.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    pub figure: Figure,
    pub baseline: Option<Entry>,
    pub verdict: Verdict,
    /// How much worse it is, in its unit; negative: better.
    pub worse_by: Option<f64>,
    /// How much worse it may be.
    pub limit: Option<f64>,
}

impl Line {
    /// What failed, in words.
    pub fn failure(&self) -> Option<String> {
        let (Verdict::Failed, Some(entry), Some(value), Some(limit)) =
            (self.verdict, &self.baseline, self.figure.value, self.limit)
        else {
            return None;
        };
        let Figure { name, unit, .. } = &self.figure;
        let (value, was, limit) = (report::number(value), report::number(entry.value), report::number(limit));
        Some(format!("{name}: {value} {unit}, and was {was}; it may be worse by {limit}"))
    }
}

/// Compares what was measured with the baseline, figure by figure.
pub fn compare(figures: &[Figure], baseline: &Baseline) -> Vec<Line> {
    let line = |figure: &Figure| {
        let entry = baseline.figure.get(&figure.name).cloned();
        let compared = figure.value.zip(entry.as_ref()).map(|(value, entry)| (entry.worse_by(value), entry.limit()));
        let verdict = match (figure.value, compared) {
            (None, _) => Verdict::Absent,
            (Some(_), None) => Verdict::New,
            // What is no number is worse than any.
            (Some(value), Some((worse, limit))) if value.is_nan() || worse > limit => Verdict::Failed,
            (Some(_), Some((worse, limit))) if -worse > limit && worse < 0.0 => Verdict::Better,
            _ => Verdict::Passed,
        };
        let (worse_by, limit) = compared.unzip();
        Line { figure: figure.clone(), baseline: entry, verdict, worse_by, limit }
    };
    figures.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, value: Option<f64>) -> Figure {
        Figure {
            name: name.to_owned(),
            value,
            absent: None,
            unit: "times".to_owned(),
            how: String::new(),
            better: Better::Less,
            slack: 0.0,
            share: 0.1,
        }
    }

    #[test]
    fn worse_beyond_the_tolerance_fails_whichever_way_is_better() {
        let text = "version = 1\n[figure.\"overhead.storm\"]\nvalue = 2.0\nbetter = 'less'\nshare = 0.1\nslack = 0.0\nunit = 'times'\nhow = 'x'\n\
                    [figure.\"accuracy.acts-found\"]\nvalue = 50\nbetter = 'more'\nslack = 1\nshare = 0.0\nunit = 'acts'\nhow = 'x'\n";
        let baseline = Baseline::parse(text).unwrap();
        let verdict = |name: &str, value: f64| compare(&[figure(name, Some(value))], &baseline)[0].verdict;
        assert_eq!(verdict("overhead.storm", 2.19), Verdict::Passed);
        assert_eq!(verdict("overhead.storm", 2.21), Verdict::Failed);
        assert_eq!(verdict("overhead.storm", 1.7), Verdict::Better);
        assert_eq!(verdict("overhead.storm", f64::NAN), Verdict::Failed);
        assert_eq!(verdict("accuracy.acts-found", 49.0), Verdict::Passed);
        assert_eq!(verdict("accuracy.acts-found", 48.0), Verdict::Failed);
        assert_eq!(verdict("accuracy.acts-found", 52.0), Verdict::Better);
        assert_eq!(verdict("overhead.redis", 1.0), Verdict::New);
        assert_eq!(compare(&[figure("overhead.storm", None)], &baseline)[0].verdict, Verdict::Absent);
        let failed = compare(&[figure("overhead.storm", Some(3.0))], &baseline)[0].failure().unwrap();
        assert_eq!(failed, "overhead.storm: 3 times, and was 2; it may be worse by 0.2");
    }
}
