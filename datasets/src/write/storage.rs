//! How a recording is written.

use std::time::Duration;

use crate::keep::Keep;

/// When a segment is closed, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Age of its oldest row, by the wall.
    pub time: Duration,
    /// Memory its rows take, bytes; the file is several times smaller.
    pub bytes: usize,
    pub rows: usize,
}

impl Default for Rotation {
    fn default() -> Self {
        Rotation { time: Duration::from_secs(60), bytes: 64 << 20, rows: 1_000_000 }
    }
}

/// How a recording is written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Storage {
    pub rotation: Rotation,
    /// Memory of all rows that wait, bytes: half of it for open segments, half for those being encoded. 0: no bound but
    /// [`Rotation::bytes`] for each class.
    pub memory: usize,
    /// How often rows go to the journal; what a killed recorder loses. `None`: there is no journal, and it loses the open
    /// segments.
    pub journal: Option<Duration>,
    /// Encode segments in a thread of its own.
    pub background: bool,
    /// Keep room on the disk for the tables and the manifest of the end: 4.25 MiB and more as the manifest grows.
    pub reserve: bool,
    pub keep: Keep,
}

impl From<Rotation> for Storage {
    fn from(rotation: Rotation) -> Storage {
        Storage { rotation, ..Storage::default() }
    }
}
