//! Planted names are nowhere left, the rest is as it was, and the same key gives the same pseudonyms.

mod common;

use std::fs;
use std::path::Path;

use common::*;
use datasets::anonymise::{Key, anonymise};
use datasets::*;
use record_bpf::{Class, Kind};

const HOST: &str = "zebrahost";
const USER: &str = "zebrauser";
const PROJECT: &str = "zebraproject";
const CONTAINER: &str = "zebra-shop";
const POD: &str = "zebrapod";
const DOMAIN: &str = "zebracorp";
const PUBLIC: &str = "203.0.113.77";
const PRIVATE: &str = "10.44.55.66";
const SIX: &str = "2001:db8:77::9";
const SECRET: &str = "zebrasecret";
const PLANTED: [&str; 10] = [HOST, USER, PROJECT, CONTAINER, POD, DOMAIN, PUBLIC, PRIVATE, SIX, SECRET];

fn id() -> String {
    "a1b2c3d4".repeat(8)
}

/// A text with something planted, that can stand in any column of text.
fn planted(i: usize) -> String {
    match i % 9 {
        0 => format!("/home/{USER}/{PROJECT}/notes.txt"),
        1 => format!("/var/lib/{CONTAINER}/data/{}.db", &id()[..12]),
        2 => format!("{USER}@{HOST}:/srv/{PROJECT}"),
        3 => format!("https://api.{DOMAIN}.com/{PROJECT}?token={SECRET}&host={PUBLIC}"),
        4 => format!("--password={SECRET}"),
        5 => format!("[{SIX}]:8443"),
        6 => format!("{HOST}.{DOMAIN}.internal"),
        7 => format!("-H 'X-{PROJECT}: {SECRET}' {PRIVATE}:80"),
        _ => format!("/proc/1/root/{CONTAINER}/x"),
    }
}

/// A recording whose every column of text has something planted.
fn plant(dir: &Path) {
    let mut all = events(3, 2000, 2);
    let mut i = 0;
    let mut text = || {
        i += 1;
        std::sync::Arc::<str>::from(planted(i))
    };
    for event in &mut all {
        event.common_mut().container = Some(id().into());
        match event {
            Event::Process(row) => {
                for field in [&mut row.exe, &mut row.cwd, &mut row.script, &mut row.interpreter] {
                    *field = Some(text());
                }
                row.argv = Some((0..9).map(|_| text()).collect());
            }
            Event::Security(row) => {
                for field in [&mut row.path, &mut row.source, &mut row.name] {
                    *field = Some(text());
                }
                row.target_container = Some(id().into());
            }
            Event::File(row) => {
                for field in [&mut row.path, &mut row.new_path, &mut row.host_path, &mut row.attribute] {
                    *field = Some(text());
                }
            }
            Event::Network(row) => {
                for field in [&mut row.unix_path, &mut row.unix_local, &mut row.unix_peer] {
                    *field = Some(text());
                }
                row.local_addr = Some(PRIVATE.into());
                row.peer_addr = Some(if row.fd % 2 == 0 { PUBLIC } else { SIX }.into());
            }
            Event::Dns(row) => {
                row.question = Some(format!("{HOST}.{DOMAIN}.com").into());
                row.answers = Some(vec![
                    format!("{HOST}.{DOMAIN}.com A {PUBLIC}").into(),
                    format!("77.113.0.203.in-addr.arpa PTR {HOST}.{DOMAIN}.com").into(),
                    format!("{DOMAIN}.com TXT \"{SECRET}\"").into(),
                ]);
                row.more = Some(vec![text()]);
                (row.local_addr, row.peer_addr) = (Some(PRIVATE.into()), Some(PUBLIC.into()));
            }
            Event::Tls(row) => {
                row.data = text().as_bytes().to_vec();
                (row.http_path, row.http_host) = (Some(text()), Some(format!("{HOST}.{DOMAIN}.com").into()));
                row.http_headers = Some(vec![format!("Authorization: Bearer {SECRET}").into(), text()]);
            }
            Event::Flow(row) => (row.src_addr, row.dst_addr) = (Some(PRIVATE.into()), Some(PUBLIC.into())),
            Event::Syscall(_) | Event::Resource(_) => {}
        }
    }
    let mut manifest = manifest();
    manifest.filter = vec![format!("container = {CONTAINER}")];
    let mut writer = RecordingWriter::create_with(dir, manifest, rotation(300)).unwrap();
    all.iter().for_each(|event| writer.push(event).unwrap());
    let mut rows = processes();
    for row in &mut rows {
        (row.container, row.cwd) = (Some(id().into()), Some(format!("/home/{USER}").into()));
        (row.exe, row.comm) = (Some(format!("/opt/{PROJECT}/{PROJECT}d").into()), Some(PROJECT.into()));
        row.argv = Some((0..9).map(planted).map(Into::into).collect());
    }
    writer.write_processes(&rows).unwrap();
    let row = Container {
        id: id().into(),
        name: Some(CONTAINER.to_owned()),
        image: Some(format!("registry.{DOMAIN}.com:5000/{PROJECT}/app:1.2")),
        addresses: vec![PRIVATE.to_owned()],
        aliases: vec![CONTAINER.to_owned(), HOST.to_owned()],
        labels: Some(format!("{{\"owner\":\"{USER}\",\"{PROJECT}.port\":8080}}")),
        cgroup: format!("/machine.slice/libpod-{}.scope", id()),
        pod: Some(POD.to_owned()),
        ..containers()[0].clone()
    };
    writer.write_containers(&[row]).unwrap();
    let address = Address { address: PRIVATE.to_owned(), container: id().into(), ..addresses()[0].clone() };
    writer.write_addresses(&[address]).unwrap();
    writer.finish(lossless(&all), START + 60_000_000_000).unwrap();
    let step = Step {
        container: Some(CONTAINER.to_owned()),
        description: format!("{USER} runs it on {HOST}"),
        ..Step::default()
    };
    let scenario = Scenario { description: format!("life at {DOMAIN}"), steps: vec![step], ..Scenario::default() };
    add_labels(dir, &[], scenario).unwrap();
}

/// Every text in a recording: of all rows of all tables as they are printed, and of the manifest.
fn everything(dir: &Path) -> String {
    let recording = Recording::open(dir).unwrap();
    let mut all = fs::read_to_string(dir.join("manifest.json")).unwrap();
    for event in recording.events() {
        let event = event.unwrap();
        if let Event::Tls(row) = &event {
            all.push_str(&String::from_utf8_lossy(&row.data));
        }
        all.push_str(&format!("{event:?}\n"));
    }
    all + &format!(
        "{:?}{:?}{:?}",
        recording.processes().unwrap(),
        recording.containers().unwrap(),
        recording.addresses().unwrap()
    )
}

#[test]
fn nothing_planted_is_left_and_what_is_no_name_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let [source, out, again, other] = ["source", "out", "again", "other"].map(|name| dir.path().join(name));
    plant(&source);
    let recording = Recording::open(&source).unwrap();
    let before = everything(&source);
    let ids = [id(), id()[..12].to_owned()];
    let words = || PLANTED.into_iter().chain(ids.iter().map(String::as_str));
    for word in words() {
        assert!(before.contains(word), "{word} was planted");
    }
    let made = anonymise(&recording, &out, &Key::from_seed("one"), |_| {}).unwrap();
    let report = verify(&out, |_| {}).unwrap();
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    let after = everything(&out);
    for word in words() {
        assert!(!after.contains(word), "{word} is left: {}", around(&after, word));
        for entry in walk(&out) {
            let bytes = fs::read(&entry).unwrap();
            assert!(!bytes.windows(word.len()).any(|part| part == word.as_bytes()), "{word} in {}", entry.display());
        }
    }

    // What is no name stays, row by row.
    let (old, new) = (read(&source), read(&out));
    assert_eq!(old.len(), new.len());
    for (old, new) in old.iter().zip(&new) {
        let (a, b) = (old.common(), new.common());
        assert_eq!((a.ts, a.cpu, a.seq, a.kind, a.pid, a.exec_id), (b.ts, b.cpu, b.seq, b.kind, b.pid, b.exec_id));
    }
    let container = &Recording::open(&out).unwrap().containers().unwrap()[0];
    assert!(container.id.len() == 64 && container.cgroup == format!("/machine.slice/libpod-{}.scope", container.id));
    assert!(new.iter().all(|event| event.common().container.as_ref() == Some(&container.id)));
    let private: std::net::Ipv4Addr = container.addresses[0].parse().unwrap();
    assert!(private.is_private());

    let same = anonymise(&recording, &again, &Key::from_seed("one"), |_| {}).unwrap();
    assert_eq!((same.chain_head(), same.digest), (made.chain_head(), made.digest.clone()));
    let different = anonymise(&recording, &other, &Key::from_seed("two"), |_| {}).unwrap();
    assert_ne!(different.chain_head(), made.chain_head());
}

fn around<'a>(text: &'a str, word: &str) -> &'a str {
    let at = text.find(word).unwrap();
    let from = (0..=at.saturating_sub(80)).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let to = (at + 80..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[from..to]
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_shipped_attack_keeps_its_labels_its_counts_and_what_tells_programs_apart() {
    let source = Recording::shipped("xmrig").unwrap();
    let dir = tempfile::tempdir().unwrap();
    anonymise(&source, dir.path(), &Key::from_seed("one"), |_| {}).unwrap();
    let report = verify(dir.path(), |_| {}).unwrap();
    assert_eq!(report.verdict, Verdict::Intact, "{:?}", report.findings);
    let made = Recording::open(dir.path()).unwrap();
    assert_eq!(made.labels().unwrap(), source.labels().unwrap());
    assert_eq!(made.manifest().accounting, source.manifest().accounting);
    let (old, new) = (source.processes().unwrap(), made.processes().unwrap());
    let exes = |rows: &[Process]| -> Vec<Option<String>> {
        rows.iter()
            .map(|row| row.exe.as_deref().filter(|exe| exe.starts_with("/usr/bin/")).map(str::to_owned))
            .collect()
    };
    assert_eq!(exes(&old), exes(&new), "system programs keep their names");
    // As many different values as before: no two became one.
    let distinct = |events: Vec<Event>| -> usize {
        let paths = events.into_iter().filter_map(|event| match event {
            Event::File(row) if row.common.kind == Kind::Open => row.path,
            _ => None,
        });
        paths.collect::<std::collections::BTreeSet<_>>().len()
    };
    let all = |recording: &Recording| recording.events_of(&[Class::File]).map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(distinct(all(&made)), distinct(all(&source)));
}
