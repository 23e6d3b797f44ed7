//! An nftables policy put into the network namespace of containers that run: in one transaction, with what was counted before.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::libc;
use serde::Serialize;
use serde_json::{Value, json};

use super::nftables::{COUNTERS, is_addresses};
use crate::error::{Error, Result};
use crate::output::text::clean;

/// What the names of policies' tables begin with.
const OURS: &str = "retroscope_";

const NEEDED: &str =
    "this needs root, nsenter (util-linux), nft 1.0 or newer, and tc (iproute2) where traffic is shaped";
const WHICH: &str =
    "give a container's process: --pid $(podman inspect --format '{{.State.Pid}}' NAME); or a file of /run/netns";

/// The network namespace of a container, held open: a process may end and its number be used again.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: File,
}

/// What of a policy is in a namespace.
#[derive(Debug, Default, PartialEq, Eq)]
struct There {
    /// Sets of addresses, by name.
    sets: Vec<String>,
    /// Packets refused so far: inwards, outwards.
    refused: [u64; 2],
}

/// What became of a policy.
#[derive(Debug, Serialize)]
pub struct Applied {
    pub image: String,
    pub namespace: String,
    pub table: String,
    /// There was a policy of that image, which this took the place of.
    pub replaced: bool,
    /// False: it was only looked at what would be done.
    pub done: bool,
    /// Packets refused so far, by this policy and those before it that it took the place of.
    pub refused_in: u64,
    pub refused_out: u64,
    /// Sets of addresses that this policy has no use for, removed.
    pub removed_sets: Vec<String>,
    /// Tables of other images' policies there: what any of them refuses is refused.
    pub others: Vec<String>,
    /// What is given to nft.
    #[serde(skip)]
    pub transaction: String,
}

impl Namespace {
    /// # Errors
    /// No such process; it is in the machine's own network namespace.
    pub fn of_process(pid: u32) -> Result<Namespace> {
        Namespace::open(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// `name`: a file, or a name of `ip netns`.
    ///
    /// # Errors
    /// No network namespace, or the machine's own.
    pub fn named(name: &Path) -> Result<Namespace> {
        let path = if name.components().count() == 1 { Path::new("/run/netns").join(name) } else { name.to_owned() };
        Namespace::open(&path)
    }

    fn open(path: &Path) -> Result<Namespace> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|error| Error::input(format!("{name}: {error}"), WHICH))?;
        // SAFETY: the descriptor is open, and this request takes no argument.
        if unsafe { libc::ioctl(file.as_raw_fd(), libc::NS_GET_NSTYPE) } != libc::CLONE_NEWNET {
            return Err(Error::input(format!("{name}: no network namespace"), WHICH));
        }
        let own = |of: &str| std::fs::metadata(format!("/proc/{of}/ns/net")).map(|meta| (meta.dev(), meta.ino())).ok();
        let this = file.metadata().map(|meta| (meta.dev(), meta.ino())).ok();
        if this.is_none() || [own("self"), own("1")].contains(&this) {
            return Err(Error::input(
                format!("{name}: the machine's own network namespace, which is left alone"),
                WHICH,
            ));
        }
        Ok(Namespace { name, file })
    }

    /// Gives a script to nft(8) in the namespace, and returns what it printed. A script is one transaction.
    ///
    /// # Errors
    /// What nsenter or nft said.
    pub fn nft(&self, options: &[&str], script: &str) -> Result<String> {
        self.run("nft", &[options, &["-f", "-"]].concat(), script)
    }

    /// Runs tc(8) in the namespace, with `batch` as its stdin, and returns what it printed.
    ///
    /// # Errors
    /// What nsenter or tc said; what comes before the line that failed was done.
    pub fn tc(&self, arguments: &[&str], batch: &str) -> Result<String> {
        self.run("tc", arguments, batch)
    }

    fn run(&self, program: &str, arguments: &[&str], input: &str) -> Result<String> {
        let failed = |why: String| Error::prerequisite(format!("{}: {}", self.name, clean(&why)), NEEDED);
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()));
        command.arg(program).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(format!("nsenter: {error}")))?;
        // A child that ends early says why on stderr.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().map_err(|error| failed(format!("nsenter: {error}")))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        Err(failed(format!("{program}: {first}")))
    }

    /// Policies in the namespace: names of their tables.
    fn tables(&self) -> Result<Vec<String>> {
        Ok(tables(&self.read(&json!({ "tables": { "family": "inet" } }))?))
    }

    fn there(&self, table: &str) -> Result<There> {
        Ok(there(&self.read(&json!({ "table": { "family": "inet", "name": table } }))?))
    }

    /// With `-j`, nft 1.0.6 prints nothing for a list command that is not JSON itself.
    fn read(&self, what: &Value) -> Result<Value> {
        let text = self.nft(&["-j"], &json!({ "nftables": [{ "list": what }] }).to_string())?;
        serde_json::from_str(&text)
            .map_err(|error| Error::prerequisite(format!("{}: nft -j: {error}", self.name), NEEDED))
    }
}

/// Puts a policy in the place of the image's one that is there, if any: all of it in one transaction, so that every packet meets
/// either the old rules or the new. Counters and the memory of who was refused stay. What was begun under the old rules goes on.
/// `dry`: only looks at what is there.
///
/// # Errors
/// What nsenter or nft said; then nothing was changed.
pub fn apply(namespace: &Namespace, image: &str, table: &str, text: &str, dry: bool) -> Result<Applied> {
    let (own, others): (Vec<_>, Vec<_>) = namespace.tables()?.into_iter().partition(|other| other == table);
    let before = if own.is_empty() { There::default() } else { namespace.there(table)? };
    let kept = |set: &String| text.contains(&format!("flush set inet {table} {set}\n"));
    let removed_sets: Vec<String> = before.sets.into_iter().filter(|set| !kept(set)).collect();
    let mut transaction = text.to_owned();
    for set in &removed_sets {
        let _ = writeln!(transaction, "delete set inet {table} {set}");
    }
    let mut refused = before.refused;
    if !dry {
        namespace.nft(&[], &transaction)?;
        refused = namespace.there(table)?.refused;
    }
    Ok(Applied {
        image: image.to_owned(),
        namespace: namespace.name.clone(),
        table: table.to_owned(),
        replaced: !own.is_empty(),
        done: !dry,
        refused_in: refused[0],
        refused_out: refused[1],
        removed_sets,
        others,
        transaction,
    })
}

/// Takes all policies out of a namespace, with what they counted, in one transaction. The names of their tables.
///
/// # Errors
/// What nsenter or nft said.
pub fn remove(namespace: &Namespace, dry: bool) -> Result<Vec<String>> {
    let tables = namespace.tables()?;
    let script: String = tables.iter().map(|table| format!("delete table inet {table}\n")).collect();
    if !dry && !tables.is_empty() {
        namespace.nft(&[], &script)?;
    }
    Ok(tables)
}

impl Applied {
    /// For people.
    pub fn render(&self) -> String {
        let how = match (self.replaced, self.done) {
            (true, true) => "took the place of the one that was there",
            (false, true) => "applied; there was none before",
            (true, false) => "would take the place of the one that is there",
            (false, false) => "would be applied; there is none",
        };
        let mut text = format!("{}: {how}\n", clean(&self.image));
        let _ = writeln!(text, "  table inet {} in {}", self.table, clean(&self.namespace));
        let _ = writeln!(text, "  packets refused so far: {} in, {} out", self.refused_in, self.refused_out);
        if !self.removed_sets.is_empty() {
            let _ = writeln!(text, "  sets without use, removed: {}", self.removed_sets.join(", "));
        }
        for other in &self.others {
            let _ = writeln!(text, "  also there: {other}; what either refuses is refused");
        }
        text
    }
}

/// Of `nft -j list tables`.
fn tables(listed: &Value) -> Vec<String> {
    let names = objects(listed, "table").filter_map(|table| table["name"].as_str());
    names.filter(|name| name.starts_with(OURS)).map(str::to_owned).collect()
}

/// Of `nft -j list table`.
fn there(listed: &Value) -> There {
    let sets = objects(listed, "set").filter_map(|set| set["name"].as_str()).filter(|name| is_addresses(name));
    let refused = COUNTERS.map(|name| {
        let of = objects(listed, "counter").find(|counter| counter["name"] == name);
        of.and_then(|counter| counter["packets"].as_u64()).unwrap_or_default()
    });
    There { sets: sets.map(str::to_owned).collect(), refused }
}

fn objects<'a>(listed: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    listed["nftables"].as_array().into_iter().flatten().filter_map(move |each| each.get(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaces_of_others_are_entered() {
        let why = |found: Result<Namespace>| found.unwrap_err().to_string();
        assert!(why(Namespace::of_process(std::process::id())).contains("the machine's own"));
        assert!(why(Namespace::named(Path::new("/proc/self/ns/uts"))).contains("no network namespace"));
        assert!(why(Namespace::named(Path::new("/dev/null"))).contains("no network namespace"));
        assert!(why(Namespace::named(Path::new("no-such-name"))).contains("/run/netns/no-such-name"));
    }

    /// As nft 1.0.6 prints it.
    #[test]
    fn what_is_there_is_read() {
        let listed = json!({"nftables": [
            {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
            {"table": {"family": "inet", "name": "retroscope_app", "handle": 2}},
            {"table": {"family": "inet", "name": "other", "handle": 3}},
            {"counter": {"family": "inet", "name": "refused_out", "table": "retroscope_app", "packets": 7, "bytes": 420}},
            {"set": {"family": "inet", "name": "v4_peer", "table": "retroscope_app", "type": "ipv4_addr"}},
            {"set": {"family": "inet", "name": "refused_out4", "table": "retroscope_app"}},
        ]});
        assert_eq!(tables(&listed), ["retroscope_app"]);
        assert_eq!(there(&listed), There { sets: vec!["v4_peer".to_owned()], refused: [0, 7] });
    }
}
