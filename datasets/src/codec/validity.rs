//! Which rows of a column under construction are null. Most columns are null in every row or in none, and pay for nothing.

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::NullBuffer;

pub(super) enum Validity {
    /// Only rows with a value so far, that many.
    All(usize),
    /// Only nulls so far, that many; the column holds no values for them yet.
    None(usize),
    Some(BooleanBufferBuilder),
}

impl Default for Validity {
    fn default() -> Self {
        Validity::All(0)
    }
}

impl Validity {
    /// A row with a value. Returns how many rows before it were nulls for which nothing is in the column yet.
    #[inline]
    pub(super) fn value(&mut self) -> usize {
        match self {
            Validity::All(rows) => {
                *rows += 1;
                0
            }
            _ => self.value_after_nulls(),
        }
    }

    fn value_after_nulls(&mut self) -> usize {
        let (bits, nulls) = match self {
            Validity::Some(bits) => {
                bits.append(true);
                return 0;
            }
            Validity::None(nulls) => (bits(0, *nulls), *nulls),
            Validity::All(rows) => (bits(*rows, 0), 0),
        };
        *self = Validity::Some(bits);
        self.value_after_nulls();
        nulls
    }

    /// A null. Returns whether the column must hold a value in its place.
    #[inline]
    pub(super) fn null(&mut self) -> bool {
        match self {
            Validity::None(nulls) => {
                *nulls += 1;
                false
            }
            _ => self.null_after_values(),
        }
    }

    fn null_after_values(&mut self) -> bool {
        match self {
            Validity::Some(bits) => bits.append(false),
            Validity::All(0) => {
                *self = Validity::None(1);
                return false;
            }
            Validity::All(rows) => {
                let mut bits = bits(*rows, 0);
                bits.append(false);
                *self = Validity::Some(bits);
            }
            Validity::None(nulls) => {
                *nulls += 1;
                return false;
            }
        }
        true
    }

    /// The rows' validity, and how many of them the column holds nothing for. Leaves none.
    pub(super) fn finish(&mut self) -> (Option<NullBuffer>, usize) {
        match std::mem::take(self) {
            Validity::All(_) => (None, 0),
            Validity::None(nulls) => (Some(NullBuffer::new_null(nulls)), nulls),
            Validity::Some(mut bits) => (Some(NullBuffer::new(bits.finish())), 0),
        }
    }
}

fn bits(values: usize, nulls: usize) -> BooleanBufferBuilder {
    let mut bits = BooleanBufferBuilder::new((values + nulls).next_power_of_two().max(1024));
    bits.append_n(values, true);
    bits.append_n(nulls, false);
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sequence_of_values_and_nulls_is_kept() {
        for pattern in 0..64u32 {
            let rows: Vec<bool> = (0..6).map(|i| pattern >> i & 1 == 1).collect();
            let (mut validity, mut held) = (Validity::default(), 0);
            for row in &rows {
                if *row {
                    held += validity.value() + 1;
                } else {
                    held += usize::from(validity.null());
                }
            }
            let (nulls, missing) = validity.finish();
            assert_eq!(held + missing, 6, "{pattern:b}");
            let found: Vec<bool> = nulls.map_or(vec![true; 6], |nulls| nulls.iter().collect());
            assert_eq!(found, rows);
            assert!(matches!(validity, Validity::All(0)));
        }
    }
}
