//! Lines to stdout or a file, and how far the work is to stderr.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::bytes_bar;
use datasets::store::Spool;
use datasets::{Error, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where lines go.
pub struct Out {
    inner: BufWriter<Box<dyn Write>>,
    path: PathBuf,
}

impl Out {
    pub fn stdout() -> Out {
        Out { inner: BufWriter::with_capacity(1 << 16, Box::new(io::stdout())), path: "stdout".into() }
    }

    /// A new file that only its owner can read.
    ///
    /// # Errors
    /// [`Error::Write`]: it is there, or cannot be made.
    pub fn file(path: &Path) -> Result<Out> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = opened.map_err(|source| Error::Write { path: path.to_owned(), source })?;
        Ok(Out { inner: BufWriter::with_capacity(1 << 16, Box::new(file)), path: path.to_owned() })
    }

    /// # Errors
    /// [`Error::Write`], which a reader that has seen enough is too: of kind `BrokenPipe`.
    pub fn line(&mut self, text: &str) -> Result<()> {
        let written = self.inner.write_all(text.as_bytes()).and_then(|()| self.inner.write_all(b"\n"));
        self.checked(written)
    }

    pub fn done(mut self) -> Result<()> {
        let flushed = self.inner.flush();
        self.checked(flushed)
    }

    fn checked(&self, written: io::Result<()>) -> Result<()> {
        written.map_err(|source| Error::Write { path: self.path.clone(), source })
    }
}

/// A bar on a terminal's stderr, for work that takes longer than a moment.
pub struct Bar {
    began: Instant,
    total: u64,
    template: &'static str,
    bar: Option<ProgressBar>,
}

impl Bar {
    /// `rows`: to be read in all.
    pub fn new(rows: u64) -> Bar {
        let template = "{wide_bar} {human_pos} of {human_len} rows, {eta} left";
        Bar { began: Instant::now(), total: rows, template, bar: None }
    }

    /// `total`: bytes to be read in all.
    pub fn bytes(total: u64) -> Bar {
        let template = "{wide_bar} {bytes} of {total_bytes}, {eta} left";
        Bar { began: Instant::now(), total, template, bar: None }
    }

    pub fn show(&mut self, read: u64) {
        if self.began.elapsed() < Duration::from_millis(500) {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template(self.template).unwrap_or_else(|_| ProgressStyle::default_bar());
            // Draws nothing where stderr is not a terminal.
            ProgressBar::with_draw_target(Some(self.total), ProgressDrawTarget::stderr()).with_style(style)
        });
        bar.set_position(read);
    }

    pub fn clear(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Brings a recording to where it is to be, with a bar.
pub fn bring(spool: Spool) -> datasets::Result<()> {
    let mut bar = bytes_bar::Bar::new();
    let brought = spool.finish(|progress| bar.show(progress));
    bar.clear();
    brought
}
