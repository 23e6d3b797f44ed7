//! A policy that is replaced while packets flow.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::box_and_host::{BOX, Enforcer, HOST, KNOWN, LATER, Pair, STRANGER, VETH};
use crate::box_and_host::{drain, file, policy, rule, udp, write};

/// Sends one datagram after the other until it is over; how many.
fn stream(to: &str, over: &Arc<AtomicBool>) -> JoinHandle<usize> {
    let (sender, over) = (udp(BOX, "0.0.0.0:0"), Arc::clone(over));
    sender.connect(format!("{to}:9")).unwrap();
    std::thread::spawn(move || {
        let mut sent = 0;
        while !over.load(Ordering::Relaxed) {
            sender.send(&[7; 16]).unwrap();
            sent += 1;
            std::thread::sleep(Duration::from_micros(100));
        }
        sent
    })
}

fn counting(receiver: UdpSocket) -> JoinHandle<usize> {
    std::thread::spawn(move || drain(&receiver))
}

#[test]
fn a_policy_is_replaced_without_a_gap() {
    let Some(_pair) = Pair::new("a_policy_is_replaced_without_a_gap") else { return };
    let dir = tempfile::tempdir().unwrap();
    let first = policy(&[rule(&["10.213.8.1/32"], "udp", 9, 9)], &[]);
    let second = policy(&[rule(&["10.213.8.0/31", "10.213.8.4/32"], "udp", 1, 9)], &[]);
    let path = file(&dir, &first);
    let mut enforcer = Enforcer::start(&path, &["--interval", "20ms"]);
    let receivers = [KNOWN, STRANGER].map(|address| counting(udp(HOST, &format!("{address}:9"))));
    let over = Arc::new(AtomicBool::new(false));
    let streams = [KNOWN, STRANGER].map(|address| stream(address, &over));
    let later = udp(HOST, &format!("{LATER}:9"));
    let asker = udp(BOX, "0.0.0.0:0");
    let (mut times, mut reached) = (Vec::new(), [0; 2]);
    for round in 0..30 {
        let by_second = round % 2 == 0;
        write(&path, if by_second { &second } else { &first });
        let begun = Instant::now();
        enforcer.signal("-HUP");
        let said = enforcer.wait_for("policy");
        times.push(begun.elapsed());
        assert_eq!(said["entries"].as_u64() > Some(3), by_second, "{said}");
        asker.send_to(b"x", format!("{LATER}:9")).unwrap();
        reached[usize::from(by_second)] += usize::from(later.recv(&mut [0; 8]).is_ok());
    }
    // One that cannot be read changes nothing.
    write(&path, "{ \"version\": 1, ");
    enforcer.signal("-HUP");
    let error = enforcer.wait_for("policy_refused")["error"].as_str().unwrap().to_owned();
    assert!(error.contains("policy.json") && error.contains("line 1"), "{error}");
    std::thread::sleep(Duration::from_millis(100));
    over.store(true, Ordering::Relaxed);
    let sent = streams.map(|stream| stream.join().unwrap());
    let got = receivers.map(|receiver| receiver.join().unwrap());
    let refused = enforcer.until(sent[1] as u64, STRANGER, "udp", Some(9), "unknown");
    let (ended, _) = enforcer.end();
    let dropped = ended["totals"]["unknown"]["packets"].as_u64();
    times.sort();
    eprintln!(
        "30 replacements, {:?} each (median): {} of {} datagrams to who is known arrived, {} of {} to who is not, {refused} \
         refused and counted",
        times[15], got[0], sent[0], got[1], sent[1]
    );
    assert!(sent.iter().all(|sent| *sent > 500), "{sent:?}");
    assert_eq!((got[0], got[1], refused), (sent[0], 0, sent[1] as u64), "{dropped:?} dropped in all");
    assert_eq!(reached, [0, 15]);
}

#[test]
fn it_ends_with_the_interface() {
    let Some(_pair) = Pair::new("it_ends_with_the_interface") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut enforcer = Enforcer::start(&file(&dir, &policy(&[], &[])), &["--interval", "20ms"]);
    assert!(Command::new("ip").args(["-n", HOST, "link", "del", VETH]).status().unwrap().success());
    enforcer.wait_for("interface_gone");
    enforcer.wait_for("ended");
    assert!(enforcer.wait().success());
}
