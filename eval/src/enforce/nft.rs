//! An exported ruleset in a container's own network namespace, asked what it refused.

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use replay::policy::apply::Namespace;
use replay::policy::nftables::{REFUSED, REMEMBERED};

/// Packets that were refused, of one peer, protocol and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packets {
    pub inwards: bool,
    pub peer: IpAddr,
    pub protocol: String,
    /// The service's: the peer's of what went out, one's own of what came in. 0: the protocol has none.
    pub port: u16,
    pub packets: u64,
    /// Unix time of the first, ns.
    pub first_ns: i64,
    /// Of the policy, that refused them.
    pub rule: &'static str,
}

/// What a table refused since the last call, and makes it forget that. What is refused between the two, some milliseconds, is lost.
///
/// # Errors
/// What nsenter or nft said.
pub fn take_refused(namespace: &Namespace, table: &str) -> replay::error::Result<Vec<Packets>> {
    // As text, which has milliseconds where JSON has seconds; and all of it, for nft 1.0.6 finds only the last of several sets.
    let text = namespace.nft(&[], &format!("list table inet {table}\n"))?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Not in the same script: nft would list the sets as they are after it.
    namespace.nft(&[], &REFUSED.map(|set| format!("flush set inet {table} {set}\n")).concat())?;
    Ok(parse(&text, i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)))
}

/// `now`: Unix time at which the text was made, ns. An element's place in time is what is left of its [`REMEMBERED`] seconds.
fn parse(text: &str, now: i64) -> Vec<Packets> {
    let mut found = Vec::new();
    let mut inwards = None;
    for line in text.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("set ") {
            inwards = Some(name.starts_with("refused_in"));
            continue;
        }
        let line = line.strip_prefix("elements = {").unwrap_or(line).trim().trim_end_matches(['}', ',', ' ']);
        for element in line.split(", ") {
            found.extend(inwards.and_then(|inwards| packets(element, inwards, now)));
        }
    }
    found
}

/// `10.9.0.3 . udp . 53 counter packets 3 bytes 87 expires 23h59m59s672ms`
fn packets(element: &str, inwards: bool, now: i64) -> Option<Packets> {
    let words: Vec<&str> = element.split_whitespace().collect();
    let [peer, ".", protocol, ".", port, "counter", "packets", packets, "bytes", _, "expires", left] = words[..] else {
        return None;
    };
    let left = humantime::parse_duration(left).ok()?;
    let ago = i64::try_from((u128::from(REMEMBERED) * 1_000_000_000).saturating_sub(left.as_nanos())).ok()?;
    Some(Packets {
        inwards,
        peer: peer.parse().ok()?,
        protocol: protocol.to_owned(),
        port: port.parse().ok()?,
        packets: packets.parse().ok()?,
        first_ns: now - ago,
        rule: if inwards { "chain input: counter, policy drop" } else { "chain output: counter reject" },
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    use replay::policy::{Options, allowed::Allowed, nftables};
    use replay::profile::store::Entry;

    use super::*;

    const NAMESPACE: &str = "retroscope-test-refused";

    fn ip(words: &str) -> bool {
        let run = Command::new("ip").args(words.split(' ')).stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    }

    #[test]
    fn what_was_refused_is_taken_once() {
        // SAFETY: geteuid() has no preconditions.
        if unsafe { libc::geteuid() } != 0 || Command::new("nft").arg("--version").output().is_err() {
            eprintln!("\n*** SKIPPED what a ruleset refused: needs root and nft ***\n");
            return;
        }
        ip(&format!("netns del {NAMESPACE}"));
        assert!(ip(&format!("netns add {NAMESPACE}")));
        let made = ip(&format!("-n {NAMESPACE} link add rtr0 type veth peer name rtr1"))
            && ip(&format!("-n {NAMESPACE} addr add 10.213.8.1/24 dev rtr0"))
            && ip(&format!("-n {NAMESPACE} link set rtr0 up"));
        let found = made.then(|| {
            let config = replay::config::load(None, &[]).unwrap();
            let (image, entry) = (Arc::from("localhost/app:1"), Entry::default());
            let options = Options {
                config: &config,
                label: String::new(),
                enforce: true,
                addresses: [].into(),
                interface: String::new(),
            };
            let text = nftables::write(&Allowed::new(&image, &entry), &options).text;
            let (namespace, table) = (Namespace::named(NAMESPACE.as_ref()).unwrap(), nftables::table(&image));
            namespace.nft(&[], &text).unwrap();
            let send = "echo a > /dev/udp/10.213.8.2/9; echo b > /dev/udp/10.213.8.2/9; echo c > /dev/udp/10.213.8.3/9";
            let _ = Command::new("ip").args(["netns", "exec", NAMESPACE, "bash", "-c", send]).output();
            [take_refused(&namespace, &table).unwrap(), take_refused(&namespace, &table).unwrap()]
        });
        assert!(ip(&format!("netns del {NAMESPACE}")));
        let [first, again] = found.unwrap();
        let mut seen: Vec<_> = first.iter().map(|each| (each.peer.to_string(), each.port, each.packets)).collect();
        seen.sort();
        assert_eq!(seen, [("10.213.8.2".to_owned(), 9, 2), ("10.213.8.3".to_owned(), 9, 1)]);
        assert!(first.iter().all(|each| !each.inwards && each.protocol == "udp") && again.is_empty(), "{again:?}");
    }

    /// As nft 1.0.6 prints it.
    #[test]
    fn elements_are_read_with_their_time() {
        let text = "table inet t {\n\tset refused_out4 {\n\t\ttype ipv4_addr . inet_proto . inet_service\n\t\tsize 65535\n\
            \t\tflags dynamic,timeout\n\t\ttimeout 1d\n\t\telements = { 10.9.0.3 . udp . 53 counter packets 3 bytes 87 \
            expires 23h59m59s672ms,\n\t\t\t     10.9.0.2 . tcp . 443 counter packets 1 bytes 60 expires 23h59m }\n\t}\n}\n\
            table inet t {\n\tset refused_in4 {\n\t\telements = { 10.9.0.9 . tcp . 22 counter packets 2 bytes 60 expires 1d }\n";
        let found = parse(text, 1_000_000_000_000);
        let seen: Vec<_> = found.iter().map(|each| (each.inwards, each.port, each.packets, each.first_ns)).collect();
        let out = [(false, 53, 3, 999_672_000_000), (false, 443, 1, 940_000_000_000)];
        assert_eq!(seen, [out[0], out[1], (true, 22, 2, 1_000_000_000_000)]);
        assert_eq!(found[0].peer, "10.9.0.3".parse::<IpAddr>().unwrap());
        assert!(parse("", 0).is_empty());
    }
}
