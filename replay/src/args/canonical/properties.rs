//! What must never be masked, on random command lines: two that differ in a risk alone have different canonical forms.

use std::net::{IpAddr, Ipv4Addr};

use super::Canonical;
use crate::args::address::AddressClass;

const ROUNDS: usize = 400;

/// xorshift64*; the same draws in each run.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn text(&mut self, alphabet: &str, length: usize) -> String {
        let letters: Vec<char> = alphabet.chars().collect();
        (0..length).map(|_| letters[self.below(letters.len())]).collect()
    }

    fn word(&mut self) -> String {
        let length = 1 + self.below(9);
        self.text("abcxyz019._-", length)
    }
}

/// The canonical forms of a template with one and with the other put in for `{}`; a template is argv, one word a line.
fn forms(template: &str, one: &str, other: &str) -> (Canonical, Canonical) {
    let form = |value: &str| {
        let argv: Vec<String> = template.split(' ').map(|word| word.replace("{}", value).replace('·', " ")).collect();
        Canonical::new(&argv[0], &argv, false)
    };
    (form(one), form(other))
}

fn never_the_same(template: &str, one: &str, other: &str) {
    let (a, b) = forms(template, one, other);
    assert_ne!(a, b, "{one:?} and {other:?} look the same in {template:?}: {}", a.text());
}

/// Places of a value: an operand, behind a key, in a shell string, in quotes.
const PLACES: &[&str] =
    &["app {}", "app --to {}", "app --to={}", "app key={}", "sh -c run·{}", "sh -c run·'{}'·now", "sh -c a|b·--x={}"];

#[test]
fn the_class_of_a_destination_shows() {
    let mut draws = Draws(1);
    let around = [
        "{}",
        "{}:8080",
        "http://{}/x",
        "https://u:p@{}:8443/x?a=1",
        "ops@{}:/srv/x",
        "{}:/srv/x",
        "a,{}",
        "tcp:{}:80",
        "rsync://{}/m",
    ];
    for _ in 0..ROUNDS {
        let mut address = || {
            IpAddr::V4(Ipv4Addr::from_bits(match draws.below(4) {
                0 => 0x7f00_0000 | draws.next() as u32 & 0xff_ffff,
                1 => 0x0a00_0000 | draws.next() as u32 & 0xff_ffff,
                2 => 0xc0a8_0000 | draws.next() as u32 & 0xffff,
                _ => draws.next() as u32,
            }))
        };
        let (one, other) = (address(), address());
        if AddressClass::of(one) == AddressClass::of(other) {
            continue;
        }
        let (place, around) = (draws.pick(PLACES), draws.pick(&around));
        let put = |address: IpAddr| around.replace("{}", &address.to_string());
        never_the_same(place, &put(one), &put(other));
    }
}

#[test]
fn modes_ids_and_signals_show() {
    let mut draws = Draws(2);
    let places = [
        "chmod {} f",
        "chmod -R {} /srv",
        "install -m {} a b",
        "sh -c chmod·{}·f",
        "find / -perm -{}",
        "app --mode={}",
        "app --umask {}",
    ];
    let ids = [
        "chown {} f",
        "chown {}:{} f",
        "setpriv --reuid {} x",
        "app --uid={}",
        "app -u {}",
        "sh -c su·-u·{}",
        "useradd -u {} n",
        "app user={}",
        "find / -uid {}",
    ];
    for _ in 0..ROUNDS {
        let mut mode = || format!("{:04o}", draws.below(0o10000));
        let (one, other) = (mode(), mode());
        if one != other {
            never_the_same(draws.pick(&places), &one, &other);
        }
        let (one, other) = (draws.below(70_000), draws.below(70_000));
        if one != other {
            never_the_same(draws.pick(&ids), &one.to_string(), &other.to_string());
        }
        let (one, other) = (draws.below(65), draws.below(65));
        if one != other {
            never_the_same("kill -{} 4312", &one.to_string(), &other.to_string());
        }
        let process = 2 + draws.below(4_000_000);
        for special in ["0", "1", "-1"] {
            never_the_same("kill -TERM {}", &process.to_string(), special);
        }
    }
}

#[test]
fn names_in_sensitive_directories_show() {
    let mut draws = Draws(3);
    let directories = [
        "/etc",
        "/etc/cron.d",
        "/root",
        "/root/.ssh",
        "/home/app",
        "/boot",
        "/dev",
        "/usr/bin",
        "/run/secrets",
        "/var/spool/cron",
        "/srv/x/.ssh",
        "/srv/x/.aws",
    ];
    let around = ["{}", "@{}", "host:{}", "ops@10.0.0.1:{}", "{}:/data", "file://{}", "-o{}", "{\"f\":\"{}\"}"];
    for _ in 0..ROUNDS {
        let (one, other) = (draws.word(), draws.word());
        if one == other || [&one, &other].iter().any(|name| matches!(name.as_str(), "." | "..")) {
            continue;
        }
        let (directory, around, place) = (draws.pick(&directories), draws.pick(&around), draws.pick(PLACES));
        let put = |name: &str| around.replace("{}", &format!("{directory}/{name}"));
        never_the_same(place, &put(&one), &put(&other));
    }
}

#[test]
fn operators_and_quotes_show() {
    let mut draws = Draws(4);
    let operators = ["|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "|&", "·"];
    for _ in 0..ROUNDS {
        let (left, right) = (draws.word(), draws.word());
        let (one, other) = (draws.pick(&operators), draws.pick(&operators));
        if one != other {
            never_the_same(&format!("sh -c {left}·{{}}·{right}"), one, other);
        }
        let quoted = format!("'{left}·{one}·{right}'");
        never_the_same("sh -c echo·{}", &quoted, quoted.trim_matches('\''));
        never_the_same("sh -c echo·{}", &quoted, &quoted.replace('\'', "\""));
    }
}

#[test]
fn boundaries_of_argv_show() {
    let mut draws = Draws(5);
    for _ in 0..ROUNDS {
        let (count, at) = (2 + draws.below(4), draws.below(2));
        let words: Vec<String> = (0..count).map(|_| draws.word()).collect();
        let mut joined = words.clone();
        let next = joined.remove(at + 1 - at.min(count - 2).abs_diff(at));
        let into = at.min(joined.len() - 1);
        let glue = draws.pick(&[" ", "\u{1f}", "", "<us>"]);
        joined[into] = format!("{}{glue}{next}", joined[into]);
        let form = |words: &[String]| {
            let argv: Vec<&str> = std::iter::once("app").chain(words.iter().map(String::as_str)).collect();
            Canonical::new("app", &argv, false)
        };
        assert_ne!(form(&words), form(&joined), "{words:?} and {joined:?}");
    }
}

#[test]
fn encoded_data_shows_and_what_is_typed_is_no_mask() {
    let mut draws = Draws(6);
    let alphabets = ["ABCDEFGHabcdefghijklmnop0123456789+", "0123456789abcdef"];
    for round in 0..ROUNDS {
        let alphabet = alphabets[round % 2];
        let length = if round % 2 == 0 { 60 } else { 66 } + draws.below(26);
        let (one, other) = (draws.text(alphabet, length), draws.text(alphabet, length));
        never_the_same(draws.pick(PLACES), &one, &other);
        let mask =
            draws.pick(&["<num>", "<hex>", "<pid>", "<ip:private>", "<tmp>", "<time>", "<uuid>", "<lt>", "<none>"]);
        for value in ["5", "0x1f", "10.0.0.1", "tmpk3_x9a1b", "2025-01-31"] {
            never_the_same(draws.pick(&PLACES[..4]), mask, value);
        }
    }
}

#[test]
fn letter_case_shows() {
    let mut draws = Draws(7);
    for _ in 0..ROUNDS {
        // Without digits: the letters of a hex number may be of either case.
        let word = draws.text("ghxyz._-", 6);
        if word != word.to_uppercase() {
            never_the_same(draws.pick(PLACES), &word, &word.to_uppercase());
        }
    }
}
