//! What is written is read back by the Parquet crate, for every type, with and without nulls, in and out of order.

use std::sync::Arc;

use arrow::array::{
    BooleanArray, DictionaryArray, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampNanosecondArray, UInt16Array, UInt64Array,
};
use arrow::datatypes::{Int32Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ColumnChunkMetaData;
use record_bpf::schema::Type as Column;

use super::*;

/// splitmix64 (Steele, Lea and Flood 2014).
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn schema() -> SchemaRef {
    let columns = [
        ("ts", Column::Timestamp, false),
        ("cpu", Column::U16, false),
        ("seq", Column::U64, false),
        ("text", Column::Utf8, true),
        ("flag", Column::Bool, true),
        ("few", Column::I32, true),
        ("many", Column::U64, true),
        ("wild", Column::U64, false),
        ("steps", Column::I32, false),
        ("signed", Column::I64, true),
        ("nothing", Column::U32, true),
        ("no_text", Column::Utf8, true),
        ("list", Column::Utf8List, true),
    ];
    Arc::new(Schema::new(columns.map(|(name, ty, nullable)| Field::new(name, ty.arrow(), nullable)).to_vec()))
}

fn batch(rows: usize, seed: &mut u64) -> Vec<ArrayRef> {
    let mut next = |below: u64| random(seed) % below;
    let words = StringArray::from((0..50).map(|i| format!("word {i}")).collect::<Vec<_>>());
    let keys: Int32Array = (0..rows).map(|_| (next(4) > 0).then(|| next(50) as i32)).collect();
    let text = DictionaryArray::<Int32Type>::new(keys, Arc::new(words));
    let no_text = DictionaryArray::<Int32Type>::new(Int32Array::new_null(rows), Arc::new(StringArray::from(vec!["x"])));
    let mut list = ListBuilder::new(StringBuilder::new()).with_field(Field::new("item", DataType::Utf8, false));
    for _ in 0..rows {
        (0..next(3)).for_each(|i| list.values().append_value(format!("item {i}")));
        list.append(next(2) == 0);
    }
    let mut step = i64::from(i32::MAX) - 1000;
    vec![
        Arc::new(
            TimestampNanosecondArray::from_iter_values((0..rows).map(|i| 1_790_000_000_000_000_000 + i as i64 * 700))
                .with_timezone("UTC"),
        ),
        Arc::new(UInt16Array::from_iter_values((0..rows).map(|_| next(2) as u16))),
        Arc::new(UInt64Array::from_iter_values((0..rows).map(|i| i as u64))),
        Arc::new(text),
        Arc::new((0..rows).map(|_| (next(9) > 0).then(|| next(2) > 0)).collect::<BooleanArray>()),
        Arc::new((0..rows).map(|_| (next(9) > 0).then(|| next(7) as i32 - 3)).collect::<Int32Array>()),
        Arc::new((0..rows).map(|_| (next(3) > 0).then(|| next(4_000))).collect::<UInt64Array>()),
        Arc::new(UInt64Array::from_iter_values((0..rows).map(|_| next(u64::MAX)))),
        // Differences that wrap around.
        Arc::new(Int32Array::from_iter_values((0..rows).map(|_| {
            step += next(5) as i64;
            step as i32
        }))),
        Arc::new(
            (0..rows).map(|_| (next(2) > 0).then(|| next(1 << 40).cast_signed() - (1 << 39))).collect::<Int64Array>(),
        ),
        Arc::new(arrow::array::UInt32Array::new_null(rows)),
        Arc::new(no_text),
        Arc::new(list.finish()),
    ]
}

fn written(schema: &SchemaRef, batches: Vec<Vec<ArrayRef>>, order: Order<'_>) -> bytes::Bytes {
    let (mut file, factory) =
        ArrowWriter::try_new(Vec::new(), schema.clone(), None).unwrap().into_serialized_writer().unwrap();
    write_row_group(&mut file, &factory, schema, batches, order).unwrap();
    file.into_inner().unwrap().into()
}

fn check(sizes: &[usize], shuffle: bool) -> Vec<ColumnChunkMetaData> {
    let schema = schema();
    let mut seed = sizes.len() as u64;
    let batches: Vec<_> = sizes.iter().map(|rows| batch(*rows, &mut seed)).collect();
    let rows: usize = sizes.iter().sum();
    let mut order: Vec<u32> = (0..rows as u32).collect();
    if shuffle {
        (1..rows).for_each(|i| order.swap(i, random(&mut seed) as usize % (i + 1)));
    }
    let expected: Vec<ArrayRef> = (0..schema.fields().len())
        .map(|at| {
            let parts: Vec<ArrayRef> = batches.iter().map(|columns| columns[at].clone()).collect();
            let whole = super::whole(schema.field(at), &parts, shuffle.then_some(&order[..])).unwrap();
            arrow::compute::cast(&whole, schema.field(at).data_type()).unwrap()
        })
        .collect();
    let file = written(&schema, batches, shuffle.then_some(&order[..]));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let chunks = reader.metadata().row_group(0).columns().to_vec();
    let found: Vec<RecordBatch> = reader.with_batch_size(rows).build().unwrap().map(Result::unwrap).collect();
    assert_eq!(found.len(), 1);
    for (at, expected) in expected.iter().enumerate() {
        assert!(found[0].column(at) == expected, "column {} of {sizes:?}", schema.field(at).name());
    }
    chunks
}

#[test]
fn every_type_comes_back() {
    for sizes in [&[1][..], &[7], &[8], &[129], &[1000, 1, 77], &[1 << 17], &[150_000, 120_001]] {
        check(sizes, false);
        check(sizes, true);
    }
}

#[test]
fn encodings_follow_the_values_and_statistics_are_the_columns() {
    use parquet::basic::Encoding;
    let chunks = check(&[20_000, 20_000], false);
    let chunk = |name: &str| chunks.iter().find(|chunk| chunk.column_path().parts()[0] == name).unwrap();
    let has = |name: &str, encoding| chunk(name).encodings().any(|found| found == encoding);
    assert!(has("ts", Encoding::DELTA_BINARY_PACKED) && has("steps", Encoding::DELTA_BINARY_PACKED));
    assert!(has("text", Encoding::RLE_DICTIONARY) && has("few", Encoding::RLE_DICTIONARY));
    assert!(!has("wild", Encoding::RLE_DICTIONARY));
    assert!(chunk("wild").compressed_size() <= chunk("wild").uncompressed_size(), "noise is not blown up");
    let statistics = |name: &str| chunk(name).statistics().unwrap();
    let Statistics::Int32(few) = statistics("few") else { panic!("i32") };
    assert_eq!((few.min_opt(), few.max_opt()), (Some(&-3), Some(&3)));
    let Statistics::ByteArray(text) = statistics("text") else { panic!("text") };
    assert_eq!(text.min_opt().map(ByteArray::data), Some(&b"word 0"[..]));
    assert_eq!(statistics("nothing").null_count_opt(), Some(40_000));
    assert_eq!(chunk("no_text").num_values(), 40_000);
}
