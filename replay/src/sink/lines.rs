//! One JSON object per line, at the end of a file or on stdout.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::{Body, Failure, Message, Sink, ecs, ocsf};

/// What a line holds.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    /// All of the alert or incident, as alerts.jsonl has it.
    Whole,
    Ecs,
    Ocsf,
}

enum Target {
    Stdout,
    File(File),
}

pub struct Lines {
    target: Target,
    format: Format,
}

impl Lines {
    /// `path`: `-` for stdout.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path, format: Format) -> Result<Self, String> {
        if path == Path::new("-") {
            return Ok(Self { target: Target::Stdout, format });
        }
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        // Command lines may hold what is nobody else's business.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(Self { target: Target::File(file), format })
    }
}

impl Sink for Lines {
    /// One write per line, so that several writers do not mix theirs.
    fn send(&mut self, message: &Message, _within: Duration) -> Result<(), Failure> {
        let value = match (&self.format, &message.body) {
            (Format::Whole, _) => message.to_json(),
            (Format::Ecs, Body::Alert(alert)) => ecs::document(message, alert),
            (Format::Ocsf, Body::Alert(alert)) => ocsf::finding(message, alert),
            (_, Body::Incident(_)) => return Ok(()),
        };
        let line = format!("{value}\n");
        let written = match &mut self.target {
            Target::File(file) => file.write_all(line.as_bytes()),
            Target::Stdout => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())
            }
        };
        written.map_err(|error| Failure::lasting(error.to_string()))
    }
}
