//! Prometheus metrics. Labels take few values: classes, causes, names of failures; never a container or a process.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::status::Status;
use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

/// A metric: the table of the docs and the help texts are made from this.
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// Label and the values it takes.
    pub labels: &'static str,
    pub help: &'static str,
}

const fn metric(name: &'static str, kind: Kind, labels: &'static str, help: &'static str) -> Metric {
    Metric { name, kind, labels, help }
}

/// Every metric that is served.
pub const METRICS: &[Metric] = &[
    metric("retroscope_events_emitted_total", Kind::Counter, "class", "events that took a sequence number"),
    metric("retroscope_events_stored_total", Kind::Counter, "class", "rows handed to the writer"),
    metric(
        "retroscope_events_dropped_total",
        Kind::Counter,
        "class, cause (ring_full, write_failed, undecodable)",
        "events lost",
    ),
    metric(
        "retroscope_events_filtered_total",
        Kind::Counter,
        "class",
        "events of containers that do not match the filter",
    ),
    metric("retroscope_events_sampled_out_total", Kind::Counter, "class", "events left out by sampling under load"),
    metric("retroscope_events_known_total", Kind::Counter, "class", "events left out as known behaviour"),
    metric("retroscope_rows_masked_total", Kind::Counter, "class", "rows in which a secret was masked"),
    metric(
        "retroscope_failures_total",
        Kind::Counter,
        "name",
        "things that left a field incomplete, by name as in the manifest",
    ),
    metric("retroscope_ring_size_bytes", Kind::Gauge, "", "size of the ring buffer"),
    metric("retroscope_ring_used_bytes", Kind::Gauge, "", "bytes in the ring buffer that are not drained yet"),
    metric("retroscope_queue_chunks", Kind::Gauge, "", "drained chunks of up to 256 KiB that wait for the writer"),
    metric(
        "retroscope_lag_seconds",
        Kind::Gauge,
        "statistic (median, p99, max)",
        "from the kernel's time stamp to the recorder's memory, of the last second's events",
    ),
    metric("retroscope_segments_total", Kind::Counter, "", "finished segments"),
    metric("retroscope_written_bytes_total", Kind::Counter, "", "bytes of finished segments"),
    metric("retroscope_pending_rows", Kind::Gauge, "", "rows that are not in a finished segment yet"),
    metric("retroscope_containers", Kind::Gauge, "", "containers followed since the recording began"),
    metric("retroscope_build_info", Kind::Gauge, "version", "always 1"),
    metric("process_resident_memory_bytes", Kind::Gauge, "", "resident memory of the recorder"),
    metric("process_cpu_seconds_total", Kind::Counter, "", "CPU time of the recorder, in whole seconds"),
    metric("process_start_time_seconds", Kind::Gauge, "", "Unix time at which the recording began"),
];

/// The table of the docs, in Markdown.
pub fn markdown() -> String {
    let mut text = String::from("| metric | type | labels | is |\n|---|---|---|---|\n");
    for Metric { name, kind, labels, help } in METRICS {
        let _ = writeln!(text, "| `{name}` | {} | {labels} | {help} |", format!("{kind:?}").to_lowercase());
    }
    text
}

/// Metrics that are being served, from a thread of their own, for as long as the process lives.
pub struct Metrics(());

/// # Errors
/// An address that others reach without `public`, or one that cannot be listened at.
pub fn serve(address: SocketAddr, public: bool) -> Result<Metrics> {
    if !address.ip().is_loopback() && !public {
        return Err(Error::Usage(format!(
            "metrics at {address} could be read by other machines: give 127.0.0.1:PORT, or add --metrics-public"
        )));
    }
    PrometheusBuilder::new()
        .with_http_listener(address)
        .install()
        .map_err(|error| Error::Usage(format!("cannot serve metrics at {address}: {error}")))?;
    for Metric { name, kind, labels: _, help } in METRICS {
        match kind {
            Kind::Counter => describe_counter!(*name, *help),
            Kind::Gauge => describe_gauge!(*name, *help),
        }
    }
    gauge!("retroscope_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    gauge!("process_start_time_seconds").set(now.as_secs_f64());
    Ok(Metrics(()))
}

impl Metrics {
    pub fn publish(&self, status: &Status) {
        for (class, account) in &status.classes {
            let of = |name: &'static str, value: u64| counter!(name, "class" => *class).absolute(value);
            of("retroscope_events_emitted_total", account.emitted);
            of("retroscope_events_stored_total", account.stored);
            of("retroscope_events_filtered_total", account.filtered);
            of("retroscope_events_sampled_out_total", account.sampled_out);
            of("retroscope_events_known_total", account.known);
            of("retroscope_rows_masked_total", status.masked.get(*class).copied().unwrap_or_default());
            let dropped = |cause: &'static str, value: u64| {
                counter!("retroscope_events_dropped_total", "class" => *class, "cause" => cause).absolute(value);
            };
            dropped("ring_full", account.dropped.ring_full);
            dropped("write_failed", account.dropped.write_failed);
            dropped("undecodable", account.dropped.undecodable);
        }
        for (name, count) in &status.failures {
            counter!("retroscope_failures_total", "name" => name.clone()).absolute(*count);
        }
        gauge!("retroscope_ring_size_bytes").set(status.ring.size as f64);
        gauge!("retroscope_ring_used_bytes").set(status.ring.used as f64);
        gauge!("retroscope_queue_chunks").set(status.queued as f64);
        for (statistic, lag) in [("median", status.lag.p50), ("p99", status.lag.p99), ("max", status.lag.max)] {
            gauge!("retroscope_lag_seconds", "statistic" => statistic).set(lag.as_secs_f64());
        }
        counter!("retroscope_segments_total").absolute(status.segments);
        counter!("retroscope_written_bytes_total").absolute(status.written);
        gauge!("retroscope_pending_rows").set(status.pending as f64);
        gauge!("retroscope_containers").set(status.followed as f64);
        gauge!("process_resident_memory_bytes").set(status.own.rss as f64);
        counter!("process_cpu_seconds_total").absolute(status.own.cpu as u64);
    }
}
