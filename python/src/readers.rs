//! Readers of record batches behind a stream: rows of a class, and all events in order.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, PrimitiveBuilder, RecordBatch, RecordBatchReader, StringDictionaryBuilder, TimestampNanosecondBuilder,
};
use arrow::datatypes::{
    DataType, Field, Fields, Int32Type, Schema, SchemaRef, TimeUnit, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use datasets::{Events, Recording};
use record_bpf::{Class, schema};

use crate::error::Failure;

/// Rows of a batch of [`InOrder`].
const ROWS: usize = 8192;

/// An iterator of batches with the schema that all of them have.
pub struct Reader {
    schema: SchemaRef,
    batches: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>,
}

impl Reader {
    pub fn new(
        schema: SchemaRef,
        batches: impl Iterator<Item = Result<RecordBatch, ArrowError>> + Send + 'static,
    ) -> Self {
        Self { schema, batches: Box::new(batches) }
    }
}

impl Iterator for Reader {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batches.next()
    }
}

impl RecordBatchReader for Reader {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

/// What a consumer is told: the file, what is wrong with it, and what to do.
fn failed(error: datasets::Error) -> ArrowError {
    ArrowError::ExternalError(Failure::from(error).one_line().into())
}

/// Text in memory: codes into a dictionary of each batch.
fn text() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// The schema of [`rows`]: the class's, with text as codes.
pub fn class_schema(class: Class, columns: Option<&[String]>) -> SchemaRef {
    let all = schema::class_schema(class);
    let field = |field: &Arc<Field>| {
        let ty = if *field.data_type() == DataType::Utf8 { text() } else { field.data_type().clone() };
        Field::new(field.name(), ty, true).with_metadata(field.metadata().clone())
    };
    let fields: Fields = match columns {
        None => all.fields().iter().map(field).collect(),
        Some(names) => {
            names.iter().filter_map(|name| all.fields().iter().find(|known| known.name() == name)).map(field).collect()
        }
    };
    Arc::new(Schema::new(fields))
}

/// The rows of a class, segment after segment.
///
/// # Errors
/// A column that the class does not have.
pub fn rows(recording: &Recording, class: Class, columns: Option<&[String]>) -> Result<Reader, Failure> {
    let names: Option<Vec<&str>> = columns.map(|columns| columns.iter().map(String::as_str).collect());
    let schema = class_schema(class, columns);
    let batches = recording.batches(class, names.as_deref())?;
    let arranged = {
        let schema = Arc::clone(&schema);
        // The same columns; the schema has what each means besides.
        move |batch: datasets::Result<RecordBatch>| batch.map_err(failed)?.with_schema(Arc::clone(&schema))
    };
    Ok(Reader::new(schema, batches.map(arranged)))
}

/// The schema of [`in_order`].
pub fn event_schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new("ts", time, false),
        Field::new("cpu", DataType::UInt16, false),
        Field::new("seq", DataType::UInt64, false),
        Field::new("class", text(), false),
        Field::new("op", text(), false),
        Field::new("container", text(), true),
        Field::new("pid", DataType::UInt32, false),
        Field::new("tid", DataType::UInt32, false),
        Field::new("exec_id", DataType::UInt64, true),
    ]))
}

/// What events of all these classes have in common, in (ts, cpu, seq) order.
pub fn in_order(recording: &Recording, classes: &[Class]) -> Reader {
    let schema = event_schema();
    Reader::new(Arc::clone(&schema), InOrder { events: recording.events_of(classes), schema })
}

struct InOrder {
    events: Events,
    schema: SchemaRef,
}

impl Iterator for InOrder {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut ts = TimestampNanosecondBuilder::new().with_timezone("UTC");
        let mut cpu = PrimitiveBuilder::<UInt16Type>::new();
        let mut seq = PrimitiveBuilder::<UInt64Type>::new();
        let mut class = StringDictionaryBuilder::<Int32Type>::new();
        let mut op = StringDictionaryBuilder::<Int32Type>::new();
        let mut container = StringDictionaryBuilder::<Int32Type>::new();
        let mut pid = PrimitiveBuilder::<UInt32Type>::new();
        let mut tid = PrimitiveBuilder::<UInt32Type>::new();
        let mut exec_id = PrimitiveBuilder::<UInt64Type>::new();
        let mut rows = 0;
        for event in self.events.by_ref().take(ROWS) {
            let event = match event {
                Ok(event) => event,
                Err(error) => return Some(Err(failed(error))),
            };
            let common = event.common();
            ts.append_value(common.ts);
            cpu.append_value(common.cpu);
            seq.append_value(common.seq);
            class.append_value(common.kind.class().name());
            op.append_value(common.kind.op());
            container.append_option(common.container.as_deref());
            pid.append_value(common.pid);
            tid.append_value(common.tid);
            exec_id.append_option(common.exec_id);
            rows += 1;
        }
        if rows == 0 {
            return None;
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(ts.finish()),
            Arc::new(cpu.finish()),
            Arc::new(seq.finish()),
            Arc::new(class.finish()),
            Arc::new(op.finish()),
            Arc::new(container.finish()),
            Arc::new(pid.finish()),
            Arc::new(tid.finish()),
            Arc::new(exec_id.finish()),
        ];
        Some(RecordBatch::try_new(Arc::clone(&self.schema), columns))
    }
}
