//! Enough of HTML to look at a page that this project made: its tags in order, with their attributes.

/// Elements without an end tag.
const VOID: [&str; 5] = ["meta", "br", "input", "link", "img"];
/// Elements of SVG that may end themselves.
const LEAVES: [&str; 7] = ["path", "rect", "line", "circle", "polyline", "polygon", "text"];

/// A start tag.
#[derive(Debug)]
pub struct Tag {
    pub name: String,
    pub attributes: Vec<(String, String)>,
    /// Names of the elements around it.
    pub within: Vec<String>,
}

impl Tag {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

/// The start tags of a page; panics where an end tag does not fit.
pub fn tags(page: &str) -> Vec<Tag> {
    let (mut tags, mut open): (Vec<Tag>, Vec<String>) = (Vec::new(), Vec::new());
    let mut rest = page;
    while let Some(begin) = rest.find('<') {
        rest = &rest[begin + 1..];
        if rest.starts_with('!') {
            continue;
        }
        let end = end_of_tag(rest);
        let (tag, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            let last = open.pop();
            assert_eq!(last.as_deref(), Some(name.trim()), "ends what is not open, within {open:?}");
            continue;
        }
        let (tag, is_ended) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, words) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "<{tag}> is no tag");
        tags.push(Tag { name: name.to_owned(), attributes: attributes(words), within: open.clone() });
        assert!(!is_ended || LEAVES.contains(&name), "<{name}/>");
        if !is_ended && !VOID.contains(&name) {
            open.push(name.to_owned());
        }
        if matches!(name, "script" | "style") {
            rest = &rest[rest.find(&format!("</{name}>")).expect("its end")..];
        }
    }
    assert!(open.is_empty(), "{open:?} are not ended");
    tags
}

fn end_of_tag(rest: &str) -> usize {
    let mut quoted = false;
    rest.char_indices()
        .find(|(_, c)| {
            quoted ^= *c == '"';
            *c == '>' && !quoted
        })
        .expect("a tag ends")
        .0
}

fn attributes(mut words: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    loop {
        words = words.trim_start();
        if words.is_empty() {
            return found;
        }
        let end = words.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(words.len());
        let (name, after) = words.split_at(end);
        match after.strip_prefix("=\"") {
            Some(value) => {
                let (value, after) = value.split_once('"').expect("a value ends");
                found.push((name.to_owned(), value.to_owned()));
                words = after;
            }
            None => {
                found.push((name.to_owned(), String::new()));
                words = after;
            }
        }
    }
}
