//! `datasets info`

use std::fmt::Write as _;

use datasets::{Address, Container, Derived, Manifest, Moment, Recording, Recovered, Scenario};
use record_bpf::Class;
use serde::Serialize;

use super::Format;
use super::text::{bytes, count, seconds, table, wrapped};

const EXAMPLES: &str = "Examples:\n  \
    datasets info xmrig                            a recording that ships\n  \
    datasets info ./rec --format json | jq .classes";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directory of a recording, or the name of a shipped one
    #[arg(value_name = "PATH|NAME")]
    recording: String,
    /// What goes to stdout
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// What the manifest and the container table say, summed up.
#[derive(Serialize)]
struct Info<'a> {
    path: String,
    state: datasets::State,
    recorder: &'a datasets::Recorder,
    kernel: &'a datasets::Kernel,
    filter: &'a [String],
    started: &'a Moment,
    ended: Option<&'a Moment>,
    /// From start to end, or to the last event; s.
    duration_s: f64,
    rows: u64,
    bytes: u64,
    events_per_s: f64,
    classes: Vec<ClassInfo>,
    containers: Vec<ContainerInfo>,
    /// Who held which address when.
    addresses: Vec<AddressInfo>,
    /// What it was made from, if it was made from other recordings.
    #[serde(skip_serializing_if = "Option::is_none")]
    derived: Option<&'a Derived>,
    scenario: Option<&'a Scenario>,
    labels: u64,
}

#[derive(Serialize)]
struct ClassInfo {
    class: &'static str,
    segments: u64,
    rows: u64,
    bytes: u64,
    bytes_per_event: Option<f64>,
    events_per_s: f64,
    first: Option<Moment>,
    last: Option<Moment>,
    /// `None`: the recorder did not finish, so nobody knows.
    dropped: Option<u64>,
    filtered: Option<u64>,
    sampled_out: Option<u64>,
    known: Option<u64>,
}

#[derive(Serialize)]
struct ContainerInfo {
    id: String,
    name: Option<String>,
    image: Option<String>,
    addresses: Vec<String>,
    aliases: Vec<String>,
    runtime: Option<String>,
    image_id: Option<String>,
    image_digest: Option<String>,
    pod: Option<String>,
    namespace: Option<String>,
    pod_uid: Option<String>,
    /// A JSON object.
    labels: Option<String>,
    /// Where its identity comes from; `unresolved`: nowhere. `None`: a recording before schema 1.2.
    identity: Option<String>,
}

#[derive(Serialize)]
struct AddressInfo {
    address: String,
    container: String,
    net_ns: Option<u32>,
    since: Moment,
    /// `None`: to the end.
    until: Option<Moment>,
}

pub fn run(args: &Args) -> anyhow::Result<String> {
    let recording = Recording::find(&args.recording)?;
    let info = gather(&recording)?;
    Ok(match args.format {
        Format::Json => serde_json::to_string_pretty(&info)? + "\n",
        Format::Table => render(&info, recording.manifest()),
    })
}

fn gather(recording: &Recording) -> datasets::Result<Info<'_>> {
    let manifest = recording.manifest();
    let end = manifest.ended.as_ref().map(|ended| ended.ns);
    let end = end.or_else(|| manifest.segments.iter().map(|segment| segment.last_ts).max());
    let duration_s = end.map_or(0.0, |end| end.saturating_sub(manifest.started.ns) as f64 / 1e9);
    let per_second = |rows: u64| if duration_s > 0.0 { rows as f64 / duration_s } else { 0.0 };
    let classes = Class::ALL
        .into_iter()
        .filter(|class| manifest.classes.iter().any(|name| name == class.name()))
        .map(|class| {
            let of = || manifest.class_segments(class);
            let sum = |what: fn(&datasets::Segment) -> u64| of().map(what).fold(0, u64::saturating_add);
            let (rows, bytes) = (sum(|segment| segment.rows), sum(|segment| segment.bytes));
            let lost = |what: fn(&datasets::ClassAccount) -> u64| {
                let cpus = manifest.accounting.as_ref().map(|accounting| &accounting.cpus)?;
                let counts = cpus.iter().filter_map(|cpu| cpu.classes.get(class.name())).map(what);
                Some(counts.fold(0, u64::saturating_add))
            };
            ClassInfo {
                class: class.name(),
                segments: of().count() as u64,
                rows,
                bytes,
                bytes_per_event: (rows > 0).then(|| bytes as f64 / rows as f64),
                events_per_s: per_second(rows),
                first: of().map(|s| s.first_ts).min().map(Moment::from_ns),
                last: of().map(|s| s.last_ts).max().map(Moment::from_ns),
                dropped: lost(|account| account.dropped.total()),
                filtered: lost(|account| account.filtered),
                sampled_out: lost(|account| account.sampled_out),
                known: lost(|account| account.known),
            }
        })
        .collect();
    let container = |container: Container| ContainerInfo {
        id: container.id.to_string(),
        name: container.name,
        image: container.image,
        addresses: container.addresses,
        aliases: container.aliases,
        runtime: container.runtime,
        image_id: container.image_id,
        image_digest: container.image_digest,
        pod: container.pod,
        namespace: container.namespace,
        pod_uid: container.pod_uid,
        labels: container.labels,
        identity: container.identity,
    };
    let address = |row: Address| AddressInfo {
        address: row.address,
        container: row.container.to_string(),
        net_ns: row.net_ns,
        since: Moment::from_ns(row.since),
        until: row.until.map(Moment::from_ns),
    };
    Ok(Info {
        path: recording.dir().display().to_string(),
        state: manifest.state,
        recorder: &manifest.recorder,
        kernel: &manifest.kernel,
        filter: &manifest.filter,
        started: &manifest.started,
        ended: manifest.ended.as_ref(),
        duration_s,
        rows: manifest.rows(),
        bytes: manifest.bytes(),
        events_per_s: per_second(manifest.rows()),
        classes,
        containers: recording.containers()?.into_iter().map(container).collect(),
        addresses: recording.addresses()?.into_iter().map(address).collect(),
        derived: manifest.derived.as_ref(),
        scenario: manifest.scenario.as_ref(),
        labels: manifest.table("labels.parquet").map_or(0, |table| table.rows),
    })
}

fn render(info: &Info<'_>, manifest: &Manifest) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}", info.path);
    let state = match info.state {
        datasets::State::Complete => "complete".to_owned(),
        datasets::State::Recovered => manifest.recovered.as_ref().map_or("recovered".to_owned(), Recovered::unknown),
        datasets::State::Recording => {
            "unfinished: still being recorded, or the recorder was killed (then: datasets recover DIR)".to_owned()
        }
    };
    let ended = info.ended.map_or("?", |ended| &ended.utc);
    let lines = [
        ("state", state),
        ("time", format!("{} to {ended} ({})", info.started.utc, seconds(info.duration_s))),
        ("recorder", format!("{} {}", info.recorder.name, info.recorder.version)),
        ("kernel", format!("{} {}", info.kernel.release, info.kernel.machine)),
        ("filter", if info.filter.is_empty() { "none".to_owned() } else { info.filter.join("; ") }),
        ("events", format!("{} ({:.0}/s), {}", count(info.rows), info.events_per_s, bytes(info.bytes))),
    ];
    let derived = info.derived.map(|derived| ("made as", wrapped(&derived.to_string(), 12)));
    for (name, value) in lines.into_iter().chain(derived) {
        let _ = writeln!(out, "  {name:<10}{value}");
    }
    let unknown = |n: Option<u64>| n.map_or("unknown".to_owned(), count);
    // Off unless asked for: shown where there is something to show.
    type Count = fn(&ClassInfo) -> Option<u64>;
    let thinned: [(&str, Count); 2] = [("sampled out", |c| c.sampled_out), ("known", |c| c.known)];
    let thinned: Vec<_> =
        thinned.into_iter().filter(|(_, of)| info.classes.iter().any(|c| of(c).is_some_and(|n| n > 0))).collect();
    let rows: Vec<Vec<String>> = info
        .classes
        .iter()
        .map(|class| {
            let row = [
                class.class.to_owned(),
                count(class.rows),
                format!("{:.1}", class.events_per_s),
                class.segments.to_string(),
                bytes(class.bytes),
                class.bytes_per_event.map_or(String::new(), |b| format!("{b:.1}")),
                unknown(class.dropped),
                unknown(class.filtered),
            ];
            row.into_iter().chain(thinned.iter().map(|(_, of)| unknown(of(class)))).collect()
        })
        .collect();
    let header = ["class", "events", "events/s", "segments", "size", "bytes/event", "dropped", "filtered"];
    let header: Vec<&str> = header.into_iter().chain(thinned.iter().map(|(name, _)| *name)).collect();
    let right: Vec<usize> = (1..header.len()).collect();
    let _ = write!(out, "\n{}", table(&header, &rows, &right));
    let failures = manifest.accounting.iter().flat_map(|accounting| &accounting.failures).filter(|(_, n)| **n > 0);
    for (name, n) in failures {
        let _ = writeln!(out, "  {name}: {}", count(*n));
    }
    containers(&mut out, info);
    if let Some(scenario) = info.scenario {
        steps(&mut out, info, scenario);
    }
    out
}

fn containers(out: &mut String, info: &Info<'_>) {
    let resolved = |container: &ContainerInfo| match container.identity.as_deref() {
        Some("unresolved") => "(unresolved)".to_owned(),
        _ => container.name.clone().unwrap_or_default(),
    };
    let pod = |container: &ContainerInfo| {
        let parts = [&container.namespace, &container.pod];
        parts.into_iter().flatten().cloned().collect::<Vec<_>>().join("/")
    };
    let rows: Vec<Vec<String>> = info
        .containers
        .iter()
        .map(|container| {
            vec![
                resolved(container),
                container.id.chars().take(12).collect(),
                container.runtime.clone().unwrap_or_default(),
                pod(container),
                container.image.clone().unwrap_or_default(),
                container.addresses.join(" "),
                container.aliases.join(" "),
            ]
        })
        .collect();
    let header = ["container", "id", "runtime", "pod", "image", "addresses", "aliases"];
    let _ = write!(out, "\n{}", table(&header, &rows, &[]));
    handed_on(out, info);
}

/// The addresses that more than one container held; each one's own are in the table of containers.
fn handed_on(out: &mut String, info: &Info<'_>) {
    let others =
        |row: &AddressInfo| info.addresses.iter().any(|o| o.address == row.address && o.container != row.container);
    let since = |moment: &Moment| format!("{:+.1} s", moment.ns.saturating_sub(info.started.ns) as f64 / 1e9);
    let name = |id: &str| {
        let known = info.containers.iter().find(|container| container.id == id);
        known.and_then(|container| container.name.clone()).unwrap_or_else(|| id.chars().take(12).collect())
    };
    let mut rows: Vec<&AddressInfo> = info.addresses.iter().filter(|row| others(row)).collect();
    if rows.is_empty() {
        return;
    }
    rows.sort_by(|a, b| (&a.address, a.since.ns).cmp(&(&b.address, b.since.ns)));
    let end = |row: &AddressInfo| row.until.as_ref().map_or("the end".to_owned(), since);
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| vec![row.address.clone(), name(&row.container), since(&row.since), end(row)]).collect();
    let _ = write!(out, "\n{}", table(&["address handed on", "container", "from", "to"], &rows, &[2, 3]));
}

fn steps(out: &mut String, info: &Info<'_>, scenario: &Scenario) {
    let _ = writeln!(out, "\n  Scenario {} (seed {}): {}", scenario.name, scenario.seed, scenario.description);
    if scenario.steps.is_empty() {
        return;
    }
    let since = |ns: i64| format!("{:+.1} s", ns.saturating_sub(info.started.ns) as f64 / 1e9);
    let rows: Vec<Vec<String>> = scenario
        .steps
        .iter()
        .map(|step| {
            vec![
                step.act.clone(),
                step.step.clone(),
                step.technique.clone(),
                since(step.start_ns),
                since(step.end_ns),
                step.container.clone().unwrap_or_default(),
                step.description.clone(),
            ]
        })
        .collect();
    let header = ["act", "step", "technique", "from", "to", "container", "what"];
    let _ = write!(out, "{}", table(&header, &rows, &[3, 4]));
    let _ = writeln!(out, "  {} labelled events", count(info.labels));
}
