//! The recorder as a child: started as a user would start it, heard through `--progress json`.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::overhead::run;

/// Loading the programs, and completing a recording.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Default)]
struct Heard {
    progress: Option<Value>,
    /// The last line that was none.
    said: String,
}

pub struct Recorder {
    child: Child,
    heard: Arc<Mutex<Heard>>,
}

impl Recorder {
    /// Of the containers that `glob` matches; until it is interrupted where there is no `length`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn begin(
        record: &Path,
        options: &[String],
        glob: &str,
        output: &Path,
        length: Option<Duration>,
    ) -> Result<Recorder> {
        let mut command = Command::new(record);
        command.args(["--progress", "json", "--container", glob, "--output"]).arg(output);
        if let Some(length) = length {
            command.args(["--duration", &format!("{}ms", length.as_millis())]);
        }
        command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C reaches this program alone, which then ends things in order; and where it runs in the background of a shell,
        // interrupts are ignored, and a child would inherit that.
        command.process_group(0);
        // SAFETY: signal() is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::signal(libc::SIGINT, libc::SIG_DFL);
                Ok(())
            })
        };
        let begun = command.spawn();
        let mut child = begun.map_err(|error| Error::run(&record.display().to_string(), error))?;
        let heard = Arc::new(Mutex::new(Heard::default()));
        if let Some(stderr) = child.stderr.take() {
            let heard = heard.clone();
            // Ends with the recorder.
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(std::io::Result::ok) {
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    match serde_json::from_str::<Value>(&line) {
                        Ok(progress) => heard.progress = Some(progress),
                        Err(_) => heard.said = line,
                    }
                }
            });
        }
        Ok(Recorder { child, heard })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The newest `--progress json` line.
    pub fn progress(&self) -> Option<Value> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).progress.clone()
    }

    /// # Errors
    /// It ended, or says nothing.
    pub fn wait_until_it_records(&mut self) -> Result<()> {
        let begun = Instant::now();
        while self.progress().is_none() {
            if self.ended() || begun.elapsed() > PATIENCE {
                let said = self.said();
                let _ = self.child.kill();
                let _ = run::wait(&mut self.child, None);
                return Err(Error::run("the recorder", format!("it does not record: {said}")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    pub fn ended(&self) -> bool {
        run::has_ended(&self.child)
    }

    pub fn interrupt(&self) {
        run::interrupt(&self.child);
    }

    /// Waits for its end; the CPU time of it and the children it waited for, s.
    ///
    /// # Errors
    /// It failed, or does not end.
    pub fn finish(mut self) -> Result<f64> {
        let (status, used) =
            run::wait(&mut self.child, Some(PATIENCE)).map_err(|error| Error::run("the recorder", error))?;
        match status.success() {
            true => Ok(used.cpu_seconds),
            false => Err(Error::run("the recorder", format!("it ended with {status}: {}", self.said()))),
        }
    }

    fn said(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.said.is_empty() { "it said nothing".to_owned() } else { heard.said.clone() }
    }
}
