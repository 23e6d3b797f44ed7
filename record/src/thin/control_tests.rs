//! The controller against a simulated ring: so many events a second come in, so many go out.

use super::*;

/// A ring of `room` events that a consumer takes `drained` a second from.
struct Ring {
    controller: Controller,
    room: f64,
    held: f64,
    drained: f64,
    changes: Vec<(f64, Change)>,
    now: f64,
    dropped: f64,
    emitted: f64,
    kept: f64,
}

impl Ring {
    fn new(room: f64, drained: f64) -> Ring {
        let controller = Controller::new(&[Class::Process, Class::File, Class::Network, Class::Syscall]);
        let (held, now, dropped, emitted, kept) = (0.0, 0.0, 0.0, 0.0, 0.0);
        Ring { controller, room, held, drained, changes: Vec::new(), now, dropped, emitted, kept }
    }

    /// `offered`: events a second, by class.
    fn run(&mut self, seconds: f64, offered: &[(Class, f64)]) {
        let ticks = (seconds / TICK.as_secs_f64()).round() as usize;
        for _ in 0..ticks {
            let dt = TICK.as_secs_f64();
            let mut load = Load {
                elapsed: TICK,
                fill: 0.0,
                queue: 0.0,
                dropped: 0,
                emitted: [0; CLASS_MAX],
                sampled_out: [0; CLASS_MAX],
            };
            for (class, rate) in offered {
                let (emitted, kept) = (rate * dt, rate * dt / f64::from(1u32 << self.controller.level(*class)));
                load.emitted[*class as usize] = emitted as u64;
                load.sampled_out[*class as usize] = (emitted - kept) as u64;
                self.emitted += emitted;
                self.kept += kept;
                self.held += kept;
            }
            let over = (self.held - self.room).max(0.0);
            load.dropped = over as u64;
            self.dropped += over;
            self.held = (self.held.min(self.room) - self.drained * dt).max(0.0);
            load.fill = self.held / self.room;
            self.now += dt;
            self.changes.extend(self.controller.tick(&load).map(|change| (self.now, change)));
        }
    }

    fn levels(&self) -> [u8; 3] {
        THINNED.map(|class| self.controller.level(class))
    }
}

const NOTHING: [u8; 3] = [0, 0, 0];

#[test]
fn a_load_that_the_consumer_can_take_is_left_alone() {
    let mut ring = Ring::new(300_000.0, 1_000_000.0);
    ring.run(60.0, &[(Class::File, 900_000.0), (Class::Process, 50_000.0)]);
    assert_eq!((ring.changes.len(), ring.dropped), (0, 0.0));
    // A burst that the ring can hold is none of its business either.
    ring.run(0.1, &[(Class::File, 2_000_000.0)]);
    ring.run(2.0, &[(Class::File, 100_000.0)]);
    assert_eq!((ring.changes.len(), ring.dropped), (0, 0.0));
}

#[test]
fn a_storm_is_thinned_without_a_loss_and_all_is_kept_again_when_it_ends() {
    let mut ring = Ring::new(300_000.0, 500_000.0);
    ring.run(10.0, &[(Class::File, 2_000_000.0), (Class::Process, 10_000.0)]);
    assert_eq!(ring.dropped, 0.0, "{:?}", ring.changes);
    assert!(ring.controller.level(Class::File) >= 2, "{:?}", ring.changes);
    assert_eq!(ring.levels()[1..], [0, 0], "the other classes are not what fills the ring");
    // Four times the load asks for a fourth; half of what the consumer can take is not given away for nothing.
    assert!(ring.kept > 0.5 * 500_000.0 * 10.0, "kept {} of {}", ring.kept, ring.emitted);
    let ended = ring.now;
    ring.run(5.0, &[(Class::File, 50_000.0)]);
    assert_eq!(ring.levels(), NOTHING);
    let (recovered, _) = ring.changes.last().unwrap();
    assert!(recovered - ended < 2.5, "recovered {} s after the storm", recovered - ended);
}

#[test]
fn a_steady_overload_settles() {
    let mut ring = Ring::new(300_000.0, 500_000.0);
    ring.run(20.0, &[(Class::Syscall, 3_000_000.0)]);
    let before = ring.changes.len();
    ring.run(60.0, &[(Class::Syscall, 3_000_000.0)]);
    assert_eq!(ring.dropped, 0.0);
    // At 16 s of hold, a try now and then: down and up again.
    assert!(ring.changes.len() - before <= 14, "{:?}", &ring.changes[before..]);
}

#[test]
fn the_noisiest_class_goes_first_and_the_next_one_follows() {
    let mut ring = Ring::new(100_000.0, 50_000.0);
    ring.run(5.0, &[(Class::File, 200_000.0), (Class::Network, 90_000.0), (Class::Syscall, 1_000_000.0)]);
    assert_eq!(ring.changes[0].1, Change { class: Class::Syscall, from: 0, to: 1 });
    let [file, network, syscall] = ring.levels();
    assert!(syscall > file && file >= network && network > 0, "{:?}", ring.levels());
}

#[test]
fn what_is_not_recorded_or_not_to_be_thinned_never_is() {
    let mut ring = Ring::new(10_000.0, 1000.0);
    ring.controller = Controller::new(&[Class::Process, Class::Network]);
    ring.run(5.0, &[(Class::Process, 100_000.0), (Class::File, 100_000.0)]);
    assert_eq!(ring.changes, []);
    assert!(ring.dropped > 0.0, "nothing could be done");
}

#[test]
fn a_level_has_an_end() {
    let mut ring = Ring::new(1000.0, 0.0);
    ring.run(60.0, &[(Class::File, 1e9)]);
    assert_eq!(ring.levels(), [MAX_LEVEL, 0, 0]);
}

#[test]
fn the_same_load_gives_the_same_answers() {
    let run = || {
        let mut ring = Ring::new(100_000.0, 300_000.0);
        for second in 0..20u32 {
            ring.run(1.0, &[(Class::File, f64::from(second % 7) * 200_000.0), (Class::Network, 100_000.0)]);
        }
        ring.changes
    };
    assert_eq!(run(), run());
}
