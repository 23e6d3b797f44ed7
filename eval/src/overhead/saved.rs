//! Results that were kept: those of another time, read again.

use std::path::Path;

use super::Overhead;
use crate::error::{Error, Result};

impl Overhead {
    /// What `--format json` printed, or the `run.json` of `--output`.
    ///
    /// # Errors
    /// The file cannot be read, or is something else.
    pub fn read(file: &Path) -> Result<Overhead> {
        let bad = |reason: String| Error::Saved { path: file.to_owned(), reason };
        let text = std::fs::read(file).map_err(|error| bad(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))
    }

    /// Adds the recorders of another run that this one lacks, each with a word on how it was measured. Their ratios stay those to
    /// the bare runs beside them.
    pub fn join(&mut self, other: Overhead) {
        let Overhead { rounds, scale, machine, recorders, absent, .. } = other;
        let how = format!("{rounds} rounds, work x {scale}, load {:.1}", machine.load_before);
        for mut recorder in recorders {
            if self.recorders.iter().any(|own| own.name == recorder.name) {
                continue;
            }
            self.absent.retain(|absent| absent.name != recorder.name);
            recorder.apart.get_or_insert_with(|| how.clone());
            self.recorders.push(recorder);
        }
        for entry in absent {
            if !self.absent.iter().any(|own| own.name == entry.name) {
                self.absent.push(entry);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(recorders: &str, absent: &str) -> Overhead {
        // As versions wrote it that kept medians alone.
        let text = format!(
            r#"{{"rounds": 2, "scale": 0.5, "kernel": "6.1 x86_64", "cpu": "a", "cpus": 2, "memory_mib": 100, "load_before": 0.2,
            "bare": [{{"workload": "storm", "seconds": [1.0, 1.0], "median": 1.0, "spread": 0.0}}],
            "recorders": [{recorders}], "absent": [{absent}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn recorder(name: &str) -> String {
        format!(
            r#"{{"name": "{name}", "about": "", "version": null, "idle_cpu_seconds": null, "results": [{{"workload": "storm",
            "seconds": [2.0, 2.0], "ratio": 2.0, "low": 2.0, "high": 2.0, "events": 90.0, "dropped": 10.0, "bytes_per_event": null,
            "cpu_seconds": 0.1, "memory_mib": 3.0}}]}}"#
        )
    }

    #[test]
    fn a_recorder_of_another_run_says_so() {
        let mut found = result(&recorder("ours"), r#"{"name": "slow", "why": "left out"}"#);
        assert_eq!(found.recorders[0].results[0].stored_share(), Some(0.9));
        found.join(result(
            &[recorder("ours"), recorder("slow")].join(","),
            r#"{"name": "gone", "why": "not installed"}"#,
        ));
        let names: Vec<_> =
            found.recorders.iter().map(|recorder| (recorder.name.as_str(), recorder.apart.clone())).collect();
        assert_eq!(names, [("ours", None), ("slow", Some("2 rounds, work x 0.5, load 0.2".to_owned()))]);
        assert_eq!(found.absent.iter().map(|absent| &*absent.name).collect::<Vec<_>>(), ["gone"]);
    }
}
