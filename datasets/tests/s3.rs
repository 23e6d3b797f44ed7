//! Recordings on object storage, through moto: an S3 server on loopback that checks signatures and rights.

#[path = "s3/server.rs"]
mod server;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use server::Server;

impl Server {
    fn run_as(&self, who: &str, args: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_datasets"), who, args).output().unwrap()
    }

    fn run(&self, args: &[&str]) -> Output {
        self.run_as("owner", args)
    }

    /// Its standard output; it must succeed.
    fn text(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Its exit code and standard error.
    fn error(&self, who: &str, args: &[&str]) -> (Option<i32>, String) {
        let output = self.run_as(who, args);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    fn drop_next(&self, reads: u32) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        write!(stream, "POST /drop/{reads} HTTP/1.0\r\nContent-Length: 0\r\n\r\n").unwrap();
        stream.read_to_string(&mut String::new()).unwrap();
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<Value> {
        let log = self.folder.path().join("log");
        let lines = fs::read_to_string(&log).unwrap();
        fs::write(&log, "").unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn verdict(&self, of: &str) -> (Option<i32>, String) {
        let output = self.run(&["verify", of]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }
}

#[test]
fn a_recording_on_object_storage_is_copied_read_and_verified_as_one_on_disk() {
    let Some(server) = Server::start() else { return };
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/xmrig");
    let shipped = shipped.to_str().unwrap();
    assert!(server.text(&["copy", shipped, "s3://rec/x"]).contains("22 files"));
    let manifest_last = server.asked().iter().rfind(|one| one["method"] == "PUT").unwrap()["path"].clone();
    assert_eq!(manifest_last, "/rec/x/manifest.json");

    // The manifest, the list and the containers: no segment.
    let info = server.text(&["info", "s3://rec/x", "--format", "json"]);
    assert!(info.contains("64901"), "{info}");
    assert!(server.asked().iter().all(|one| !one["path"].as_str().unwrap().contains("/0000")));

    let rows = ["--format", "json"];
    let cat = |of: &str| server.text(&[&["cat", of], &rows[..]].concat());
    assert_eq!(cat("s3://rec/x"), cat(shipped));
    assert!(server.asked().iter().any(|one| one["range"].is_string()));
    // Of a segment that is larger than the end that is fetched first, the columns.
    let large = Path::new(shipped).with_file_name("job-hijack-21");
    let large = large.to_str().unwrap();
    server.text(&["copy", large, "s3://rec/large"]);
    server.asked();
    assert_eq!(cat("s3://rec/large"), cat(large));
    let ranges = server.asked();
    assert!(ranges.iter().filter_map(|one| one["range"].as_str()).any(|range| !range.starts_with("bytes=-")));
    // Answers that break off are asked for again.
    server.drop_next(5);
    assert_eq!(cat("s3://rec/x"), cat(shipped));
    assert_eq!(server.asked().iter().filter(|one| one["dropped"] == true).count(), 5);

    // Each byte once, to be hashed and read.
    let verified = server.text(&["verify", "s3://rec/x"]);
    assert!(verified.starts_with("s3://rec/x: intact"), "{verified}");
    let reads = server.asked();
    let reads: Vec<_> = reads.iter().filter(|one| one["path"].as_str().unwrap().ends_with(".parquet")).collect();
    assert_eq!(reads.len(), 21);

    let back = server.folder.path().join("back");
    server.text(&["copy", "s3://rec/x", back.to_str().unwrap()]);
    let recording = datasets::Recording::open(&back).unwrap();
    let segments = recording.manifest().segments.iter().map(|segment| segment.file.as_str());
    for file in segments.chain(["manifest.json", "processes.parquet"]) {
        assert_eq!(fs::read(back.join(file)).unwrap(), fs::read(Path::new(shipped).join(file)).unwrap(), "{file}");
    }
    server.text(&["slice", "s3://rec/x", "--class", "process", "-o", "s3://rec/part"]);
    assert!(server.text(&["verify", "s3://rec/part"]).contains("intact"));
    assert_eq!(server.error("owner", &["copy", shipped, "s3://rec/x"]).0, Some(5), "nothing is overwritten");
}

#[test]
fn what_is_wrong_with_a_store_names_the_url_and_a_way_out() {
    let Some(server) = Server::start() else { return };
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings/xmrig");
    server.text(&["copy", shipped.to_str().unwrap(), "s3://rec/x"]);
    let fails = |who: &str, args: &[&str], says: &str| {
        let (code, error) = server.error(who, args);
        assert_eq!(code, Some(4), "{error}");
        assert!(error.contains("s3://") && error.contains("hint: ") && error.contains(says), "{error}");
    };
    fails("nobody", &["info", "s3://rec/x"], "InvalidAccessKeyId");
    fails("stranger", &["info", "s3://rec/x"], "AccessDenied");
    fails("owner", &["info", "s3://none/x"], "NoSuchBucket");
    fails("owner", &["info", "s3://rec/none"], "no manifest.json");
    fails("owner", &["recover", "s3://rec/x"], "datasets copy");
    server.drop_next(10_000);
    // The store failed, not the recording: no verdict.
    fails("owner", &["verify", "s3://rec/x"], "AWS_ENDPOINT_URL");
    server.drop_next(0);

    // A damaged object, and one that is not there: written by the shortest way, a copy of a damaged directory made as files.
    let spoiled = |file: &str, spoil: &dyn Fn(&mut Vec<u8>)| {
        let path = shipped.join(file);
        let mut bytes = fs::read(&path).unwrap();
        spoil(&mut bytes);
        bytes
    };
    let flipped = spoiled("process/00000.parquet", &|bytes| bytes[1000] ^= 1);
    server.place("x/process/00000.parquet", Some(&flipped));
    let (code, text) = server.verdict("s3://rec/x");
    assert!(code == Some(1) && text.contains("DAMAGED") && text.contains("process/00000.parquet"), "{text}");
    fails("owner", &["copy", "s3://rec/x", server.folder.path().join("no").to_str().unwrap()], "SHA-256 differs");
    server.place("x/process/00000.parquet", Some(&flipped[..flipped.len() / 2]));
    let (_, text) = server.verdict("s3://rec/x");
    assert!(text.contains("truncated"), "{text}");
    server.place("x/process/00000.parquet", None);
    let (_, text) = server.verdict("s3://rec/x");
    assert!(text.contains("missing"), "{text}");
    fails("owner", &["cat", "s3://rec/x"], "process/00000.parquet: missing");
}
