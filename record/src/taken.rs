//! Up to when all events have been taken out of the ring.
//!
//! Programs reserve their records' places in the ring in turn, and it is emptied in that order. So once the bytes taken reach the
//! place up to which had been reserved at some moment, all events of before that moment are taken.

use std::time::Duration;

/// A program takes its event's time before it reserves a place: so long it may be in between, on a host that is itself put off.
const UNDER_WAY: Duration = Duration::from_millis(10);

#[derive(Default)]
pub struct Taken {
    bytes: u64,
    /// A moment (Unix time, ns) and the place that was reached then.
    noted: Option<(i64, u64)>,
    until: i64,
}

impl Taken {
    /// That many bytes came out of the ring, and their rows were given on.
    pub fn took(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// `now`: Unix time, ns, read before `reserved`, the place up to which records were reserved then.
    pub fn look(&mut self, now: i64, reserved: u64) {
        if let Some((moment, place)) = self.noted
            && place <= self.bytes
        {
            (self.until, self.noted) = (moment, None);
        }
        if reserved <= self.bytes {
            self.until = now;
        } else if self.noted.is_none() {
            self.noted = Some((now, reserved));
        }
    }

    /// Every event before this has been given on; Unix time, ns.
    pub fn until(&self) -> i64 {
        self.until.saturating_sub(UNDER_WAY.as_nanos() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_counts_when_what_was_reserved_at_it_is_taken() {
        let (mut taken, under_way) = (Taken::default(), UNDER_WAY.as_nanos() as i64);
        taken.look(100, 0);
        assert_eq!(taken.until(), 100 - under_way, "an empty ring");
        taken.look(200, 50);
        taken.took(40);
        taken.look(300, 90);
        assert_eq!(taken.until(), 100 - under_way, "10 bytes of the second moment are not taken");
        taken.took(10);
        taken.look(400, 120);
        assert_eq!(taken.until(), 200 - under_way);
        taken.took(70);
        taken.look(500, 120);
        assert_eq!(taken.until(), 500 - under_way, "all there is was taken");
    }
}
