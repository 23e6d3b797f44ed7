//! Values by type: what a word is replaced with when only its type repeats from run to run.

use super::address::mask_address;

/// Names of all masks but those of addresses (`<ip:CLASS>`). `<lt>` and `<us>` stand for a literal `<` and for the separator
/// of argv elements, so that nothing that was typed reads as a mask.
pub const NAMES: &[&str] =
    &["num", "time", "hex", "uuid", "tmp", "pid", "user", "text", "none", "truncated", "lt", "us"];

/// Letters and digits from which on an unbroken run of mixed kind is taken for data in some encoding. It is never masked.
const OPAQUE: usize = 40;

/// Lengths of digests in hex digits (MD5, SHA-1, SHA-224, SHA-256, SHA-384, SHA-512); any other run as long is data.
const DIGESTS: &[usize] = &[32, 40, 56, 64, 96, 128];

/// A run that may be a payload: long, of mixed case and digits, or hex digits of a length that no digest has.
pub fn is_opaque(run: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| run.bytes().any(|b| kind(&b));
    let data = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'=' | b'_' | b'-' | b'%' | b'\\');
    if run.len() < OPAQUE || !run.bytes().all(data) {
        return false;
    }
    let hex = run.bytes().all(|b| b.is_ascii_hexdigit());
    if hex {
        return !DIGESTS.contains(&run.len());
    }
    has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit)
}

/// The mask of a whole word, or `None` when the word is no plain value.
///
/// Types, first match wins: UUID, timestamp, hex (0x…, or 8 and more hex digits with a digit and a letter among them),
/// number with an optional sign, fraction and unit, name of a temporary file.
pub fn mask_value(word: &str) -> Option<String> {
    if is_uuid(word) {
        return Some("<uuid>".to_owned());
    }
    if is_timestamp(word) {
        return Some("<time>".to_owned());
    }
    if is_hex(word) {
        return Some("<hex>".to_owned());
    }
    // Zero is often not a number but a switch, or root.
    if let Some(unit) = number_unit(word).filter(|_| word != "0") {
        return Some(format!("<num>{unit}"));
    }
    is_temp_name(word).then(|| "<tmp>".to_owned())
}

/// 8-4-4-4-12 hex digits.
pub fn is_uuid(word: &str) -> bool {
    word.len() == 36
        && word.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// ISO 8601 dates and times (2025-01-31, 20250131T101500Z, 10:15:00.5), and Unix seconds or milliseconds of the years
/// 2001 to 2033 (ten digits from 1, thirteen digits from 1).
pub fn is_timestamp(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    if digits == word.len() {
        return (word.len() == 10 || word.len() == 13) && word.starts_with('1');
    }
    let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let date = ["9999-99-99", "99999999T", "9999/99/99"].iter().any(|date| shape.starts_with(date));
    let time = shape.starts_with("99:99:99");
    let allowed = |c: char| matches!(c, '9' | '-' | '/' | ':' | '.' | ',' | 'T' | 'Z' | '+' | '_');
    (date || time) && digits >= 6 && shape.chars().all(allowed)
}

/// `0x1f` of at most 64 bits, or eight to thirty-one hex digits of one case, letters and digits mixed (a commit, a container
/// id), or a digest.
pub fn is_hex(word: &str) -> bool {
    if let Some(digits) = word.strip_prefix("0x").or_else(|| word.strip_prefix("0X")) {
        return (1..=16).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    }
    if word.len() >= 32 && !DIGESTS.contains(&word.len()) {
        return false;
    }
    let lower = word.bytes().any(|b| b.is_ascii_lowercase());
    let upper = word.bytes().any(|b| b.is_ascii_uppercase());
    word.len() >= 8
        && (lower != upper)
        && word.bytes().any(|b| b.is_ascii_digit())
        && word.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The unit after a number (`10s` → `s`, `1.5` → ``), or `None` for anything else.
fn number_unit(word: &str) -> Option<&str> {
    const UNITS: &[&str] = &[
        "", "%", "s", "ms", "us", "ns", "m", "h", "d", "k", "K", "M", "g", "G", "T", "kB", "KB", "MB", "GB", "KiB",
        "MiB", "GiB", "b", "B", "x",
    ];
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let end = unsigned.bytes().position(|b| !b.is_ascii_digit() && b != b'.').unwrap_or(unsigned.len());
    let (number, unit) = unsigned.split_at(end);
    let valid = number.starts_with(|c: char| c.is_ascii_digit())
        && number.ends_with(|c: char| c.is_ascii_digit())
        && number.matches('.').count() <= 1;
    (valid && UNITS.contains(&unit)).then_some(unit)
}

/// Names made by mktemp(1) (`tmp.` and ten letters or digits) and Python's tempfile (`tmp` and eight of [a-z0-9_]),
/// with or without an extension.
pub fn is_temp_name(word: &str) -> bool {
    let Some(rest) = word.strip_prefix("tmp") else { return false };
    if let Some(rest) = rest.strip_prefix('.') {
        let stem = rest.split('.').next().unwrap_or(rest);
        return stem.len() == 10 && stem.bytes().all(|b| b.is_ascii_alphanumeric());
    }
    let stem = rest.split('.').next().unwrap_or(rest);
    stem.len() == 8 && stem.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Names that temporary files get in a directory for them: as [`is_temp_name`] with any prefix, so that the random part is
/// the last eight of [a-z0-9_] (Python's tempfile) or six and more letters and digits of mixed kind (mkstemp(3)), after
/// nothing or after a delimiter. Random means a digit among letters or an underscore in it: a word has neither.
pub fn mask_random(name: &str) -> Option<String> {
    let start = name.rfind(['-', '.']).map_or(0, |i| i + 1);
    let (prefix, random) = name.split_at(start);
    let has = |kind: fn(&u8) -> bool| random.bytes().any(|b| kind(&b));
    let (digit, lower, upper) = (has(u8::is_ascii_digit), has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase));
    let tempfile = random.len() == 8
        && random.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && (digit || random.contains('_'));
    let kinds = u8::from(digit) + u8::from(lower) + u8::from(upper);
    let mkstemp =
        (6..=16).contains(&random.len()) && random.bytes().all(|b| b.is_ascii_alphanumeric()) && kinds >= 2 && upper;
    (tempfile || mkstemp).then(|| format!("{prefix}<tmp>"))
}

/// Masks the values inside a word that is not one itself: IPv4 addresses by their class, runs of digits that stand between
/// delimiters or are four and more long, UUIDs and hex runs between delimiters. A long run of data is left as it is. `session-83921.json` → `session-<num>.json`, `python3` unchanged.
pub fn mask_embedded(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while !rest.is_empty() {
        if let Some((head, tail)) = rest.split_at_checked(36).filter(|(head, _)| is_uuid(head)) {
            debug_assert_eq!(head.len(), 36);
            out.push_str("<uuid>");
            rest = tail;
            continue;
        }
        let quad = rest.bytes().position(|b| !b.is_ascii_digit() && b != b'.').unwrap_or(rest.len());
        if let Some(address) = mask_address(&rest[..quad]) {
            out.push_str(&address);
            rest = &rest[quad..];
            continue;
        }
        let end = rest.find(is_delimiter).unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(end);
        if is_opaque(
            &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+=_-%".contains(c)).unwrap_or(rest.len())],
        ) {
            out.push_str(rest);
            break;
        }
        push_piece(piece, &mut out);
        let mut tail_chars = tail.chars();
        if let Some(delimiter) = tail_chars.next() {
            out.push(delimiter);
        }
        rest = tail_chars.as_str();
    }
    out
}

fn is_delimiter(c: char) -> bool {
    matches!(
        c,
        '-' | '_'
            | '.'
            | ','
            | ':'
            | ';'
            | '='
            | '@'
            | '+'
            | '#'
            | '['
            | ']'
            | '('
            | ')'
            | '{'
            | '}'
            | '"'
            | '\''
            | '/'
    )
}

/// One run without delimiters: a whole hex word or number, or a word with long runs of digits in it.
fn push_piece(piece: &str, out: &mut String) {
    if is_hex(piece) {
        out.push_str("<hex>");
        return;
    }
    if !piece.is_empty() && piece.bytes().all(|b| b.is_ascii_digit()) {
        out.push_str("<num>");
        return;
    }
    let mut rest = piece;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let run = rest[start..].bytes().take_while(u8::is_ascii_digit).count();
        out.push_str(&rest[..start]);
        out.push_str(if run >= 4 { "<num>" } else { &rest[start..start + run] });
        rest = &rest[start + run..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_masked_by_type() {
        for (word, masked) in [
            ("123e4567-e89b-12d3-a456-426614174000", "<uuid>"),
            ("2025-01-31", "<time>"),
            ("2025-01-31T10:15:00Z", "<time>"),
            ("20250131T101500", "<time>"),
            ("1735689600", "<time>"),
            ("1735689600123", "<time>"),
            ("0x7ffe", "<hex>"),
            ("3ff8ad0c91", "<hex>"),
            ("42", "<num>"),
            ("-1", "<num>"),
            ("1.5", "<num>"),
            ("512M", "<num>M"),
            ("30s", "<num>s"),
            ("95%", "<num>%"),
            ("tmp.Ab3dE6gH1j", "<tmp>"),
            ("tmpk3_x9a1b", "<tmp>"),
            ("tmpk3_x9a1b.json", "<tmp>"),
        ] {
            assert_eq!(mask_value(word).as_deref(), Some(masked), "{word}");
        }
    }

    #[test]
    fn words_are_not_values() {
        for word in ["", "xmrig", "deadbeef", "tmp", "tmpdir", "template", "3des", "1.2.3", "-", "+x", "u+s", "a1"] {
            assert_eq!(mask_value(word), None, "{word}");
        }
    }

    #[test]
    fn random_names_of_temporary_files() {
        for (name, masked) in [
            ("wgunicorn-h9u9qf5r", Some("wgunicorn-<tmp>")),
            ("udube5h6", Some("<tmp>")),
            ("wgunicorn-dj6dp_cl", Some("wgunicorn-<tmp>")),
            ("sess.aB3xYz", Some("sess.<tmp>")),
            ("xmrig", None),
            ("kdevtmpfsi", None),
            ("payload-installer", None),
            ("x86_64", None),
            ("README", None),
            ("", None),
        ] {
            assert_eq!(mask_random(name).as_deref(), masked, "{name}");
        }
    }

    #[test]
    fn values_inside_words() {
        for (word, masked) in [
            ("session-83921.json", "session-<num>.json"),
            ("access.log.1", "access.log.<num>"),
            ("python3", "python3"),
            ("x86", "x86"),
            ("job20251231", "job<num>"),
            ("layer-3ff8ad0c91.tar", "layer-<hex>.tar"),
            ("id-123e4567-e89b-12d3-a456-426614174000", "id-<uuid>"),
            ("größe-12", "größe-<num>"),
            ("", ""),
        ] {
            assert_eq!(mask_embedded(word), masked, "{word}");
        }
    }
}
