//! From what the graph gives to one vector of unit length for each text.

use std::path::Path;

use half::f16;
use ort::session::{Session, SessionOutputs};
use ort::value::{DynValue, TensorElementType, ValueType};

use super::EmbedError;
use super::config::{Finish, Pooling};

/// Outputs that hold one vector for each text, then those with one for each token; earlier names win.
const POOLED: [&str; 2] = ["sentence_embedding", "text_embeds"];
const TOKENS: [&str; 3] = ["last_hidden_state", "token_embeddings", "hidden_states"];

const EXPORT: &str = "export hidden states: optimum-cli export onnx --library transformers --task feature-extraction";

/// The output that is read, and how.
#[derive(Debug, PartialEq)]
pub(super) struct Output {
    name: String,
    /// How token vectors become one; none: the graph pooled.
    pooling: Option<Pooling>,
    /// The graph brought the vectors to unit length, and their bits are kept.
    is_unit: bool,
}

impl Output {
    pub fn of(session: &Session, path: &Path, finish: &Finish) -> Result<Output, EmbedError> {
        let outlets: Vec<(&str, usize)> = session
            .outputs()
            .iter()
            .filter_map(|outlet| match outlet.dtype() {
                ValueType::Tensor { ty: TensorElementType::Float32 | TensorElementType::Float16, shape, .. } => {
                    Some((outlet.name(), shape.len()))
                }
                _ => None,
            })
            .collect();
        choose(&outlets, path, finish)
    }

    /// One vector for each of `rows` texts of `length` tokens.
    pub fn vectors(
        &self,
        outputs: &SessionOutputs<'_>,
        rows: usize,
        length: usize,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let missing = || EmbedError::inference(format!("the graph gave no '{}'", self.name));
        let numbers = numbers(outputs.get(&self.name).ok_or_else(missing)?)?;
        let per_text = numbers.len() / rows;
        let per_token = if self.pooling.is_some() { per_text / length } else { per_text };
        let expected = per_token * rows * if self.pooling.is_some() { length } else { 1 };
        if per_token == 0 || numbers.len() != expected {
            let shape = format!("{} numbers for {rows} texts of {length} tokens", numbers.len());
            return Err(EmbedError::inference(format!("'{}' holds {shape}", self.name)));
        }
        if numbers.iter().any(|number| !number.is_finite()) {
            return Err(EmbedError::inference(format!("'{}' holds numbers that are not finite", self.name)));
        }
        Ok(numbers
            .chunks_exact(per_text)
            .map(|text| {
                let mut vector = self.pooling.map_or_else(|| text.to_vec(), |pooling| pool(pooling, text, per_token));
                if !self.is_unit {
                    to_unit(&mut vector);
                }
                vector
            })
            .collect())
    }
}

/// `outlets`: names and dimensions of the graph's outputs of float numbers.
fn choose(outlets: &[(&str, usize)], path: &Path, finish: &Finish) -> Result<Output, EmbedError> {
    let given = || outlets.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let pooling = match finish {
        Finish::InGraph { output } => {
            let is_there = outlets.iter().any(|(name, _)| name == output);
            let reason = || format!("the graph has no output '{output}', only: {}", given());
            return match is_there {
                true => Ok(Output { name: output.clone(), pooling: None, is_unit: true }),
                false => Err(EmbedError::model(path, reason())),
            };
        }
        Finish::Here { pooling } => pooling,
    };
    let find = |names: &[&str], dimensions: usize| {
        names.iter().find(|name| outlets.contains(&(**name, dimensions))).map(|name| (*name).to_owned())
    };
    if let Some(name) = find(&POOLED, 2) {
        return Ok(Output { name, pooling: None, is_unit: false });
    }
    let Some(name) = find(&TOKENS, 3) else {
        let reason = format!("none of its outputs is a sentence's or its tokens' vectors: {}", given());
        return Err(EmbedError::folder(path, reason, EXPORT));
    };
    match pooling {
        Some(pooling) => Ok(Output { name, pooling: Some(*pooling), is_unit: false }),
        None => {
            let reason =
                format!("its '{name}' must be pooled, and the folder has no 1_Pooling/config.json that says how");
            Err(EmbedError::folder(path, reason, "copy it and modules.json from the original model's folder"))
        }
    }
}

fn numbers(output: &DynValue) -> Result<Vec<f32>, EmbedError> {
    if let Ok((_, numbers)) = output.try_extract_tensor::<f32>() {
        return Ok(numbers.to_vec());
    }
    let (_, numbers) = output.try_extract_tensor::<f16>().map_err(EmbedError::inference)?;
    Ok(numbers.iter().map(|number| number.to_f32()).collect())
}

/// `tokens`: the vectors of a text's tokens, one after the other.
fn pool(pooling: Pooling, tokens: &[f32], dims: usize) -> Vec<f32> {
    let vectors = tokens.chunks_exact(dims);
    match pooling {
        Pooling::Cls => tokens[..dims].to_vec(),
        Pooling::LastToken => tokens[tokens.len() - dims..].to_vec(),
        Pooling::Max => vectors.fold(vec![f32::NEG_INFINITY; dims], |most, vector| {
            most.iter().zip(vector).map(|(a, b)| a.max(*b)).collect()
        }),
        Pooling::Mean => {
            let count = vectors.len() as f64;
            // In f64 and in order, so that the sum is the same everywhere.
            let mut sums = vec![0f64; dims];
            for vector in vectors {
                sums.iter_mut().zip(vector).for_each(|(sum, number)| *sum += f64::from(*number));
            }
            sums.iter().map(|sum| (sum / count) as f32).collect()
        }
    }
}

fn to_unit(vector: &mut [f32]) {
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    // The floor is torch's; a vector of zeros has no direction and stays as it is.
    vector.iter_mut().for_each(|number| *number = (f64::from(*number) / length.max(1e-12)) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_vectors_are_pooled_as_the_folder_says() {
        let tokens = [1.0, -4.0, 2.0, 0.0, 6.0, 1.0];
        for (pooling, expected) in [
            (Pooling::Mean, [3.0, -1.0]),
            (Pooling::Cls, [1.0, -4.0]),
            (Pooling::LastToken, [6.0, 1.0]),
            (Pooling::Max, [6.0, 1.0]),
        ] {
            assert_eq!(pool(pooling, &tokens, 2), expected);
        }
        let mut vector = [3.0, 4.0];
        to_unit(&mut vector);
        assert_eq!(vector, [0.6, 0.8]);
        let mut nothing = [0.0; 2];
        to_unit(&mut nothing);
        assert_eq!(nothing, [0.0; 2]);
    }

    #[test]
    fn the_output_is_chosen_by_name_and_rank() {
        let here = |pooling| Finish::Here { pooling };
        let of = |outlets: &[(&str, usize)], finish: &Finish| choose(outlets, Path::new("m/model.onnx"), finish);
        let mean = here(Some(Pooling::Mean));
        let tokens = of(&[("present.0.key", 4), ("last_hidden_state", 3)], &mean).unwrap();
        assert_eq!((tokens.name.as_str(), tokens.pooling), ("last_hidden_state", Some(Pooling::Mean)));
        let pooled = of(&[("token_embeddings", 3), ("sentence_embedding", 2)], &here(None)).unwrap();
        assert_eq!((pooled.name.as_str(), pooled.pooling, pooled.is_unit), ("sentence_embedding", None, false));
        for (outlets, finish, says) in [
            (&[("logits", 3)][..], &mean, "logits"),
            (&[("last_hidden_state", 3)], &here(None), "1_Pooling"),
            (&[("last_hidden_state", 2)], &mean, "none of its outputs"),
            (&[("o", 2)], &Finish::InGraph { output: "p".to_owned() }, "no output 'p'"),
        ] {
            let error = of(outlets, finish).unwrap_err();
            assert!(error.to_string().contains(says) && error.to_string().contains("model.onnx"), "{error}");
        }
    }
}
