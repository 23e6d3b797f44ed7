//! `replay policy apply` under a stream of connections, between two network namespaces of the test's own: whoever is refused by the
//! old policy and the new one is refused in between too, whoever is let through by both is let through, and what was counted stays.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use replay::policy::apply::{Namespace, apply};
use replay::policy::{Options, allowed::Allowed, nftables};
use replay::profile::Profile;

use crate::podman::beside;
use crate::ruleset::{HERE, Pair, THERE, nft_in, within};

const PORT: u16 = 9;
const IMAGE: &str = "probe:1";
/// Let through by both policies, refused by both, and let through by the second.
const ALWAYS: &str = "10.213.7.2";
const NEVER: &str = "10.213.7.3";
const SECOND: &str = "10.213.7.4";

fn connect(to: &str) -> bool {
    let to = SocketAddr::new(to.parse().unwrap(), PORT);
    TcpStream::connect_timeout(&to, Duration::from_secs(5)).is_ok()
}

/// Connects until it is over: attempts, and how many of them were answered.
fn stream(to: &'static str, over: &Arc<AtomicBool>) -> JoinHandle<(u64, u64)> {
    let over = Arc::clone(over);
    within(HERE, move || {
        let (mut attempts, mut answered) = (0, 0);
        while !over.load(Ordering::Relaxed) {
            attempts += 1;
            answered += u64::from(connect(to));
            std::thread::sleep(Duration::from_micros(500));
        }
        (attempts, answered)
    })
}

/// Connections that are taken until it is over, by the address that they were made to.
fn listen(over: &Arc<AtomicBool>) -> JoinHandle<BTreeMap<IpAddr, u64>> {
    let listener = within(THERE, || TcpListener::bind(("0.0.0.0", PORT)).unwrap()).join().unwrap();
    listener.set_nonblocking(true).unwrap();
    let over = Arc::clone(over);
    std::thread::spawn(move || {
        let mut taken = BTreeMap::new();
        loop {
            match listener.accept() {
                Ok((stream, _)) => *taken.entry(stream.local_addr().unwrap().ip()).or_default() += 1,
                Err(_) if over.load(Ordering::Relaxed) => return taken,
                Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        }
    })
}

/// A profile of the image, which connects to containers of these others.
fn profile(peers: &[&str]) -> Profile {
    let mut profile = Profile::default();
    let entry = profile.images.entry(IMAGE.into()).or_default();
    for peer in peers {
        entry.trees.network.insert(&["/app", "connect tcp", &format!("image {peer}"), "9"].map(Arc::from), 50);
    }
    profile
}

fn policy(profile: &Profile, addresses: &[(&str, &str)]) -> String {
    let config = replay::config::load(None, &[]).unwrap();
    let address = |(image, address): &(&str, &str)| (Arc::from(*image), [address.parse().unwrap()].into());
    let addresses = addresses.iter().map(address).collect();
    let options = Options { config: &config, label: String::new(), enforce: true, addresses, interface: String::new() };
    let (image, entry) = profile.images.first_key_value().unwrap();
    nftables::write(&Allowed::new(image, entry), &options).text
}

/// Packets that reached a namespace for an address.
fn arrived() -> u64 {
    let text = nft_in(THERE, "list counter inet watch strays\n");
    text.split("packets ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap()
}

#[test]
fn a_policy_is_swapped_under_traffic_without_a_gap_and_keeps_its_counters() {
    let Some(_pair) = Pair::new() else { return };
    let table = nftables::table(IMAGE);
    let namespace = Namespace::named(HERE.as_ref()).unwrap();
    nft_in(
        THERE,
        &format!(
            "table inet watch {{\n\tcounter strays {{\n\t}}\n\tchain before {{\n\t\ttype filter hook prerouting priority 0;\n\
             \t\tip daddr {NEVER} counter name strays\n\t}}\n}}\n"
        ),
    );
    let first = policy(&profile(&["peer:1"]), &[("peer:1", ALWAYS)]);
    let second = policy(&profile(&["peer:1", "other:1"]), &[("peer:1", ALWAYS), ("other:1", SECOND)]);
    let put = |text: &str| apply(&namespace, IMAGE, &table, text, false).unwrap();
    let looked = apply(&namespace, IMAGE, &table, &first, true).unwrap();
    assert!(!looked.done && !looked.replaced && !put(&first).replaced);

    let over = Arc::new(AtomicBool::new(false));
    let listening = listen(&over);
    let streams = [stream(ALWAYS, &over), stream(NEVER, &over)];
    let (mut refused, mut times, mut reached) = (0, Vec::new(), [0_u64; 2]);
    for round in 0..30 {
        let by_second = round % 2 == 0;
        let begun = Instant::now();
        let applied = put(if by_second { &second } else { &first });
        times.push(begun.elapsed());
        assert!(applied.replaced && applied.others.is_empty(), "{applied:?}");
        assert!(applied.refused_out >= refused, "round {round}: {} after {refused}", applied.refused_out);
        // The set of the image that the first policy does not know goes with the second.
        assert_eq!(applied.removed_sets.len(), if by_second { 0 } else { 2 }, "{applied:?}");
        refused = applied.refused_out;
        reached[usize::from(by_second)] += u64::from(within(HERE, || connect(SECOND)).join().unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
    over.store(true, Ordering::Relaxed);
    let [always, never] = streams.map(|stream| stream.join().unwrap());
    let taken = listening.join().unwrap();
    let last = put(&first);
    times.sort();
    eprintln!(
        "30 swaps, {:?} each (median): {} of {} connections to who is let through; {} of {} to who is not, {} packets of them \
         arrived, {} refused and counted",
        times[15],
        always.1,
        always.0,
        never.1,
        never.0,
        arrived(),
        last.refused_out
    );
    assert!(always.0 > 100 && always.1 == always.0, "{always:?}");
    assert!(never.0 > 100 && never.1 == 0 && arrived() == 0, "{never:?}, {} packets", arrived());
    assert_eq!(taken.get(&NEVER.parse().unwrap()), None);
    assert_eq!(taken.get(&ALWAYS.parse().unwrap()), Some(&always.1));
    assert!(last.refused_out >= never.0, "{} of {}", last.refused_out, never.0);
    assert_eq!(reached, [0, 15]);
    // It is the policy that refuses: the watch sees who gets through.
    command(&["remove", "--netns", HERE]);
    assert!(within(HERE, || connect(NEVER)).join().is_ok() && arrived() > 0);
    the_command_line_does_the_same();
}

fn command(words: &[&str]) -> String {
    let output = Command::new(beside("replay")).arg("policy").args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn the_command_line_does_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("profile.json");
    std::fs::write(&file, profile(&["peer:1"]).to_json()).unwrap();
    let file = file.to_str().unwrap();
    let dry = command(&["apply", file, "--netns", HERE, "--dry-run"]);
    assert!(dry.contains("there is none") && dry.contains("flush table inet"), "{dry}");
    assert_eq!(command(&["remove", "--netns", HERE]), "no policy is there\n");
    let done = command(&["apply", file, "--netns", HERE]);
    assert!(done.contains("applied; there was none before"), "{done}");
    assert!(!within(HERE, || connect(NEVER)).join().unwrap());
    let again: serde_json::Value =
        serde_json::from_str(&command(&["apply", file, "--netns", HERE, "--format", "json"])).unwrap();
    assert!(again["replaced"] == true && again["refused_out"].as_u64() > Some(0), "{again}");
    assert!(command(&["remove", "--netns", HERE]).contains("removed"));
    let own = Command::new(beside("replay"))
        .args(["policy", "apply", file, "--pid", &std::process::id().to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&own.stderr).into_owned();
    assert!(own.status.code() == Some(4) && said.contains("the machine's own") && said.contains("hint"), "{said}");
}
