//! The host's own apt sources, from which images are built: no mirror is named anywhere in this project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::podman::output;

/// What mmdebstrap gets.
pub(crate) struct Sources {
    /// Files with apt sources.
    pub files: Vec<PathBuf>,
    pub options: Vec<String>,
}

/// The host's release, as `bookworm`.
pub(crate) fn suite() -> Result<String, Error> {
    let path = Path::new("/etc/os-release");
    let text = fs::read_to_string(path).map_err(Error::read(path))?;
    text.lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Error::Missing {
            what: "a Debian release name in /etc/os-release".into(),
            hint: "images are built from the host's own packages: use Debian or a derivative",
        })
}

/// Writes the sources of `suite` and its updates into `folder`, leaving out those of third parties.
pub(crate) fn sources(suite: &str, folder: &Path) -> Result<Sources, Error> {
    let (mut lines, mut stanzas) = (String::new(), String::new());
    for path in source_files() {
        let text = fs::read_to_string(&path).map_err(Error::read(&path))?;
        if path.extension().is_some_and(|extension| extension == "sources") {
            for stanza in deb822_stanzas(&text).filter(|stanza| stanza_is_of(stanza, suite)) {
                stanzas.push_str(&stanza);
                stanzas.push('\n');
            }
        } else {
            for line in text.lines().filter(|line| line_is_of(line, suite)) {
                lines.push_str(line);
                lines.push('\n');
            }
        }
    }
    if lines.is_empty() && stanzas.is_empty() {
        return Err(Error::Missing {
            what: format!("an apt source for {suite} main"),
            hint: "images are built from the host's apt sources: see sources.list(5)",
        });
    }
    let mut sources = Sources { files: Vec::new(), options: proxies() };
    if (lines.clone() + &stanzas).contains("https:") {
        sources.options.push("--include=ca-certificates".into());
    }
    for (name, text) in [("host.list", &lines), ("host.sources", &stanzas)] {
        if !text.is_empty() {
            let path = folder.join(name);
            fs::write(&path, text).map_err(Error::write(&path))?;
            sources.files.push(path);
        }
    }
    // A mirror list is a file that apt inside the image must find too.
    for list in mirror_lists(&(lines + &stanzas)) {
        let parent = Path::new(&list).parent().unwrap_or(Path::new("/")).display().to_string();
        sources.options.push(format!("--setup-hook=mkdir -p \"$1{parent}\""));
        sources.options.push(format!("--setup-hook=copy-in {list} {parent}"));
    }
    Ok(sources)
}

fn source_files() -> Vec<PathBuf> {
    let folder = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = folder
        .filter(|path| path.extension().is_some_and(|extension| extension == "sources" || extension == "list"))
        .chain([PathBuf::from("/etc/apt/sources.list")])
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// `bookworm`, `bookworm-updates`, `bookworm-security`, `bookworm/updates`; not backports, which apt does not prefer.
fn is_of_suite(name: &str, suite: &str) -> bool {
    name.strip_prefix(suite).is_some_and(|rest| matches!(rest, "" | "-updates" | "-security" | "/updates"))
}

/// One-line format: `deb [options] uri suite component...`.
fn line_is_of(line: &str, suite: &str) -> bool {
    let Some(rest) = line.trim().strip_prefix("deb ") else { return false };
    let rest = rest.trim_start();
    let rest = if rest.starts_with('[') { rest.split_once(']').map_or("", |(_, rest)| rest) } else { rest };
    let words: Vec<_> = rest.split_whitespace().collect();
    match words.as_slice() {
        [uri, name, components @ ..] => {
            !uri.starts_with("cdrom:") && is_of_suite(name, suite) && components.contains(&"main")
        }
        _ => false,
    }
}

/// The stanzas without their comments.
fn deb822_stanzas(text: &str) -> impl Iterator<Item = String> {
    let text: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(str::trim_end).collect();
    let stanzas: Vec<_> = text.split(|line| line.is_empty()).map(|lines| lines.join("\n") + "\n").collect();
    stanzas.into_iter().filter(|stanza| !stanza.trim().is_empty())
}

fn stanza_is_of(stanza: &str, suite: &str) -> bool {
    let field = |name: &str| -> Vec<String> {
        let value = stanza.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        value.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let off = field("Enabled").iter().any(|word| word.eq_ignore_ascii_case("no") || word.eq_ignore_ascii_case("false"));
    !off && field("Types").iter().any(|word| word == "deb")
        && field("Suites").iter().any(|name| is_of_suite(name, suite))
        && field("Components").iter().any(|word| word == "main")
}

/// Paths in `mirror+file:/path` (apt-transport-mirror(1)), as Debian's cloud images use.
fn mirror_lists(text: &str) -> Vec<String> {
    let paths = text.split_whitespace().filter_map(|word| word.strip_prefix("mirror+file:"));
    let mut paths: Vec<_> = paths.map(|path| format!("/{}", path.trim_start_matches('/'))).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// The host's apt proxies, as options for mmdebstrap.
fn proxies() -> Vec<String> {
    let ask = |key: &str| {
        let mut command = Command::new("apt-config");
        command.args(["shell", "value", key]);
        // Prints value='...' or nothing.
        let text = output(command).ok()?;
        let value = text.trim().strip_prefix("value=")?.trim_matches('\'').to_owned();
        (!value.is_empty()).then(|| format!("--aptopt={key} \"{value}\""))
    };
    ["Acquire::http::Proxy", "Acquire::https::Proxy"].into_iter().filter_map(ask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_release_itself_and_its_updates_are_taken() {
        for good in
            ["deb http://m/d bookworm main", "deb [arch=amd64 signed-by=/k] http://m/d bookworm-updates main non-free"]
        {
            assert!(line_is_of(good, "bookworm"), "{good}");
        }
        for bad in [
            "# deb http://m/d bookworm main",
            "deb-src http://m/d bookworm main",
            "deb http://m/docker bookworm stable",
            "deb http://m/d bookworm-backports main",
            "deb http://m/d trixie main",
            "deb cdrom:[Debian] bookworm main",
            "deb [broken bookworm main",
            "deb",
        ] {
            assert!(!line_is_of(bad, "bookworm"), "{bad}");
        }
    }

    #[test]
    fn stanzas_are_split_and_judged() {
        let text = "Types: deb\n# a comment\nURIs: http://m\nSuites: bookworm bookworm-updates\nComponents: main\n\n\
                    Types: deb\nURIs: http://n\nSuites: nodistro\nComponents: main\n\n\
                    Enabled: no\nTypes: deb\nURIs: http://o\nSuites: bookworm\nComponents: main\n";
        let kept: Vec<_> = deb822_stanzas(text).filter(|stanza| stanza_is_of(stanza, "bookworm")).collect();
        assert_eq!(kept.len(), 1);
        assert!(kept[0].contains("http://m") && !kept[0].contains('#'));
    }

    #[test]
    fn mirror_lists_are_found() {
        let text = "deb mirror+file:/etc/apt/mirrors/debian.list bookworm main\nURIs: mirror+file:///etc/apt/m.list\n";
        assert_eq!(mirror_lists(text), ["/etc/apt/m.list", "/etc/apt/mirrors/debian.list"]);
    }
}
