//! What one profile's policy allows more or less than another's, item by item and without regard to a format.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use comfy_table::{Table, presets};
use serde::Serialize;

use super::allowed::{Allowed, Programs, is_runtime};
use super::pattern::Pattern;
use crate::output::text::clean;
use crate::profile::calls::Made;
use crate::profile::{Calls, Profile};

/// What an item is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum About {
    Executable,
    File,
    Connection,
    /// A system call, by the class syscall.
    Call,
    /// A call that the class security sees.
    Guarded,
}

impl About {
    pub const fn name(self) -> &'static str {
        match self {
            About::Executable => "executable",
            About::File => "file",
            About::Connection => "connection",
            About::Call => "system call",
            About::Guarded => "guarded call",
        }
    }
}

/// One item that only one of the two allows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Item {
    pub image: Arc<str>,
    pub about: About,
    /// A path, an operation and a path, a connection, or the name of a call.
    pub what: String,
    /// Who does it; for an executable, who starts it.
    pub programs: Vec<Arc<str>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Allowed by the second alone.
    pub more: Vec<Item>,
    /// Allowed by the first alone.
    pub less: Vec<Item>,
    /// What could not be compared.
    pub notes: Vec<String>,
}

/// Images are compared by their references; where each profile has just one, these two are.
pub fn diff(old: &Profile, new: &Profile) -> Diff {
    let mut diff = Diff::default();
    let pairs: Vec<(&Arc<str>, &Arc<str>)> = if old.images.len() == 1 && new.images.len() == 1 {
        old.images.keys().zip(new.images.keys()).collect()
    } else {
        old.images.keys().filter_map(|image| Some((image, new.images.get_key_value(image)?.0))).collect()
    };
    for (one, other) in &pairs {
        let (old, new) = (Allowed::new(one, &old.images[*one]), Allowed::new(other, &new.images[*other]));
        diff.more.extend(beyond(&new, &old));
        diff.less.extend(beyond(&old, &new));
        let known = |allowed: &Allowed<'_>| allowed.calls.is_some_and(|calls| calls.syscall.is_some());
        if known(&old) != known(&new) {
            diff.notes.push(format!("{other}: only one of the two knows its system calls, which are not compared"));
        }
    }
    for (profile, side, word) in [(old, 0, "the second"), (new, 1, "the first")] {
        let paired = |image: &&Arc<str>| pairs.iter().any(|pair| if side == 0 { pair.0 } else { pair.1 } == *image);
        for image in profile.images.keys().filter(|image| !paired(image)) {
            diff.notes.push(format!("{image}: not in {word}, which has no policy for it"));
        }
    }
    diff
}

/// One source of what is known about system calls.
type Source = fn(&Calls) -> Option<&Made>;

/// Items of `one` that `other` does not allow.
fn beyond(one: &Allowed<'_>, other: &Allowed<'_>) -> Vec<Item> {
    let mut items = Vec::new();
    let mut push = |about, what: String, programs: &Programs| {
        items.push(Item { image: Arc::clone(&one.image), about, what, programs: programs.iter().cloned().collect() });
    };
    for (program, parents) in &one.executables {
        if !covered(other.executables.keys(), program) {
            push(About::Executable, program.to_string(), parents);
        }
    }
    // Those with open places, which may cover others, are few.
    let open: Vec<_> = other.files.iter().filter(|(path, _)| path.literal().is_none()).collect();
    for (path, ops) in &one.files {
        let same = other.files.get(path);
        for (op, programs) in ops {
            let of_op = open.iter().filter(|(_, ops)| ops.contains_key(op)).map(|(path, _)| *path);
            if !same.is_some_and(|ops| ops.contains_key(op)) && !covered(of_op, path) {
                push(About::File, format!("{op} {path}"), programs);
            }
        }
    }
    for (connection, programs) in &one.connections {
        if !other.connections.contains_key(connection) {
            push(About::Connection, connection.to_string(), programs);
        }
    }
    let sources: [(About, Source); 2] =
        [(About::Call, |calls| calls.syscall.as_ref()), (About::Guarded, |calls| calls.security.as_ref())];
    for (about, source) in sources {
        let (Some(own), Some(others)) = (one.calls.and_then(source), other.calls.and_then(source)) else { continue };
        let others = own_calls(others);
        for (call, programs) in own_calls(own) {
            if !others.contains_key(call) {
                push(about, call.to_string(), &programs.into_iter().cloned().collect());
            }
        }
    }
    items
}

fn own_calls(made: &Made) -> BTreeMap<&Arc<str>, BTreeSet<&Arc<str>>> {
    let mut calls = Calls::by_call(made);
    calls.values_mut().for_each(|programs| programs.retain(|program| !is_runtime(program)));
    calls.retain(|_, programs| !programs.is_empty());
    calls
}

fn covered<'a>(mut patterns: impl Iterator<Item = &'a Pattern>, pattern: &Pattern) -> bool {
    patterns.any(|other| other.covers(pattern))
}

impl Diff {
    pub fn is_empty(&self) -> bool {
        self.more.is_empty() && self.less.is_empty()
    }

    pub fn render(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).force_no_tty();
        table.set_header(["", "image", "about", "what", "by"]);
        for (sign, items) in [("+", &self.more), ("-", &self.less)] {
            for item in items {
                let programs: Vec<String> = item.programs.iter().map(|program| clean(program)).collect();
                let cells = [clean(&item.image), item.about.name().to_owned(), clean(&item.what), programs.join(" ")];
                table.add_row(std::iter::once(sign.to_owned()).chain(cells));
            }
        }
        let mut out = format!("{} allowed more, {} allowed less\n", self.more.len(), self.less.len());
        if !self.is_empty() {
            out.extend(table.lines().map(|line| format!("{}\n", line.trim_end())));
        }
        out.extend(self.notes.iter().map(|note| format!("note: {}\n", clean(note))));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::allowed::tests::entry;
    use crate::profile::store::Entry;

    fn profile(image: &str, entry: Entry) -> Profile {
        Profile { images: [(Arc::from(image), entry)].into(), ..Profile::default() }
    }

    #[test]
    fn more_and_less_are_told_by_item_and_a_wildcard_covers() {
        let old = profile(
            "web:1",
            entry(
                &["/usr/bin/app", "/usr/bin/old"],
                &[["app", "/srv/<num>.csv", "read"], ["app", "/srv/log", "write"]],
                &[["app", "connect tcp", "image redis:7", "6379"]],
            ),
        );
        let new = profile(
            "web:2",
            entry(
                &["/usr/bin/app", "/tmp/x"],
                &[["app", "/srv/7.csv", "read"], ["app", "/srv/7.csv", "write"], ["app", "/srv/log", "write"]],
                &[["app", "connect tcp", "image redis:7", "6380"]],
            ),
        );
        let found = diff(&old, &new);
        let more: Vec<&str> = found.more.iter().map(|item| &*item.what).collect();
        assert_eq!(more, ["/tmp/x", "write /srv/7.csv", "connect to tcp image redis:7 port 6380"]);
        let less: Vec<&str> = found.less.iter().map(|item| &*item.what).collect();
        assert_eq!(less, ["/usr/bin/old", "read /srv/*.csv", "connect to tcp image redis:7 port 6379"]);
        assert!(found.render().starts_with("3 allowed more, 3 allowed less\n"));
        assert!(diff(&old, &old).is_empty());
    }

    #[test]
    fn an_image_without_its_like_is_noted() {
        let mut old = profile("web:1", entry(&[], &[], &[]));
        old.images.insert("db".into(), Entry::default());
        let found = diff(&old, &profile("web:1", entry(&[], &[], &[])));
        assert!(found.is_empty() && found.notes.len() == 1 && found.notes[0].starts_with("db: "), "{:?}", found.notes);
    }
}
