//! moto's S3 for the tests of several crates: a server on loopback that checks signatures and rights.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// moto, which ends with its standard input.
pub struct Server {
    child: Child,
    about: Value,
    pub folder: tempfile::TempDir,
}

impl Server {
    /// `None`: its packages are not there, which is said.
    pub fn start() -> Option<Server> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let packages = root.join(".cache/receivers");
        if !packages.join("moto").is_dir() {
            eprintln!("LEFT OUT: moto of setup/python/receivers.txt is not there; ./dev setup installs it");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(root.join(".venv/bin/python"))
            .arg(root.join("datasets/tests/s3/server.py"))
            .arg(folder.path().join("log"))
            .envs([("PYTHONPATH", packages.as_os_str()), ("PYTHONDONTWRITEBYTECODE", "1".as_ref())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Server { child, about: serde_json::from_str(&line).unwrap(), folder })
    }

    /// A program as the owner of the bucket, or as somebody else.
    pub fn command(&self, program: &str, who: &str, args: &[&str]) -> Command {
        let (port, key) = (&self.about["port"], &self.about[who]);
        let mut command = Command::new(program);
        command
            .args(args)
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
            .envs([("AWS_ALLOW_HTTP", "true"), ("AWS_REGION", "us-east-1")])
            .env("AWS_ACCESS_KEY_ID", key[0].as_str().unwrap_or("AKIANOBODY"))
            .env("AWS_SECRET_ACCESS_KEY", key[1].as_str().unwrap_or("wrong"));
        command
    }

    /// Puts an object into the bucket behind everybody's back, or takes it away.
    pub fn place(&self, key: &str, bytes: Option<&[u8]>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port())).unwrap();
        let (verb, bytes) = bytes.map_or(("remove", &[][..]), |bytes| ("place", bytes));
        write!(stream, "POST /{verb}/{key} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", bytes.len()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.read_to_string(&mut String::new()).unwrap();
    }

    /// Puts the files of a recording into the bucket, under a prefix.
    pub fn place_recording(&self, dir: &Path, prefix: &str) {
        let recording = datasets::Recording::open(dir).unwrap();
        let manifest = recording.manifest();
        let segments = manifest.segments.iter().map(|segment| segment.file.clone());
        let tables = manifest.tables.iter().map(|table| table.file.clone());
        for file in segments.chain(tables).chain(["manifest.json".to_owned()]) {
            self.place(&format!("{prefix}/{file}"), Some(&std::fs::read(dir.join(&file)).unwrap()));
        }
    }

    pub fn port(&self) -> u16 {
        self.about["port"].as_u64().unwrap() as u16
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
