//! Progress for machines: a JSON object a second on stderr, one per line.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::Display;
use super::status::Status;

/// The last line is of the last whole second; what the recording came to is the summary on stdout.
#[derive(Default)]
pub struct Lines {
    note: Option<String>,
}

impl Display for Lines {
    fn status(&mut self, status: &Status) {
        let line = object(status, self.note.as_deref());
        let _ = writeln!(std::io::stderr().lock(), "{line}"); // who closed the pipe has what they wanted
    }

    fn note(&mut self, note: &str) {
        self.note = Some(note.to_owned());
    }
}

fn object(status: &Status, note: Option<&str>) -> Value {
    let classes: Map<String, Value> = status
        .classes
        .iter()
        .map(|(class, account)| {
            let value = json!({
                "emitted": account.emitted, "stored": account.stored,
                "dropped": {
                    "ring_full": account.dropped.ring_full, "write_failed": account.dropped.write_failed,
                    "undecodable": account.dropped.undecodable,
                },
                "filtered": account.filtered, "sampled_out": account.sampled_out, "known": account.known,
            });
            ((*class).to_owned(), value)
        })
        .collect();
    json!({
        "type": "progress",
        "elapsed_s": status.elapsed.as_secs_f64(),
        "classes": classes,
        "failures": status.failures,
        "ring": { "used": status.ring.used, "size": status.ring.size },
        "queued_chunks": status.queued,
        "lag_s": {
            "p50": status.lag.p50.as_secs_f64(), "p99": status.lag.p99.as_secs_f64(), "max": status.lag.max.as_secs_f64(),
        },
        "segments": status.segments,
        "written_bytes": status.written,
        "pending_rows": status.pending,
        "containers": status.followed,
        "masked_rows": status.masked,
        "rss_bytes": status.own.rss,
        "cpu_s": status.own.cpu,
        "note": note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line() {
        let mut status = Status::default();
        status.classes.insert("file", datasets::ClassAccount { emitted: 3, ..Default::default() });
        let line = object(&status, Some("two\nlines")).to_string();
        assert!(!line.contains('\n'), "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&read["type"], &read["classes"]["file"]["emitted"]), (&json!("progress"), &json!(3)));
    }
}
