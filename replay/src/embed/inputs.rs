//! What a graph asks for, read from the loaded session, and the tensors it gets.
//!
//! | input | gets |
//! |---|---|
//! | `input_ids` | the tokens |
//! | `attention_mask` | 1 for each: nothing is padded |
//! | `token_type_ids` | 0 for each |
//! | `position_ids` | 0, 1, 2, … |
//! | `past_key_values.*` | an empty tensor of the input's type: batch as ours, every other length that is left open 0 |
//! | `use_cache_branch` | false |
//!
//! Integers are 64 or 32 bits, as the graph wants them.

use std::path::Path;

use ort::memory::Allocator;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynTensor, Shape, Tensor, TensorElementType, ValueType};

use super::EmbedError;

const EXPORT: &str =
    "export it with dynamic axes: optimum-cli export onnx --library transformers --task feature-extraction";

/// What an input is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Ids,
    Mask,
    Types,
    Positions,
    Past,
    UseCache,
}

/// One input of the graph.
#[derive(Debug)]
struct Input {
    name: String,
    meaning: Meaning,
    element: TensorElementType,
    /// -1 where the graph leaves a length open.
    shape: Vec<i64>,
}

/// All inputs of the graph.
#[derive(Debug)]
pub(super) struct Inputs(Vec<Input>);

impl Inputs {
    /// # Errors
    /// An input that is not known, or of a type or shape that cannot be given. `rows`: texts per run.
    pub fn of(session: &Session, path: &Path, rows: usize) -> Result<Inputs, EmbedError> {
        let bad = |reason: String| EmbedError::folder(path, reason, EXPORT);
        let mut inputs = Vec::new();
        for outlet in session.inputs() {
            let name = outlet.name().to_owned();
            let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
                return Err(bad(format!("its input '{name}' is no tensor")));
            };
            let meaning = meaning(&name).ok_or_else(|| bad(format!("its input '{name}' is not known")))?;
            let input = Input { name, meaning, element: *ty, shape: shape.to_vec() };
            input.check(rows).map_err(bad)?;
            inputs.push(input);
        }
        match inputs.iter().any(|input| input.meaning == Meaning::Ids) {
            true => Ok(Inputs(inputs)),
            false => Err(bad("it has no input 'input_ids'".to_owned())),
        }
    }

    /// The tensors for texts of one length.
    pub fn values(
        &self,
        allocator: &Allocator,
        texts: &[&[i64]],
    ) -> ort::Result<Vec<(String, SessionInputValue<'static>)>> {
        self.0.iter().map(|input| Ok((input.name.clone(), input.value(allocator, texts)?))).collect()
    }
}

fn meaning(name: &str) -> Option<Meaning> {
    match name {
        "input_ids" => Some(Meaning::Ids),
        "attention_mask" => Some(Meaning::Mask),
        "token_type_ids" => Some(Meaning::Types),
        "position_ids" => Some(Meaning::Positions),
        "use_cache_branch" => Some(Meaning::UseCache),
        _ if name.starts_with("past_key_values.") => Some(Meaning::Past),
        _ => None,
    }
}

impl Input {
    fn check(&self, rows: usize) -> Result<(), String> {
        let Input { name, meaning, element, shape } = self;
        let number = |axis: usize| shape.get(axis).copied().unwrap_or(-1);
        let is_integer = matches!(element, TensorElementType::Int64 | TensorElementType::Int32);
        // Of a cache some length must be 0, or the graph would read numbers that nobody computed.
        let is_empty = shape.iter().skip(1).any(|length| *length <= 0);
        match meaning {
            Meaning::UseCache if *element == TensorElementType::Bool => return Ok(()),
            Meaning::UseCache => return Err(format!("its input '{name}' is of type {element}, not bool")),
            Meaning::Past if is_empty => {}
            Meaning::Past => return Err(format!("its input '{name}' wants keys and values of a fixed length")),
            _ if !is_integer => return Err(format!("its input '{name}' is of type {element}, not a whole number")),
            _ if shape.len() != 2 => return Err(format!("its input '{name}' has {} dimensions, not 2", shape.len())),
            _ if number(1) >= 0 => return Err(format!("its input '{name}' takes exactly {} tokens", number(1))),
            _ => {}
        }
        match number(0) >= 0 && number(0) != rows as i64 {
            true => Err(format!("its input '{name}' takes exactly {} texts, and model.batch is {rows}", number(0))),
            false => Ok(()),
        }
    }

    /// `texts` are of one length, and at least one.
    fn value(&self, allocator: &Allocator, texts: &[&[i64]]) -> ort::Result<SessionInputValue<'static>> {
        let (rows, length) = (texts.len(), texts[0].len());
        let numbers: Vec<i64> = match self.meaning {
            Meaning::Ids => texts.iter().flat_map(|ids| ids.iter().copied()).collect(),
            Meaning::Mask => vec![1; rows * length],
            Meaning::Types => vec![0; rows * length],
            Meaning::Positions => (0..rows).flat_map(|_| 0..length as i64).collect(),
            Meaning::Past => {
                let open = |(axis, length): (usize, &i64)| if axis == 0 { rows as i64 } else { (*length).max(0) };
                let shape = Shape::new(self.shape.iter().enumerate().map(open));
                return Ok(DynTensor::new(allocator, self.element, shape)?.into());
            }
            Meaning::UseCache => return Ok(Tensor::from_array(([1usize], vec![false]))?.into()),
        };
        let shape = [rows, length];
        Ok(match self.element {
            // Token ids are u32 in the tokenizer, and below 2^31 in every vocabulary there is.
            TensorElementType::Int32 => {
                let narrow: Vec<i32> = numbers.iter().map(|number| *number as i32).collect();
                Tensor::from_array((shape, narrow))?.into()
            }
            _ => Tensor::from_array((shape, numbers))?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, element: TensorElementType, shape: &[i64], rows: usize) -> Option<String> {
        let meaning = meaning(name).unwrap();
        Input { name: name.to_owned(), meaning, element, shape: shape.to_vec() }.check(rows).err()
    }

    #[test]
    fn inputs_that_cannot_be_given_are_refused_by_name() {
        use TensorElementType::{Bool, Float16, Float32, Int32, Int64};
        for (name, element, shape, rows) in [
            ("input_ids", Int64, &[-1, -1][..], 32),
            ("input_ids", Int32, &[1, -1], 1),
            ("past_key_values.0.key", Float16, &[-1, 8, -1, 128], 1),
            ("past_key_values.27.value", Float32, &[1, 8, 0, 128], 1),
            ("use_cache_branch", Bool, &[1], 1),
        ] {
            assert_eq!(refused(name, element, shape, rows), None);
        }
        for (name, element, shape, rows, says) in [
            ("input_ids", Int64, &[1, -1][..], 32, "exactly 1 texts"),
            ("input_ids", Int64, &[-1, 512], 1, "exactly 512 tokens"),
            ("attention_mask", Float32, &[-1, -1], 1, "not a whole number"),
            ("position_ids", Int64, &[3, -1, -1], 1, "3 dimensions"),
            ("past_key_values.0.key", Float32, &[-1, 8, 16, 128], 1, "fixed length"),
            ("use_cache_branch", Int64, &[1], 1, "not bool"),
        ] {
            let error = refused(name, element, shape, rows).expect(name);
            assert!(error.contains(says) && error.contains(name), "{error}");
        }
        assert_eq!(meaning("pixel_values"), None);
    }
}
