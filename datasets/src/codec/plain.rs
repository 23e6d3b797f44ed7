//! Numbers, points in time, booleans and bytes.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BinaryBuilder, BooleanArray, BooleanBuilder,
    PrimitiveArray,
};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampNanosecondType, UInt16Type, UInt32Type, UInt64Type};

use super::validity::Validity;
use super::{BadColumn, Codec, Source};

macro_rules! primitive {
    ($($native:ty => $arrow:ty, $data_type:expr;)*) => {$(
        impl Codec for $native {
            type Value = $native;
            type Builder = Primitive<$arrow>;
            type Reader = PrimitiveArray<$arrow>;

            #[inline]
            fn append(builder: &mut Self::Builder, value: &$native) -> usize {
                builder.push(*value)
            }
            fn finish(builder: &mut Self::Builder, out: &mut Vec<ArrayRef>) {
                out.push(builder.finish($data_type));
            }
            fn reader(source: &mut Source<'_>) -> Result<Self::Reader, BadColumn> {
                let array = source.take_required()?;
                array.as_primitive_opt::<$arrow>().cloned().ok_or_else(|| source.bad("has the wrong type"))
            }
            fn get(reader: &Self::Reader, row: usize) -> $native {
                reader.value(row)
            }
        }

        impl Codec for Option<$native> {
            type Value = Option<$native>;
            type Builder = Primitive<$arrow>;
            // None: all null, as most columns are that may be.
            type Reader = Option<PrimitiveArray<$arrow>>;

            #[inline]
            fn append(builder: &mut Self::Builder, value: &Option<$native>) -> usize {
                builder.push_option(*value)
            }
            fn finish(builder: &mut Self::Builder, out: &mut Vec<ArrayRef>) {
                out.push(builder.finish($data_type));
            }
            fn reader(source: &mut Source<'_>) -> Result<Self::Reader, BadColumn> {
                let array = source.take();
                let array = array.as_primitive_opt::<$arrow>().cloned().ok_or_else(|| source.bad("has the wrong type"))?;
                Ok((array.null_count() < array.len()).then_some(array))
            }
            #[inline]
            fn get(reader: &Self::Reader, row: usize) -> Option<$native> {
                let array = reader.as_ref()?;
                array.is_valid(row).then(|| array.value(row))
            }
        }
    )*};
}

/// A column of numbers under construction.
pub(crate) struct Primitive<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    validity: Validity,
}

impl<T: ArrowPrimitiveType> Default for Primitive<T> {
    fn default() -> Self {
        Primitive { values: Vec::new(), validity: Validity::default() }
    }
}

impl<T: ArrowPrimitiveType> Primitive<T> {
    /// Returns about how many bytes of memory it took.
    #[inline]
    pub(super) fn push(&mut self, value: T::Native) -> usize {
        let nulls = self.validity.value();
        if nulls > 0 {
            self.values.resize(nulls, T::default_value());
        }
        self.values.push(value);
        size_of::<T::Native>()
    }

    #[inline]
    pub(super) fn push_null(&mut self) -> usize {
        if self.validity.null() {
            self.values.push(T::default_value());
            return size_of::<T::Native>();
        }
        0
    }

    #[inline]
    fn push_option(&mut self, value: Option<T::Native>) -> usize {
        match value {
            Some(value) => self.push(value),
            None => self.push_null(),
        }
    }

    pub(super) fn take(&mut self) -> PrimitiveArray<T> {
        let (nulls, missing) = self.validity.finish();
        let mut values = std::mem::take(&mut self.values);
        values.resize(values.len() + missing, T::default_value());
        PrimitiveArray::new(values.into(), nulls)
    }

    fn finish(&mut self, data_type: DataType) -> ArrayRef {
        Arc::new(self.take().with_data_type(data_type))
    }
}

primitive! {
    u16 => UInt16Type, DataType::UInt16;
    u32 => UInt32Type, DataType::UInt32;
    u64 => UInt64Type, DataType::UInt64;
    i32 => Int32Type, DataType::Int32;
    // A point in time; other signed numbers are `Signed`.
    i64 => TimestampNanosecondType, record_bpf::schema::Type::Timestamp.arrow();
}

/// A signed number that is no point in time, or null.
pub(crate) struct Signed;

impl Codec for Signed {
    type Value = Option<i64>;
    type Builder = Primitive<Int64Type>;
    type Reader = PrimitiveArray<Int64Type>;

    #[inline]
    fn append(builder: &mut Self::Builder, value: &Option<i64>) -> usize {
        builder.push_option(*value)
    }
    fn finish(builder: &mut Self::Builder, out: &mut Vec<ArrayRef>) {
        out.push(builder.finish(DataType::Int64));
    }
    fn reader(source: &mut Source<'_>) -> Result<Self::Reader, BadColumn> {
        source.take().as_primitive_opt().cloned().ok_or_else(|| source.bad("has the wrong type"))
    }
    fn get(reader: &Self::Reader, row: usize) -> Option<i64> {
        reader.is_valid(row).then(|| reader.value(row))
    }
}

pub(crate) struct Bools(BooleanBuilder);

impl Default for Bools {
    fn default() -> Self {
        Bools(BooleanBuilder::new())
    }
}

impl Codec for bool {
    type Value = bool;
    type Builder = Bools;
    type Reader = BooleanArray;

    #[inline]
    fn append(builder: &mut Bools, value: &bool) -> usize {
        builder.0.append_value(*value);
        1
    }
    fn finish(builder: &mut Bools, out: &mut Vec<ArrayRef>) {
        out.push(Arc::new(builder.0.finish()));
    }
    fn reader(source: &mut Source<'_>) -> Result<BooleanArray, BadColumn> {
        let array = source.take_required()?;
        array.as_boolean_opt().cloned().ok_or_else(|| source.bad("has the wrong type"))
    }
    fn get(reader: &BooleanArray, row: usize) -> bool {
        reader.value(row)
    }
}

/// A boolean that files from before it was a column do not have: there it was false.
pub(crate) struct OrFalse;

impl Codec for OrFalse {
    type Value = bool;
    type Builder = Bools;
    type Reader = BooleanArray;

    fn append(builder: &mut Bools, value: &bool) -> usize {
        <bool as Codec>::append(builder, value)
    }
    fn finish(builder: &mut Bools, out: &mut Vec<ArrayRef>) {
        <bool as Codec>::finish(builder, out);
    }
    fn reader(source: &mut Source<'_>) -> Result<BooleanArray, BadColumn> {
        <Option<bool> as Codec>::reader(source)
    }
    fn get(reader: &BooleanArray, row: usize) -> bool {
        <Option<bool> as Codec>::get(reader, row).unwrap_or(false)
    }
}

impl Codec for Option<bool> {
    type Value = Option<bool>;
    type Builder = Bools;
    type Reader = BooleanArray;

    fn append(builder: &mut Bools, value: &Option<bool>) -> usize {
        builder.0.append_option(*value);
        1
    }
    fn finish(builder: &mut Bools, out: &mut Vec<ArrayRef>) {
        out.push(Arc::new(builder.0.finish()));
    }
    fn reader(source: &mut Source<'_>) -> Result<BooleanArray, BadColumn> {
        let array = source.take();
        array.as_boolean_opt().cloned().ok_or_else(|| source.bad("has the wrong type"))
    }
    fn get(reader: &BooleanArray, row: usize) -> Option<bool> {
        reader.is_valid(row).then(|| reader.value(row))
    }
}

impl Codec for Vec<u8> {
    type Value = Vec<u8>;
    type Builder = BinaryBuilder;
    type Reader = BinaryArray;

    fn append(builder: &mut BinaryBuilder, value: &Vec<u8>) -> usize {
        builder.append_value(value);
        size_of::<i32>() + value.len()
    }
    fn finish(builder: &mut BinaryBuilder, out: &mut Vec<ArrayRef>) {
        out.push(Arc::new(builder.finish()));
    }
    fn reader(source: &mut Source<'_>) -> Result<BinaryArray, BadColumn> {
        let array = source.take_required()?;
        array.as_binary_opt::<i32>().cloned().ok_or_else(|| source.bad("has the wrong type"))
    }
    fn get(reader: &BinaryArray, row: usize) -> Vec<u8> {
        reader.value(row).to_vec()
    }
}
