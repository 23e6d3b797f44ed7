use std::path::Path;

use super::*;

const MODEL: [u8; 32] = [7; 32];

fn place(folder: &Path) -> Place {
    Place { folder: folder.join("below/it"), limit: 1 << 20 }
}

fn embedding(number: u32) -> Embedding {
    Embedding { vector: vec![number as f32, 0.5, -0.0], truncated: number % 2 == 1, unknown: number % 3 == 1 }
}

fn put(store: &Store, numbers: std::ops::Range<u32>) {
    let embeddings: Vec<Embedding> = numbers.clone().map(embedding).collect();
    let keys = numbers.map(|number| key(&number.to_string()));
    store.put(&keys.zip(&embeddings).collect::<Vec<_>>());
}

fn get(store: &Store, number: u32) -> Option<Embedding> {
    store.get(&key(&number.to_string()))
}

#[test]
fn what_was_put_is_there_in_the_next_run_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    put(&Store::open(&place, MODEL), 0..100);
    let store = Store::open(&place, MODEL);
    for number in 0..100 {
        let (found, put) = (get(&store, number).unwrap(), embedding(number));
        let bits = |e: &Embedding| e.vector.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(&found), found.truncated, found.unknown), (bits(&put), put.truncated, put.unknown));
    }
    assert_eq!(get(&store, 100), None);
    assert_eq!(get(&Store::open(&place, [8; 32]), 1), None, "another model's vectors are not ours");
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(&store.path), mode(&place.folder)), (0o600, 0o700));
    let bytes = fs::read(&store.path).unwrap();
    assert_eq!(bytes.len(), HEADER + 100 * record(3));
}

#[test]
fn damage_is_ignored_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let first = Store::open(&place, MODEL);
    put(&first, 0..10);
    let good = fs::read(&first.path).unwrap();
    // Every byte of the third record: the other nine are there, this one is not, or is right.
    let third = HEADER + 2 * record(3);
    for at in third..third + record(3) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        fs::write(&first.path, &bytes).unwrap();
        let store = Store::open(&place, MODEL);
        assert_eq!((0..10).filter(|number| get(&store, *number).is_some()).count(), 9);
        put(&store, 2..3);
        assert_eq!(get(&Store::open(&place, MODEL), 2), Some(embedding(2)));
    }
    // Cut off anywhere: whole records are there, and what is appended is found.
    for length in 0..good.len() {
        fs::write(&first.path, &good[..length]).unwrap();
        let store = Store::open(&place, MODEL);
        let whole = length.saturating_sub(HEADER) / record(3);
        assert_eq!((0..10).filter(|number| get(&store, *number).is_some()).count(), whole, "{length}");
        put(&store, 20..21);
        let again = Store::open(&place, MODEL);
        assert_eq!(get(&again, 20), Some(embedding(20)), "{length}");
        assert_eq!((0..10).filter(|number| get(&again, *number).is_some()).count(), whole, "{length}");
    }
    // Somebody else's file, of any length and size of vectors.
    for bytes in [&b"not a cache"[..], &[0xff; 4096]] {
        fs::write(&first.path, bytes).unwrap();
        let store = Store::open(&place, MODEL);
        assert_eq!(get(&store, 1), None);
        put(&store, 1..2);
        assert_eq!(get(&Store::open(&place, MODEL), 1), Some(embedding(1)));
    }
}

#[test]
fn writers_at_once_lose_nothing_and_keep_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let place = &place;
            // Each its own store, as in processes of their own: the lock is the file's.
            scope.spawn(move || {
                let store = Store::open(place, MODEL);
                for number in 0..50 {
                    // Half of them are everybody's.
                    let number = if number % 2 == 0 { number } else { 1000 * writer + number };
                    // As an embedder does: what was there in the beginning is not asked of the model.
                    if get(&store, number).is_none() {
                        put(&store, number..number + 1);
                    }
                }
            });
        }
    });
    let store = Store::open(&place, MODEL);
    let all: Vec<u32> = (0..4)
        .flat_map(|writer| (0..25).map(move |n| 1000 * writer + 2 * n + 1))
        .chain((0..25).map(|n| 2 * n))
        .collect();
    assert!(all.iter().all(|number| get(&store, *number) == Some(embedding(*number))));
    assert_eq!(store.at.len(), all.len());
    assert_eq!(store.bytes.len(), HEADER + all.len() * record(3));
}

#[test]
fn the_limit_holds_for_all_files_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut place = place(folder.path());
    place.limit = (HEADER + 100 * record(3)) as u64;
    let other = Store::open(&place, [9; 32]);
    put(&other, 0..40);
    let size =
        || fs::read_dir(&place.folder).unwrap().flatten().map(|entry| entry.metadata().unwrap().len()).sum::<u64>();
    let store = Store::open(&place, MODEL);
    put(&store, 0..50);
    assert!(other.path.exists() && size() <= place.limit);
    put(&store, 50..90);
    assert!(!other.path.exists() && size() <= place.limit, "the other model's file goes first");
    put(&store, 90..120);
    assert!(size() <= place.limit);
    let kept: Vec<u32> = (0..120).filter(|number| get(&Store::open(&place, MODEL), *number).is_some()).collect();
    assert!(kept.contains(&119) && kept.contains(&90) && !kept.contains(&0), "the newest are kept: {kept:?}");
    assert_eq!(kept, (kept[0]..120).collect::<Vec<_>>());
    put(&store, 200..400);
    assert!(size() <= place.limit && store.gave_up.load(Ordering::Relaxed), "more at once than fits is not kept");
}

#[test]
fn a_folder_that_cannot_be_written_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let store = Store::open(&Place { folder: file.join("below"), limit: 1 << 20 }, MODEL);
    put(&store, 0..1);
    assert_eq!(get(&store, 0), None);
    assert!(store.has_warned.load(Ordering::Relaxed));
}
