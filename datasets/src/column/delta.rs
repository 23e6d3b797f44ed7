//! Parquet's DELTA_BINARY_PACKED (Encodings.md of apache/parquet-format, "= 5").

use super::rle::{pack, varint};

const BLOCK: usize = 128;
const MINIBLOCK: usize = 32;

/// Appends `values`. `narrow`: they are the bits of 32-bit numbers, and differences wrap there.
pub(super) fn encode(values: &[u64], narrow: bool, out: &mut Vec<u8>) {
    let less = |a: u64, b: u64| match narrow {
        true => i64::from((a as i32).wrapping_sub(b as i32)),
        false => a.wrapping_sub(b).cast_signed(),
    };
    let first = values.first().map_or(0, |first| less(*first, 0));
    varint(BLOCK as u64, out);
    varint((BLOCK / MINIBLOCK) as u64, out);
    varint(values.len() as u64, out);
    zigzag(first, out);
    let mut deltas = [0i64; BLOCK];
    for begin in (1..values.len()).step_by(BLOCK) {
        let block = &values[begin - 1..values.len().min(begin + BLOCK)];
        let deltas = &mut deltas[..block.len() - 1];
        for (delta, pair) in deltas.iter_mut().zip(block.windows(2)) {
            *delta = less(pair[1], pair[0]);
        }
        let least = deltas.iter().copied().min().unwrap_or(0);
        zigzag(least, out);
        let widths_at = out.len();
        out.extend_from_slice(&[0; BLOCK / MINIBLOCK]);
        for (i, miniblock) in deltas.chunks(MINIBLOCK).enumerate() {
            let above = |delta: &i64| less(delta.cast_unsigned(), least.cast_unsigned()).cast_unsigned();
            let above = |delta: &i64| if narrow { above(delta) & u64::from(u32::MAX) } else { above(delta) };
            let width = 64 - miniblock.iter().map(above).fold(0, |all, one| all | one).leading_zeros();
            out[widths_at + i] = width as u8;
            let end = out.len() + MINIBLOCK / 8 * width as usize;
            pack(miniblock.iter().map(above), width as u8, out);
            out.resize(end, 0);
        }
    }
}

fn zigzag(value: i64, out: &mut Vec<u8>) {
    varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_own_example() {
        // Encodings.md: 7, 5, 3, 1, 2, 3, 4, 5: least difference -2, the others 0 to 3 above it.
        let mut out = Vec::new();
        encode(&[7, 5, 3, 1, 2, 3, 4, 5], false, &mut out);
        assert_eq!(out[..5], [0x80, 1, 4, 8, 14], "block, miniblocks, values, first");
        assert_eq!(out[5..10], [3, 2, 0, 0, 0], "least difference, widths");
        assert_eq!(out[10..], [0b1100_0000, 0b11_1111, 0, 0, 0, 0, 0, 0]);
    }
}
