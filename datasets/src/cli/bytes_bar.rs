//! Progress in bytes.

use std::time::{Duration, Instant};

use datasets::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on a terminal's stderr, for checks that take longer than a moment.
pub struct Bar {
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Bar {
    pub fn new() -> Bar {
        Bar { began: Instant::now(), bar: None }
    }

    pub fn show(&mut self, progress: Progress) {
        if self.began.elapsed() < Duration::from_millis(500) {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let template = "{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            // Draws nothing where stderr is not a terminal.
            ProgressBar::with_draw_target(Some(progress.total), ProgressDrawTarget::stderr()).with_style(style)
        });
        bar.set_position(progress.done);
    }

    pub fn clear(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
