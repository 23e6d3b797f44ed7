//! Taking paths, arguments and other texts apart.

use std::net::IpAddr;
use std::sync::Arc;

use super::known::{is_id, is_known, is_suffix, is_tld};
use super::names::{Kind, Names};

/// Directories whose files come with the system, a package or the kernel: below them names are kept.
const SYSTEM: [&str; 13] = [
    "/bin/",
    "/sbin/",
    "/lib/",
    "/lib32/",
    "/lib64/",
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/lib/",
    "/usr/lib64/",
    "/usr/libexec/",
    "/usr/include/",
    "/proc/",
    "/sys/",
];

/// As [`SYSTEM`], but for what is below the second: files that programs make, and sites that are served.
const SHARED: [(&str, &str); 2] = [("/dev/", "/dev/shm/"), ("/usr/share/", "/usr/share/nginx/")];

/// Texts remembered, of each the pseudonym.
const REMEMBERED: usize = 1 << 16;

impl Names {
    /// The pseudonym of a text, made once while it is remembered.
    pub(super) fn shared(&mut self, kind: Kind, text: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.texts.get(&(kind, text.clone())) {
            return known.clone();
        }
        let made: Arc<str> = match kind {
            Kind::Path => self.path(text),
            Kind::Text => self.text(text),
            Kind::Domain => self.domain(text),
            Kind::Id => self.container(text),
        }
        .into();
        if self.texts.len() >= REMEMBERED {
            self.texts.clear();
        }
        self.texts.insert((kind, text.clone()), made.clone());
        made
    }

    /// An absolute path, the name of an abstract socket (`@name`), or what is in a path's place, as `pipe:[123]`.
    pub(super) fn path(&mut self, path: &str) -> String {
        if !path.starts_with('/') {
            return self.text(path);
        }
        // "/usr/lib/x (deleted)" is one name and a mark.
        let (path, mark) = match path.strip_suffix(" (deleted)") {
            Some(path) => (path, " (deleted)"),
            None => (path, ""),
        };
        let system = SYSTEM.iter().any(|dir| path.starts_with(dir));
        let shared = SHARED.iter().any(|(dir, but)| path.starts_with(dir) && !path.starts_with(but));
        let one = |name: &str| {
            if !(system || shared) {
                return self.file_name(name);
            }
            match name {
                id if is_id(id) => self.id(id),
                own if self.own.contains(own) => self.part(own),
                kept => kept.to_owned(),
            }
        };
        let mapped = path.split('/').map(one).collect::<Vec<_>>().join("/");
        mapped + mark
    }

    /// Any other text: an argument, a label's value, a line. Paths, addresses, domains, ids and words in it are replaced each as
    /// what it is; what is between them is kept.
    pub(super) fn text(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = ' ';
        while let Some(c) = rest.chars().next() {
            let end = if rest.starts_with("//") {
                // Of a URL; its host comes next.
                out.push_str("//");
                2
            } else if c == '/' {
                let end = rest.find(|c: char| !is_path(c)).unwrap_or(rest.len());
                let path = &rest[..end];
                // Below a name it is a part of a path, or of a URL.
                let relative = is_word(before) || matches!(before, '~' | '}' | ':');
                out.push_str(&if relative { self.below(path) } else { self.path(path) });
                end
            } else if let Some((end, address)) = ipv6(rest) {
                out.push_str(&self.address(address));
                end
            } else if is_word(c) {
                let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                out.push_str(&self.token(&rest[..end]));
                end
            } else {
                out.push(c);
                c.len_utf8()
            };
            before = rest[..end].chars().next_back().unwrap_or(' ');
            rest = &rest[end..];
        }
        out
    }

    fn below(&self, path: &str) -> String {
        path.split('/').map(|name| self.file_name(name)).collect::<Vec<_>>().join("/")
    }

    /// Letters, digits, dots, dashes and underscores in a row.
    fn token(&mut self, token: &str) -> String {
        let word = token.trim_start_matches('-');
        let dashes = &token[..token.len() - word.len()];
        let dots = &word[word.trim_end_matches(['.', '-']).len()..];
        let word = &word[..word.len() - dots.len()];
        format!("{dashes}{}{dots}", self.bare(dashes, word))
    }

    fn bare(&mut self, dashes: &str, word: &str) -> String {
        // -x, -xzf, but not -pPassword.
        let letters = word.len() <= 3 && word.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_known(word) || (dashes == "-" && letters) {
            return word.to_owned();
        }
        if let Ok(address @ IpAddr::V4(_)) = word.parse() {
            return self.address(address);
        }
        let Some((_, last)) = word.rsplit_once('.') else {
            let known = word.split(['-', '_']).all(is_known);
            return if known { word.to_owned() } else { self.part(word) };
        };
        if word.split('.').all(|part| !part.is_empty() && part.len() <= 5 && part.bytes().all(|b| b.is_ascii_digit())) {
            // A version; what is too long for one is not.
            return word.to_owned();
        }
        if is_suffix(last) || word.starts_with('.') {
            return self.file_name(word);
        }
        if is_tld(last) {
            return self.domain(word);
        }
        word.split('.').map(|part| self.part(part)).collect::<Vec<_>>().join(".")
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// What a path goes on with. Names may have anything in them; these end one in a command line.
fn is_path(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && !"'\"`;|&<>(){}[]$,=:?*!^\\#%@".contains(c)
}

/// An IPv6 address at the beginning, and its length.
fn ipv6(text: &str) -> Option<(usize, IpAddr)> {
    let end = text.find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, ':' | '.'))).unwrap_or(text.len());
    let whole = text[..end].trim_end_matches('.');
    // "::1:" in front of a port in no brackets is not told from an address; the longest that parses is taken.
    let address = |text: &str| text.parse().ok().filter(IpAddr::is_ipv6);
    let found = address(whole).map(|ip| (whole.len(), ip));
    found.or_else(|| {
        let cut = whole.trim_end_matches(':');
        address(cut).map(|ip| (cut.len(), ip))
    })
}

#[cfg(test)]
mod tests {
    use super::super::key::Key;
    use super::*;
    use crate::model::Container;

    fn names() -> Names {
        let row = Container { id: "c".repeat(64).into(), name: Some("acme-shop".to_owned()), ..Container::default() };
        Names::new(Key::from_seed("test"), &[row])
    }

    #[test]
    fn what_every_system_has_is_kept() {
        let mut names = names();
        for path in [
            "/usr/lib/x86_64-linux-gnu/libfoo.so.6",
            "/proc/123/status",
            "/etc/passwd",
            "/bin/busybox",
            "/dev/null",
            "/var/log/nginx/access.log",
            "/",
        ] {
            let kept = if path.ends_with("access.log") { "/var/log/nginx/".len() } else { path.len() };
            assert_eq!(names.path(path)[..kept], path[..kept]);
        }
        for text in [
            "sh -c",
            "-rf",
            "chmod 0755",
            "tar -xzf -",
            "sleep 5",
            "grep -r password /etc/shadow",
            "127.0.0.1:8080",
            "v",
            "1.2.3",
        ] {
            assert_eq!(names.text(text), text);
        }
    }

    #[test]
    fn names_are_replaced_wherever_they_stand_and_always_by_the_same() {
        let mut names = names();
        let (acme, alice) = (names.word("acme"), names.word("alice"));
        let shop = names.word("acme-shop");
        for (text, expected) in [
            ("/srv/acme/report.pdf", format!("/srv/{acme}/{}.pdf", names.word("report"))),
            ("/home/alice/.ssh/id_rsa", format!("/home/{alice}/.ssh/id_rsa")),
            ("/usr/share/acme-shop/x", format!("/usr/share/{shop}/x")),
            ("/dev/shm/acme", format!("/dev/shm/{acme}")),
        ] {
            assert_eq!(names.path(text), expected);
        }
        let host = names.domain("db.acme.com");
        assert_eq!(host, format!("db.{acme}.com"));
        for (text, expected) in [
            ("--user=alice", format!("--user={alice}")),
            ("alice@db.acme.com:/srv/acme", format!("{alice}@{host}:/srv/{acme}")),
            ("https://db.acme.com/acme?q=acme", format!("https://{host}/{acme}?q={acme}")),
            ("PATH=/srv/acme:/usr/bin", format!("PATH=/srv/{acme}:/usr/bin")),
            ("acme-shop", shop),
        ] {
            assert_eq!(names.text(text), expected);
        }
    }

    #[test]
    fn addresses_ids_and_long_numbers_are_told_apart() {
        let mut names = names();
        let ip = names.address("203.0.113.7".parse().unwrap());
        assert_ne!(ip, "203.0.113.7");
        assert_eq!(names.text("curl 203.0.113.7:80"), format!("curl {ip}:80"));
        let six = names.address("2001:db8::7".parse().unwrap());
        assert_eq!(names.text("[2001:db8::7]:80 ::1"), format!("[{six}]:80 ::1"));
        let full = names.container(&"c".repeat(64));
        assert_eq!(full.len(), 64);
        assert_eq!(names.text(&"c".repeat(12)), full[..12]);
        assert_eq!(
            names.path(&format!("/machine.slice/libpod-{}.scope", "c".repeat(64))),
            format!("/machine.slice/libpod-{full}.scope")
        );
        let number = names.text("4111111111111111");
        assert!(number.len() == 16 && number != "4111111111111111" && number.bytes().all(|b| b.is_ascii_digit()));
        let octets: Vec<String> = ip.split('.').rev().map(str::to_owned).collect();
        assert_eq!(names.domain("7.113.0.203.in-addr.arpa"), format!("{}.in-addr.arpa", octets.join(".")));
    }

    #[test]
    fn nothing_is_too_odd_to_be_taken_apart() {
        let mut names = names();
        for text in [
            "",
            "/",
            "//",
            "///x//",
            ":",
            "::",
            ":::",
            ".",
            "..",
            "...",
            "-",
            "--",
            "a.",
            ".a",
            "é/ü",
            "\u{0}\u{1b}[31m",
            "x:y:z",
            "1.2.3.4.5",
            "/ (deleted)",
            "@",
            "~/x",
            "\\x41",
        ] {
            let (as_text, as_path, as_domain) = (names.text(text), names.path(text), names.domain(text));
            assert_eq!(names.text(text), as_text);
            assert!(as_path.len() + as_domain.len() < 2000);
        }
    }
}
