//! Parquet's run-length / bit-packed hybrid (Encodings.md of apache/parquet-format, "RLE = 3").

/// Bits that hold every number up to `largest`.
pub(super) fn width(largest: u32) -> u8 {
    (u32::BITS - largest.leading_zeros()) as u8
}

/// Appends `values`, each of `width` bits at most.
pub(super) fn hybrid(values: &[u32], width: u8, out: &mut Vec<u8>) {
    // A run costs its own header and that of the literals after it: not worth it for a few narrow values.
    let least = if width < 4 { 16 } else { 8 };
    let (mut written, mut at) = (0, 0);
    while at < values.len() {
        let value = values[at];
        let run = values[at..].iter().take_while(|other| **other == value).count();
        // Literals come in groups of eight: what the last one lacks is taken from the run.
        let fill = (at - written).next_multiple_of(8) - (at - written);
        if run >= fill + least {
            literals(&values[written..at + fill], width, out);
            varint((run - fill) as u64 * 2, out);
            out.extend_from_slice(&value.to_le_bytes()[..usize::from(width.div_ceil(8))]);
            written = at + run;
        }
        at += run;
    }
    literals(&values[written..], width, out);
}

fn literals(values: &[u32], width: u8, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    let groups = values.len().div_ceil(8);
    varint(groups as u64 * 2 + 1, out);
    let end = out.len() + groups * usize::from(width);
    pack(values.iter().map(|value| u64::from(*value)), width, out);
    out.resize(end, 0);
}

/// Definition levels of a nullable column: a bit per row, as in an Arrow validity bitmap, least significant bit first.
pub(super) fn levels(bitmap: &[u8], rows: usize, nulls: usize, out: &mut Vec<u8>) {
    match nulls {
        0 => run(rows, 1, out),
        n if n == rows => run(rows, 0, out),
        _ => {
            varint(bitmap.len() as u64 * 2 + 1, out);
            out.extend_from_slice(bitmap);
        }
    }
}

fn run(length: usize, value: u8, out: &mut Vec<u8>) {
    varint(length as u64 * 2, out);
    out.push(value);
}

/// Appends numbers of `width` bits back to back, least significant bit first; the last byte is filled with zeros.
pub(super) fn pack(values: impl Iterator<Item = u64>, width: u8, out: &mut Vec<u8>) {
    let width = u32::from(width);
    let (mut bits, mut held) = (0u128, 0);
    for value in values {
        bits |= u128::from(value) << held;
        held += width;
        if held >= 64 {
            out.extend_from_slice(&(bits as u64).to_le_bytes());
            bits >>= 64;
            held -= 64;
        }
    }
    out.extend_from_slice(&bits.to_le_bytes()[..held.div_ceil(8) as usize]);
}

/// ULEB128
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_own_example() {
        // Encodings.md: 0 to 7 with 3 bits.
        let mut out = Vec::new();
        hybrid(&[0, 1, 2, 3, 4, 5, 6, 7], 3, &mut out);
        assert_eq!(out, [3, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
    }

    #[test]
    fn runs_and_literals_take_turns() {
        let mut out = Vec::new();
        let values: Vec<u32> = [1, 2, 3].into_iter().chain([9; 30]).collect();
        hybrid(&values, 4, &mut out);
        // One group with five of the nines, then a run of 25.
        assert_eq!(out, [3, 0x21, 0x93, 0x99, 0x99, 50, 9]);
    }

    #[test]
    fn wide_numbers_are_packed_whole() {
        let mut out = Vec::new();
        pack([u64::MAX, 0, 1].into_iter(), 64, &mut out);
        assert_eq!(out, [&[0xff; 8][..], &[0; 8], &1u64.to_le_bytes()].concat());
    }
}
