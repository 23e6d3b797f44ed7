//! A segment's rows in memory: as columns, and as the bytes of its file.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use record_bpf::{Class, schema};

use crate::codec::Codec;
use crate::model::{
    DnsEvent, Event, FileEvent, FlowEvent, NetworkEvent, ProcessEvent, ResourceEvent, SecurityEvent, SyscallEvent,
    TlsEvent, for_each_class,
};
use crate::parquet_write;

macro_rules! columns {
    ($($class:ident $row:ident $field:ident,)*) => {
        fn columns<'a>(class: Class, events: impl Iterator<Item = &'a Event>) -> Vec<ArrayRef> {
            let mut columns = Vec::new();
            match class {
                $(Class::$class => {
                    let mut builder = <$row as Codec>::Builder::default();
                    for event in events {
                        if let Event::$class(row) = event {
                            $row::append(&mut builder, row);
                        }
                    }
                    $row::finish(&mut builder, &mut columns);
                })*
            }
            columns
        }
    };
}
for_each_class!(columns);

/// The events of one class as the writer holds them: text dictionary-coded, everything else as [`schema::class_schema`] has it.
pub fn batch<'a>(class: Class, events: impl IntoIterator<Item = &'a Event>) -> RecordBatch {
    let columns = columns(class, events.into_iter());
    let plain = schema::class_schema(class);
    let field = |(field, column): (&Arc<Field>, &ArrayRef)| {
        Field::new(field.name(), column.data_type().clone(), field.is_nullable())
    };
    let fields: Fields = plain.fields().iter().zip(&columns).map(field).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a builder per column of the schema")
}

/// The Parquet file of a segment of these rows, sorted by (ts, cpu, seq).
///
/// # Errors
/// The columns are not those of [`batch`].
pub fn parquet(class: Class, batch: &RecordBatch) -> std::io::Result<Vec<u8>> {
    let batches = vec![batch.columns().to_vec()];
    let is_text = |ty: &DataType| matches!(ty, DataType::Dictionary(..));
    let schema = schema::class_schema(class);
    let same = |(field, column): (&Arc<Field>, &ArrayRef)| {
        field.data_type() == column.data_type() || (*field.data_type() == DataType::Utf8 && is_text(column.data_type()))
    };
    if schema.fields().len() != batch.num_columns() || !schema.fields().iter().zip(batch.columns()).all(same) {
        return Err(std::io::Error::other(format!("not the columns of class {class}")));
    }
    let (order, _) = parquet_write::order_of(&batches);
    parquet_write::encode(Vec::new(), &schema, batches, order.as_deref(), None, None)
}
