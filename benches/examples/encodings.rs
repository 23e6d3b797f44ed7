//! What each encoding would make of each column of a recording's class: bytes per event and CPU time to write, beside what the
//! recorder's own writer chose. `cargo run --release -p benches --example encodings -- RECORDING CLASS`
//!
//! A column alone in a file, by the Parquet crate's writer with zstd 1; the dictionary also without compression and with
//! zstd 3 and 9. "-": the encoding is not for this type.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use datasets::{Event, Recording, segment};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use record_bpf::Class;

/// Events looked at: a segment's most.
const EVENTS: usize = 1_000_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [recording, class] = &args[..] else { return Err("usage: encodings RECORDING CLASS".into()) };
    let recording = Recording::find(recording)?;
    let class = Class::from_name(class).ok_or("no such class; datasets schema lists them")?;
    let events: Vec<Event> = recording.events_of(&[class]).take(EVENTS).collect::<Result<_, _>>()?;
    if events.is_empty() {
        return Err("it has no events of that class".into());
    }
    let per_event = |amount: f64| amount / events.len() as f64;
    let batch = segment::batch(class, &events);
    let (file, took) = timed(|| segment::parquet(class, &batch))?;
    println!(
        "{class}: {} events, {:.2} bytes and {:.0} ns of CPU each, all columns\n",
        events.len(),
        per_event(file.len() as f64),
        per_event(took.as_nanos() as f64)
    );
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file))?;
    println!(
        "| column | chosen | B | dictionary B (ns) | delta | byte stream split | plain | dictionary, not compressed | zstd 3 | zstd 9 |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (chunk, (field, column)) in
        reader.metadata().row_group(0).columns().iter().zip(batch.schema().fields().iter().zip(batch.columns()))
    {
        if column.null_count() == column.len() {
            continue;
        }
        let mut encodings: Vec<String> =
            chunk.encodings().filter(chosen).map(|e| e.to_string().to_lowercase()).collect();
        encodings.extend((chunk.compression() == Compression::UNCOMPRESSED).then(|| "not compressed".to_owned()));
        let zstd = |level| -> Result<_, Failure> { Ok(Compression::ZSTD(ZstdLevel::try_new(level)?)) };
        let difference =
            if text(field.data_type()) { Encoding::DELTA_BYTE_ARRAY } else { Encoding::DELTA_BINARY_PACKED };
        let alone = |encoding, compression| -> String {
            let Ok((bytes, took)) = timed(|| written(field, column, encoding, compression)) else {
                return "-".to_owned();
            };
            format!("{:.2} ({:.0})", per_event(bytes as f64), per_event(took.as_nanos() as f64))
        };
        println!(
            "| {} | {} | {:.2} | {} | {} | {} | {} | {} | {} | {} |",
            field.name(),
            encodings.join(", "),
            per_event(chunk.compressed_size() as f64),
            alone(None, zstd(1)?),
            alone(Some(difference), zstd(1)?),
            alone(Some(Encoding::BYTE_STREAM_SPLIT), zstd(1)?),
            alone(Some(Encoding::PLAIN), zstd(1)?),
            alone(None, Compression::UNCOMPRESSED),
            alone(None, zstd(3)?),
            alone(None, zstd(9)?),
        );
    }
    Ok(())
}

/// Levels are run-length coded and dictionaries plain in any case.
fn chosen(encoding: &Encoding) -> bool {
    !matches!(encoding, Encoding::RLE)
}

fn text(ty: &DataType) -> bool {
    matches!(ty, DataType::Dictionary(..) | DataType::Utf8)
}

/// Bytes of the column's chunk. `encoding`: None: a dictionary.
fn written(
    field: &arrow::datatypes::Field,
    column: &ArrayRef,
    encoding: Option<Encoding>,
    compression: Compression,
) -> Result<usize, Failure> {
    let fits = match encoding {
        Some(Encoding::DELTA_BINARY_PACKED | Encoding::BYTE_STREAM_SPLIT) => {
            field.data_type().is_numeric() || matches!(field.data_type(), DataType::Timestamp(..))
        }
        Some(Encoding::DELTA_BYTE_ARRAY) => text(field.data_type()),
        _ => true,
    };
    if !fits {
        return Err("not for this type".into());
    }
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(1 << 17)
        .set_dictionary_page_size_limit(8 << 20)
        .set_statistics_enabled(EnabledStatistics::Chunk);
    if let Some(encoding) = encoding {
        properties = properties.set_dictionary_enabled(false).set_encoding(encoding);
    }
    let schema = Arc::new(Schema::new(vec![field.clone()]));
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties.build()))?;
    writer.write(&RecordBatch::try_new(schema, vec![column.clone()])?)?;
    let metadata = writer.finish()?;
    let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
    Ok(chunks.map(|chunk| chunk.compressed_size() as usize).sum())
}

/// With the CPU time of this thread.
fn timed<T, E: Into<Failure>>(work: impl FnOnce() -> Result<T, E>) -> Result<(T, Duration), Failure> {
    let before = cpu_time()?;
    let done = work().map_err(Into::into)?;
    Ok((done, cpu_time()?.saturating_sub(before)))
}

/// The first figure of schedstat is time on the CPU, ns (Documentation/scheduler/sched-stats.rst).
fn cpu_time() -> Result<Duration, Failure> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?))
}
