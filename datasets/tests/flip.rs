//! Any byte of any file of a recording that is changed is found; and who wrote it can be told.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::*;
use datasets::*;

fn signed(dir: &Path, n: usize) -> PathBuf {
    let key = dir.join("key");
    Signer::generate(&key).unwrap();
    let recording = dir.join("recording");
    let events = events(3, n, 2);
    let mut writer = RecordingWriter::create_with(&recording, manifest(), rotation(400)).unwrap();
    writer.sign_with(Signer::read(&key).unwrap()).unwrap();
    events.iter().for_each(|event| writer.push(event).unwrap());
    writer.write_processes(&processes()).unwrap();
    writer.write_containers(&containers()).unwrap();
    writer.finish(lossless(&events), START + 60_000_000_000).unwrap();
    recording
}

fn public(dir: &Path) -> PublicKey {
    PublicKey::read(&dir.join("key.pub")).unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let manifest = Recording::open(dir).unwrap().manifest().clone();
    let segments = manifest.segments.iter().map(|segment| dir.join(&segment.file));
    segments
        .chain(manifest.tables.iter().map(|table| dir.join(&table.file)))
        .chain([dir.join("manifest.json")])
        .collect()
}

fn is_found(dir: &Path) -> bool {
    // Not even a manifest any more, or damage.
    verify(dir, |_| {}).map_or(true, |report| report.verdict == Verdict::Damaged)
}

#[test]
fn a_changed_bit_anywhere_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let recording = signed(dir.path(), 60);
    let (files, mut random) = (files(&recording), Random(17));
    for round in 0..300u64 {
        // The manifest is one of many files, and has the most ways to be changed.
        let file =
            if round % 3 == 0 { files.last().unwrap() } else { &files[random.below(files.len() as u64) as usize] };
        let original = fs::read(file).unwrap();
        let (at, bit) = (random.below(original.len() as u64) as usize, random.below(8));
        let mut bytes = original.clone();
        bytes[at] ^= 1 << bit;
        fs::write(file, bytes).unwrap();
        assert!(is_found(&recording), "{} byte {at} bit {bit}", file.display());
        fs::write(file, original).unwrap();
    }
    assert_eq!(verify(&recording, |_| {}).unwrap().verdict, Verdict::Intact);
}

/// `cargo test -p datasets --test flip -- --ignored`
#[test]
#[ignore = "takes minutes"]
fn every_changed_byte_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let recording = signed(dir.path(), 3);
    let mut flips = 0;
    for file in files(&recording) {
        let original = fs::read(&file).unwrap();
        let mut bytes = original.clone();
        for at in 0..bytes.len() {
            bytes[at] ^= 1 << (at % 8);
            fs::write(&file, &bytes).unwrap();
            assert!(is_found(&recording), "{} byte {at}", file.display());
            bytes[at] = original[at];
            flips += 1;
        }
        fs::write(&file, original).unwrap();
    }
    println!("{flips} bytes");
}

#[test]
fn a_signature_tells_who_wrote_it_and_that_nothing_was_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let recording = signed(dir.path(), 3000);
    let key = public(dir.path());
    let judge = |key: &PublicKey| verify_signed(&recording, Some(key), |_| {}).unwrap();
    let report = judge(&key);
    assert_eq!((report.verdict, report.signed_by.as_deref()), (Verdict::Intact, Some(key.to_hex().as_str())));

    let other = Signer::generate(&dir.path().join("other")).unwrap();
    let report = judge(&other);
    assert_eq!(report.verdict, Verdict::Untrusted);
    assert_eq!(report.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [FindingKind::OtherKey]);

    // Someone without the key cuts off the last segment and makes all hashes right again.
    let path = recording.join("manifest.json");
    let original = fs::read(&path).unwrap();
    let mut cut: Manifest = serde_json::from_slice(&original).unwrap();
    let gone = cut.segments.pop().unwrap();
    fs::rename(recording.join(&gone.file), dir.path().join("gone")).unwrap();
    (cut.state, cut.accounting, cut.ended) = (State::Recording, None, None);
    fs::write(&path, serde_json::to_string_pretty(&cut).unwrap()).unwrap();
    assert!(is_found(&recording), "the old digest and signature");
    // As a writer without a key would store it.
    let forged = reseal(&recording, cut);
    fs::write(&path, forged).unwrap();
    assert_eq!(verify(&recording, |_| {}).unwrap().verdict, Verdict::Unfinished, "without a signature it looks whole");
    let report = judge(&key);
    assert_eq!(report.verdict, Verdict::Untrusted);
    assert_eq!(report.findings[0].kind, FindingKind::Unsigned);

    fs::rename(dir.path().join("gone"), recording.join(&gone.file)).unwrap();
    fs::write(&path, original).unwrap();
    // Labels change the manifest: the old signature goes, and a new one is made on request.
    let scenario = Scenario { name: "s".into(), description: "d".into(), seed: 1, ..Scenario::default() };
    add_labels(&recording, &[], scenario).unwrap();
    assert_eq!(judge(&key).verdict, Verdict::Untrusted);
    sign(&recording, &Signer::read(&dir.path().join("key")).unwrap()).unwrap();
    assert_eq!(judge(&key).verdict, Verdict::Intact);
}

/// The text of an unsigned manifest, its digest right: what anybody can make.
fn reseal(recording: &Path, mut manifest: Manifest) -> String {
    (manifest.signature, manifest.digest) = (None, String::new());
    let blank = serde_json::to_string_pretty(&manifest).unwrap() + "\n";
    let file = recording.join("blank");
    fs::write(&file, &blank).unwrap();
    let sum = std::process::Command::new("sha256sum").arg(&file).output().unwrap().stdout;
    fs::remove_file(file).unwrap();
    manifest.digest = String::from_utf8(sum).unwrap()[..64].to_owned();
    serde_json::to_string_pretty(&manifest).unwrap() + "\n"
}

#[test]
fn a_key_is_only_taken_from_a_file_of_its_owner_and_openssl_reads_ours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let public = Signer::generate(&path).unwrap();
    assert!(matches!(Signer::generate(&path), Err(Error::Exists { .. })));
    assert_eq!(Signer::read(&path).unwrap().public_key(), public);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Signer::read(&path).unwrap_err();
    assert!(error.to_string().contains("mode 0640"), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "no key").unwrap();
    assert!(matches!(Signer::read(&path), Err(Error::Key { .. })));

    let theirs = dir.path().join("theirs");
    let openssl = |args: &[&str]| std::process::Command::new("openssl").args(args).output();
    let Ok(made) = openssl(&["genpkey", "-algorithm", "ed25519", "-out", theirs.to_str().unwrap()]) else {
        eprintln!("\n*** SKIPPED the part with openssl: it is not installed ***\n");
        return;
    };
    assert!(made.status.success());
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o600)).unwrap();
    let signer = Signer::read(&theirs).unwrap();
    let pem = openssl(&["pkey", "-in", theirs.to_str().unwrap(), "-pubout"]).unwrap().stdout;
    fs::write(dir.path().join("theirs.pub"), pem).unwrap();
    assert_eq!(PublicKey::read(&dir.path().join("theirs.pub")).unwrap(), signer.public_key());
    fs::remove_file(&path).unwrap();
    fs::remove_file(dir.path().join("key.pub")).unwrap();
    Signer::generate(&path).unwrap();
    let pem = openssl(&["pkey", "-in", path.to_str().unwrap(), "-pubout"]).unwrap().stdout;
    assert_eq!(fs::read(dir.path().join("key.pub")).unwrap(), pem);
}
