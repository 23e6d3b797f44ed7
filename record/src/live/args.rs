//! The command line's part on live numbers.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

#[derive(Clone, Debug, Args)]
pub struct LiveArgs {
    /// What is shown on stderr while it records
    #[arg(long, value_enum, default_value_t = Progress::Auto, value_name = "FORM", help_heading = "Live numbers")]
    pub progress: Progress,
    /// The full-screen view: rates per class, containers, loss, ring, lag; as --progress view
    #[arg(long, conflicts_with = "progress", help_heading = "Live numbers")]
    pub live: bool,
    /// Serve Prometheus metrics at this address, as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS:PORT", help_heading = "Live numbers")]
    pub metrics: Option<SocketAddr>,
    /// Serve them at an address that other machines reach, too
    #[arg(long, requires = "metrics", help_heading = "Live numbers")]
    pub metrics_public: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// A line if stderr is a terminal, else nothing
    Auto,
    /// One line, written over each second
    Line,
    /// The whole terminal; q or Ctrl-C ends the recording
    View,
    /// A JSON object a second, one per line
    Json,
    /// Nothing
    None,
}

impl LiveArgs {
    /// What to show. `terminal`: stderr is one.
    pub fn progress(&self, quiet: bool, terminal: bool) -> Progress {
        match self.progress {
            _ if quiet => Progress::None,
            _ if self.live && terminal => Progress::View,
            Progress::View if !terminal => Progress::None,
            Progress::Auto | Progress::Line if !terminal => Progress::None,
            Progress::Auto => Progress::Line,
            asked => asked,
        }
    }
}
