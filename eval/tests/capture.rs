//! Every metric of `capture` against numbers computed by hand.

mod common;

use std::collections::BTreeMap;

use common::*;
use datasets::{Accounting, ClassAccount, CpuAccount, Dropped};
use eval::capture::capture;

/// Four CPUs' worth of accounts on two: 8 file, 3 process and 4 network events taken a number.
fn account() -> Accounting {
    let class = |emitted, ring_full, undecodable, filtered| ClassAccount {
        emitted,
        stored: 0,
        dropped: Dropped { ring_full, undecodable, ..Dropped::default() },
        filtered,
        ..ClassAccount::default()
    };
    let cpu = |cpu, classes: &[(&str, ClassAccount)]| CpuAccount {
        cpu,
        next_seq: classes.iter().map(|(_, account)| account.emitted).sum(),
        classes: classes.iter().map(|(name, account)| ((*name).to_owned(), *account)).collect(),
        ..CpuAccount::default()
    };
    let cpus = vec![
        cpu(0, &[("process", class(3, 0, 1, 0)), ("file", class(4, 0, 0, 0)), ("network", class(4, 0, 0, 2))]),
        cpu(1, &[("file", class(4, 1, 0, 0))]),
    ];
    Accounting { cpus, failures: BTreeMap::from([("path_truncated".to_owned(), 1), ("read_fault".to_owned(), 0)]) }
}

#[test]
fn every_event_is_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let found = capture(&record(&dir.path().join("rec"), &events(), &[], Some(account()))).unwrap();
    let lines: Vec<_> = found
        .classes
        .iter()
        .chain([&found.total])
        .map(|c| (c.class, c.emitted, c.stored, c.dropped, c.filtered, c.capture_rate))
        .collect();
    let expected = [
        ("process", Some(3), 2, Some(1), Some(0), Some(2.0 / 3.0)),
        ("file", Some(8), 7, Some(1), Some(0), Some(0.875)),
        // Two were not asked for: nothing of what was is missing.
        ("network", Some(4), 2, Some(0), Some(2), Some(1.0)),
        ("all", Some(15), 11, Some(2), Some(2), Some(11.0 / 13.0)),
    ];
    assert_eq!(lines, expected);
    for class in &found.classes {
        let file = dir.path().join("rec").join(class.class).join("00000.parquet");
        let size = std::fs::metadata(file).unwrap().len();
        assert_eq!((class.bytes, class.bytes_per_event), (size, Some(size as f64 / class.stored as f64)));
    }
    assert_eq!(found.failures, BTreeMap::from([("path_truncated".to_owned(), 1)]));
}

#[test]
fn a_field_that_is_missing_or_cut_off_is_not_complete() {
    let dir = tempfile::tempdir().unwrap();
    let found = capture(&record(&dir.path().join("rec"), &events(), &[], Some(account()))).unwrap();
    let fields: Vec<_> = found.fields.iter().map(|f| (f.rows_of, f.rows, f.complete, f.share)).collect();
    let expected = [
        ("process: exec", 2, 1, Some(0.5)),
        ("file: all", 7, 6, Some(6.0 / 7.0)),
        ("network: connect and accept over IP", 2, 1, Some(0.5)),
    ];
    assert_eq!(fields, expected);
}

#[test]
fn of_a_killed_recorder_losses_are_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let found = capture(&record(&dir.path().join("rec"), &events(), &[], None)).unwrap();
    assert!(!found.finished);
    assert_eq!((found.total.stored, found.total.emitted, found.total.capture_rate), (11, None, None));
}
