//! Sentence embeddings of command lines and behaviours, behind one trait.
//!
//! [`open`] finds the model that `./dev setup` built and the ONNX Runtime library beside it. Which embedder runs a model
//! is said by the model folder's own `config.json` ([`config::ModelConfig`]). Supported today: BERT-like models whose
//! ONNX graph takes `input_ids` and `attention_mask` and returns mean-pooled, unit-length vectors (all-MiniLM-L6-v2).
//! Last-token pooling with a prefix and left padding (Qwen3-Embedding) is not there: no such model has been run here.
//!
//! A text's vector depends on nothing but the text, the model, the library and the CPU's instruction set: not on the
//! other texts of a batch, nor on the number of threads. Different CPUs may differ in the last bits.
//!
//! The model is blind to some things, so every [`Embedding`] says when it did not see its whole text: tokens past the
//! model's limit are `truncated`, and a word the vocabulary cannot spell (any unbroken run over 100 characters) is
//! `unknown`. Letter case is lost without a flag: all-MiniLM-L6-v2 lower-cases its input.

mod cache;
pub mod config;
mod error;
mod locate;
mod onnx;
mod runtime;
mod tokens;

use std::path::Path;

pub use cache::Cached;
pub use error::EmbedError;
pub use locate::{DEFAULT_MODEL, LIBRARY_VAR, MODEL_VAR};

/// A text's place in the model's space.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Unit length; as many numbers as [`Embedder::dims`].
    pub vector: Vec<f32>,
    /// The text had more tokens than the model takes: its end is not in the vector.
    pub truncated: bool,
    /// Some word became `[UNK]`: what it said is not in the vector.
    pub unknown: bool,
}

impl Embedding {
    /// Whether the vector stands for the whole text. If not, equal vectors do not mean equal texts.
    pub fn is_whole(&self) -> bool {
        !self.truncated && !self.unknown
    }

    /// Cosine similarity, -1 to 1. Both vectors have unit length, so it is their dot product.
    pub fn cosine(&self, other: &Embedding) -> f32 {
        dot(&self.vector, &other.vector).clamp(-1.0, 1.0)
    }
}

/// Dot product, summed in f64 in order, so that it is the same everywhere.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>() as f32
}

/// Turns texts into vectors.
pub trait Embedder: Send + Sync {
    /// The model's name, as all-MiniLM-L6-v2.
    fn name(&self) -> &str;

    /// Length of the vectors.
    fn dims(&self) -> usize;

    /// One embedding for each text, in order.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError>;
}

/// Opens the embedding model, with a cache of the texts already seen.
///
/// The model folder is `model_dir`, else `$RETROSCOPE_MODEL`, else `.models/all-minilm-l6-v2` in a directory above the
/// executable or the working directory. The library is `$ORT_DYLIB_PATH`, else the one in the `.venv` found the same
/// way. `threads` bounds how many texts are embedded at once (at least 1); each costs the memory of one more session.
///
/// # Errors
/// [`EmbedError::is_missing_prerequisite`] tells what set-up would mend from a broken model; [`EmbedError::hint`] says
/// what to run.
pub fn open(model_dir: Option<&Path>, threads: usize) -> Result<Box<dyn Embedder>, EmbedError> {
    let folder = locate::model(model_dir)?;
    let config = config::ModelConfig::read(&folder)?;
    let embedder = onnx::OnnxEmbedder::open(&folder, config, threads)?;
    Ok(Box::new(Cached::new(Box::new(embedder))))
}

#[cfg(test)]
mod tests;
