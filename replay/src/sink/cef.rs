//! ArcSight's Common Event Format, version 0: a header of seven fields, and key=value pairs.

use super::Message;
use super::message::out_of_ten;
use crate::alert::Alert;
use crate::output::text::shorten;

/// Longest value, characters: the format's limit for `msg` and command lines.
const LONG: usize = 1023;

/// The line, without a line's end.
pub fn line(message: &Message, alert: &Alert) -> String {
    let signature = alert.technique.as_ref().map_or("deviation", |technique| technique.id.as_str());
    let head = [
        "CEF:0".to_owned(),
        "Retroscope".to_owned(),
        "replay".to_owned(),
        env!("CARGO_PKG_VERSION").to_owned(),
        head(signature),
        head(&message.title()),
        out_of_ten(alert.severity).to_string(),
    ];
    let reasons = alert.engines.iter().filter(|engine| engine.points > 0.0);
    let reasons: Vec<_> = reasons.map(|engine| format!("{}: {}", engine.engine, engine.reason)).collect();
    let me = alert.ancestry.last();
    let pairs = [
        ("rt", (alert.ts / 1_000_000).to_string()),
        ("externalId", message.key.clone()),
        ("sproc", me.map_or_else(|| alert.process.to_string(), |process| process.exe.to_string())),
        ("spid", alert.pid.to_string()),
        ("cs1Label", "container".to_owned()),
        ("cs1", format!("{} {}", alert.place_name(), alert.container)),
        ("cs2Label", "image".to_owned()),
        ("cs2", alert.image.to_string()),
        ("cs3Label", "commandLine".to_owned()),
        ("cs3", alert.process.to_string()),
        ("cs4Label", "incident".to_owned()),
        ("cs4", alert.incident.clone()),
        ("cs5Label", "action".to_owned()),
        ("cs5", alert.action.clone()),
        ("cs6Label", "pod".to_owned()),
        ("cs6", alert.pod_name().unwrap_or_default()),
        ("cfp1Label", "score".to_owned()),
        ("cfp1", format!("{:.2}", alert.score)),
        ("msg", reasons.join("; ")),
    ];
    // A label without its value says nothing.
    let empty =
        |key: &str| pairs.iter().any(|(name, value)| *name == key.trim_end_matches("Label") && value.is_empty());
    let pairs = pairs.iter().filter(|(key, value)| !value.is_empty() && !empty(key));
    let pairs: Vec<_> = pairs.map(|(key, value)| format!("{key}={}", value_of(value))).collect();
    format!("{}|{}", head.join("|"), pairs.join(" "))
}

/// A field of the header: backslash and bar escaped, on one line.
fn head(text: &str) -> String {
    let text = shorten(text, LONG).replace('\\', r"\\").replace('|', r"\|");
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A value: backslash, equals sign and line ends escaped; what else controls becomes a space.
fn value_of(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in shorten(text, LONG).chars() {
        match c {
            '\\' => out.push_str(r"\\"),
            '=' => out.push_str(r"\="),
            '\n' => out.push_str(r"\n"),
            '\r' => out.push_str(r"\r"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_field_is_escaped() {
        assert_eq!(head("a|b\\c\nd=e"), "a\\|b\\\\c d=e");
        assert_eq!(value_of("a|b\\c\r\nd=e\u{7}"), "a|b\\\\c\\r\\nd\\=e ");
    }
}
