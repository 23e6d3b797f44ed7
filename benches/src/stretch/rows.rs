//! A batch of the source's rows as a copy has them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Int32Type, TimestampNanosecondType, UInt16Type, UInt32Type, UInt64Type};
use arrow::error::ArrowError;
use record_bpf::Class;

use super::census::{INCARNATIONS, PIDS};
use super::names::Names;
use super::{Repeat, Source};

/// Columns with a container's id.
const CONTAINERS: [&str; 2] = ["container", "target_container"];
/// Columns with an IP address.
const ADDRESSES: [&str; 4] = ["local_addr", "peer_addr", "src_addr", "dst_addr"];
/// Columns with lists of DNS records, which have addresses among their words.
const RECORDS: [&str; 2] = ["answers", "more"];

pub(super) fn rewrite(
    class: Class,
    batch: &RecordBatch,
    source: &Source<'_>,
    copy: Repeat,
) -> Result<RecordBatch, ArrowError> {
    let names = &source.names[usize::from(copy.replica)];
    let census = &source.census;
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| -> Result<ArrayRef, ArrowError> {
        let name = field.name().as_str();
        let ty = column.data_type();
        Ok(match name {
            _ if matches!(ty, DataType::Timestamp(..)) => {
                let later = column.as_primitive::<TimestampNanosecondType>();
                let later = later.unary::<_, TimestampNanosecondType>(|ts| ts.wrapping_add(copy.shift));
                Arc::new(later.with_data_type(ty.clone()))
            }
            "cpu" => {
                let cpus = column.as_primitive::<UInt16Type>();
                Arc::new(cpus.unary::<_, UInt16Type>(|cpu| census.cpu(cpu, copy)))
            }
            "seq" => numbers(batch, column, source, copy),
            _ if PIDS.contains(&name) => {
                // Rows of a process come in runs.
                let mut last = (0, 0);
                let own = |pid: u32| {
                    if pid != last.0 {
                        last = (pid, census.pid(pid, copy));
                    }
                    last.1
                };
                Arc::new(remembered(column, own))
            }
            _ if INCARNATIONS.contains(&name) => {
                let ids = column.as_primitive::<UInt64Type>();
                Arc::new(ids.unary::<_, UInt64Type>(|id| census.incarnation(id, copy)))
            }
            _ if names.is_source() => column.clone(),
            _ if CONTAINERS.contains(&name) => texts(column, |id| names.id(id)),
            _ if ADDRESSES.contains(&name) => texts(column, |address| names.address(address)),
            _ if class == Class::Dns && RECORDS.contains(&name) => lists(column, names)?,
            _ => column.clone(),
        })
    });
    RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_, _>>()?)
}

/// Sequence numbers, after those of the copies before.
fn numbers(batch: &RecordBatch, column: &ArrayRef, source: &Source<'_>, copy: Repeat) -> ArrayRef {
    // ts, cpu, seq come first in every event table.
    let cpus = batch.column(1).as_primitive::<UInt16Type>();
    let mut last = None;
    let after = cpus.values().iter().map(|cpu| match last {
        Some((known, after)) if known == *cpu => after,
        _ => {
            let after = source.census.seq_after(*cpu, copy);
            last = Some((*cpu, after));
            after
        }
    });
    let seqs = column.as_primitive::<UInt64Type>().values().iter().zip(after).map(|(seq, after)| seq + after);
    Arc::new(UInt64Array::from_iter_values(seqs))
}

fn remembered(column: &ArrayRef, mut own: impl FnMut(u32) -> u32) -> arrow::array::UInt32Array {
    let pids = column.as_primitive::<UInt32Type>();
    let values = pids.values().iter().map(|pid| own(*pid)).collect::<Vec<u32>>();
    arrow::array::UInt32Array::new(values.into(), pids.nulls().cloned())
}

/// Dictionary-coded text with other strings; the rows stay.
fn texts(column: &ArrayRef, own: impl Fn(&str) -> String) -> ArrayRef {
    let dictionary = column.as_dictionary::<Int32Type>();
    let values = dictionary.values().as_string::<i32>();
    let values: StringArray = values.iter().map(|text| text.map(&own)).collect();
    Arc::new(dictionary.with_values(Arc::new(values)))
}

fn lists(column: &ArrayRef, names: &Names) -> Result<ArrayRef, ArrowError> {
    let lists = column.as_list::<i32>();
    let DataType::List(item) = lists.data_type() else { return Ok(column.clone()) };
    let values = lists.values().as_string::<i32>();
    let values: StringArray = values.iter().map(|text| text.map(|text| names.addresses_in(text))).collect();
    let (item, offsets, nulls) = (Arc::clone(item), lists.offsets().clone(), lists.nulls().cloned());
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(values), nulls)?))
}
