//! Values of one column to the pages of a column chunk.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::{ColumnChunkMetaData, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use super::gather::{Gathered, bits};
use super::{delta, rle};

/// Rows of a page; a multiple of eight. Few large pages compress better, and segments are read whole.
const PAGE_ROWS: usize = 1 << 17;

/// zstd's own level 1: the encodings have done the work.
pub(super) const LEVEL: i32 = 1;

/// A chunk is stored as it is if compression saves less than a 20th of its dictionary and first page: it would cost the reader
/// for nothing.
const LEAST_GAIN: usize = 20;

/// The values of a chunk that are not null, and how they are written.
pub(super) enum Values {
    /// Places in a dictionary, whose page is `page`: `distinct` values in Parquet's plain encoding.
    Dictionary {
        keys: Vec<u32>,
        page: Vec<u8>,
        distinct: usize,
    },
    Delta {
        values: Vec<u64>,
        narrow: bool,
    },
    Plain {
        values: Vec<u64>,
        narrow: bool,
    },
    Booleans(Vec<bool>),
}

impl Values {
    fn encoding(&self) -> Encoding {
        match self {
            Values::Dictionary { .. } => Encoding::RLE_DICTIONARY,
            Values::Delta { .. } => Encoding::DELTA_BINARY_PACKED,
            Values::Plain { .. } | Values::Booleans(_) => Encoding::PLAIN,
        }
    }

    pub(super) fn write(&self, range: Range<usize>, out: &mut Vec<u8>) {
        match self {
            Values::Dictionary { keys, .. } => {
                let keys = &keys[range];
                let width = rle::width(keys.iter().copied().max().unwrap_or_default());
                out.push(width);
                rle::hybrid(keys, width, out);
            }
            Values::Delta { values, narrow } => delta::encode(&values[range], *narrow, out),
            Values::Plain { values, narrow } => plain(&values[range], *narrow, out),
            Values::Booleans(values) => out.extend_from_slice(&bits(&values[range])),
        }
    }
}

/// `narrow`: four bytes each, else eight.
pub(super) fn plain(values: &[u64], narrow: bool, out: &mut Vec<u8>) {
    let bytes = if narrow { 4 } else { 8 };
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()[..bytes]));
}

/// An encoded column chunk: its bytes, with offsets from their begin.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) close: ColumnCloseResult,
}

/// Encodes a column. `statistics`: of the whole chunk.
pub(super) fn encode(
    column: ColumnDescPtr,
    gathered: &Gathered<Values>,
    statistics: Statistics,
    zstd: &mut Compressor<'_>,
) -> Result<Chunk> {
    let mut pages = Pages::new(zstd);
    let values = &gathered.values;
    let mut encodings = vec![values.encoding(), Encoding::RLE];
    let mut first = 0;
    let (mut row, mut value) = (0, 0);
    let mut raw = Vec::new();
    while row < gathered.rows {
        let rows = PAGE_ROWS.min(gathered.rows - row);
        let (levels, nulls) = gathered.levels(row, rows);
        raw.clear();
        if column.max_def_level() > 0 {
            raw.extend_from_slice(&[0; 4]);
            rle::levels(levels, rows, nulls, &mut raw);
            let length = (raw.len() - 4) as u32;
            raw[..4].copy_from_slice(&length.to_le_bytes());
        }
        values.write(value..value + rows - nulls, &mut raw);
        if row == 0 {
            let dictionary = if let Values::Dictionary { page, .. } = values { &page[..] } else { &[] };
            pages.choose([dictionary, &raw])?;
            if let Values::Dictionary { page, distinct, .. } = values {
                encodings.push(Encoding::PLAIN);
                first = pages.dictionary(page, *distinct)?;
            }
        }
        pages.data(&raw, rows, values.encoding())?;
        (row, value) = (row + rows, value + rows - nulls);
    }
    let metadata = ColumnChunkMetaData::builder(column)
        .set_encodings(encodings)
        .set_compression(pages.codec)
        .set_num_values(gathered.rows as i64)
        .set_total_compressed_size(pages.out.bytes_written() as i64)
        .set_total_uncompressed_size(pages.uncompressed as i64)
        .set_data_page_offset(first as i64)
        .set_dictionary_page_offset((first > 0).then_some(0))
        .set_page_encoding_stats(std::mem::take(&mut pages.stats))
        .set_statistics(statistics)
        .build()?;
    let bytes: Bytes = pages.out.into_inner()?.into();
    let close = ColumnCloseResult {
        bytes_written: bytes.len() as u64,
        rows_written: gathered.rows as u64,
        metadata,
        bloom_filter: None,
        column_index: None,
        offset_index: None,
    };
    Ok(Chunk { bytes, close })
}

impl Gathered<Values> {
    /// The validity of some rows, which begin at a multiple of eight, and how many of them are null.
    fn levels(&self, from: usize, rows: usize) -> (&[u8], usize) {
        if self.validity.is_empty() {
            return (&[], if self.nulls > 0 { rows } else { 0 });
        }
        let bitmap = &self.validity[from / 8..(from + rows).div_ceil(8)];
        (bitmap, rows - bitmap.iter().map(|byte| byte.count_ones() as usize).sum::<usize>())
    }
}

struct Pages<'a, 'z> {
    out: TrackedWrite<Vec<u8>>,
    zstd: &'a mut Compressor<'z>,
    codec: Compression,
    uncompressed: usize,
    stats: Vec<PageEncodingStats>,
}

impl<'a, 'z> Pages<'a, 'z> {
    fn new(zstd: &'a mut Compressor<'z>) -> Pages<'a, 'z> {
        let codec = Compression::UNCOMPRESSED;
        Pages { out: TrackedWrite::new(Vec::new()), zstd, codec, uncompressed: 0, stats: Vec::new() }
    }

    /// Whether the chunk is worth compressing, by its first pages.
    fn choose(&mut self, pages: [&[u8]; 2]) -> Result<()> {
        let raw: usize = pages.iter().map(|page| page.len()).sum();
        let mut compressed = 0;
        for page in pages {
            compressed += self.zstd.compress(page)?.len();
        }
        if compressed + raw / LEAST_GAIN < raw {
            self.codec = Compression::ZSTD(ZstdLevel::try_new(LEVEL)?);
        }
        Ok(())
    }

    /// Returns where it ends.
    fn dictionary(&mut self, raw: &[u8], distinct: usize) -> Result<usize> {
        let buf = self.compressed(raw)?;
        let num_values = page_values(distinct)?;
        let page = Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN, is_sorted: false };
        self.write(page, raw.len(), PageType::DICTIONARY_PAGE, Encoding::PLAIN)?;
        Ok(self.out.bytes_written())
    }

    fn data(&mut self, raw: &[u8], rows: usize, encoding: Encoding) -> Result<()> {
        let buf = self.compressed(raw)?;
        let (num_values, levels) = (page_values(rows)?, Encoding::RLE);
        let page = Page::DataPage {
            buf,
            num_values,
            encoding,
            def_level_encoding: levels,
            rep_level_encoding: levels,
            statistics: None,
        };
        self.write(page, raw.len(), PageType::DATA_PAGE, encoding)
    }

    fn compressed(&mut self, raw: &[u8]) -> Result<Bytes> {
        Ok(match self.codec {
            Compression::UNCOMPRESSED => Bytes::copy_from_slice(raw),
            _ => self.zstd.compress(raw)?.into(),
        })
    }

    fn write(&mut self, page: Page, raw: usize, page_type: PageType, encoding: Encoding) -> Result<()> {
        let spec = SerializedPageWriter::new(&mut self.out).write_page(CompressedPage::new(page, raw))?;
        self.uncompressed += spec.uncompressed_size;
        match self.stats.iter_mut().find(|stats| stats.page_type == page_type) {
            Some(stats) => stats.count += 1,
            None => self.stats.push(PageEncodingStats { page_type, encoding, count: 1 }),
        }
        Ok(())
    }
}

fn page_values(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|error| io::Error::other(error).into())
}
