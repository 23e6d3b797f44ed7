//! What the charts show: how images learned, and when alerts came.

use serde::Serialize;

use crate::convergence::seconds;
use crate::engines::Severity;

/// Times are Unix ns.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    pub begin: i64,
    pub end: i64,
    pub lanes: Vec<Lane>,
    pub alerts: Vec<Mark>,
}

/// A raised alert.
#[derive(Clone, Debug)]
pub struct Mark {
    pub ts: i64,
    pub severity: Severity,
    pub id: String,
    pub image: String,
}

/// One image.
#[derive(Clone, Debug)]
pub struct Lane {
    pub image: String,
    pub trees: Vec<TreeLane>,
}

/// One of its trees.
#[derive(Clone, Debug)]
pub struct TreeLane {
    pub tree: &'static str,
    /// None: never; before the begin: a baseline.
    pub locked: Option<i64>,
    /// Empty for a baseline.
    pub samples: Vec<Point>,
}

/// A tree at one time.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    pub ts: i64,
    pub observations: u64,
    pub patterns: u64,
    pub nodes: u64,
    /// Upper bound of the unseen mass over the window, 0 to 1.
    pub unseen: f64,
}

impl Timeline {
    /// Seconds from the first event.
    pub fn at(&self, ts: i64) -> f64 {
        seconds(ts.saturating_sub(self.begin))
    }

    /// s, at least 1.
    pub fn length(&self) -> f64 {
        self.at(self.end).max(1.0)
    }
}

impl Lane {
    /// Whether there is a curve to draw.
    pub fn learned(&self) -> bool {
        self.trees.iter().any(|tree| tree.samples.len() > 1)
    }
}
