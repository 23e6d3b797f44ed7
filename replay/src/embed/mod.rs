//! Sentence embeddings of command lines and behaviours, behind one trait.
//!
//! [`open`] finds a model folder (the one that `./dev setup` built, unless another is named) and the ONNX Runtime library
//! beside it. How a model is run is said by its own folder: [`config`] reads the format that set-up writes, [`folder`]
//! the folders of sentence-transformers (CmdCaliper, Qwen3-Embedding and others), and [`inputs`] what the graph asks for.
//!
//! A text's vector depends on nothing but the text, the model, the library, the device and the CPU's instruction set: not
//! on the other texts of a batch, nor on the number of threads, nor on whether it came out of a cache. Different CPUs may
//! differ in the last bits.
//!
//! A model is blind to some things, so every [`Embedding`] says when it did not see its whole text: tokens past the
//! model's limit are `truncated`, and a word the vocabulary cannot spell (for all-MiniLM-L6-v2 any unbroken run over 100
//! characters) is `unknown`. Letter case is lost without a flag where a model lower-cases its input.

mod cache;
pub mod config;
mod device;
mod error;
mod external;
mod fingerprint;
mod folder;
mod inputs;
mod locate;
mod onnx;
mod outputs;
mod runtime;
mod sessions;
mod store;
mod tokens;

use std::path::{Path, PathBuf};

pub use cache::Cached;
pub use device::Device;
pub use error::EmbedError;
pub use locate::{DEFAULT_MODEL, LIBRARY_VAR, MODEL_VAR};
pub use store::{Place, default_place};

/// A text's place in the model's space.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    /// Unit length; of one model, always as many numbers.
    pub vector: Vec<f32>,
    /// The text had more tokens than the model takes: a part of it is not in the vector.
    pub truncated: bool,
    /// Some word became the unknown token: what it said is not in the vector.
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

    /// One embedding for each text, in order.
    ///
    /// # Errors
    /// A model file that is missing or does not do, where it was not needed before; a run that fails.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError>;
}

/// Which model is opened, and how it is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The model's folder; none: `$RETROSCOPE_MODEL`, else `.models/all-minilm-l6-v2` in a directory above the executable or
    /// the working directory.
    pub folder: Option<PathBuf>,
    /// The graph in a sentence-transformers folder, where it is not `onnx/model.onnx` or `model.onnx`.
    pub file: Option<PathBuf>,
    /// Name of the prompt of `config_sentence_transformers.json` that is put before every text; none: the folder's default.
    pub prompt: Option<String>,
    pub device: Device,
    /// Texts of one length per run of the graph; none: what gives the same vector in any batch (see [`folder`]).
    pub rows: Option<usize>,
    /// Where vectors are kept between runs; none: nowhere.
    pub cache: Option<Place>,
    /// Texts embedded at once, 0 as 1. Each costs the memory of one more session, so a large model gets fewer.
    pub threads: usize,
}

/// Opens the embedding model, with a cache of the texts already seen.
///
/// The library is `$ORT_DYLIB_PATH`, else the one in the `.venv` above the executable or the working directory. With
/// [`Options::cache`] the model's files are hashed now and loaded when the first text comes that is not in the cache.
///
/// # Errors
/// [`EmbedError::is_missing_prerequisite`] tells what set-up or another folder would mend from a run that failed;
/// [`EmbedError::hint`] says what to do.
pub fn open(options: &Options) -> Result<Box<dyn Embedder>, EmbedError> {
    let folder = locate::model(options.folder.as_deref())?;
    let config = config::read(&folder, options)?;
    let files = fingerprint::Files::hash(&config)?;
    let environment = runtime::start()?;
    options.device.check()?;
    let embedder: Box<dyn Embedder> = match &options.cache {
        None => Box::new(onnx::OnnxEmbedder::open(environment, config, &files, options)?),
        Some(place) => {
            let model = files.fingerprint(&config, options.device);
            let (name, options) = (config.name.clone(), options.clone());
            let open = move || onnx::OnnxEmbedder::open(environment.clone(), config.clone(), &files, &options);
            Box::new(store::Stored::open(place, model, name, Box::new(open)))
        }
    };
    Ok(Box::new(Cached::new(embedder)))
}

/// Reads a JSON file of a model folder; none where it is not there.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, EmbedError> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| EmbedError::model(path, error))?,
    };
    serde_json::from_str(&text).map(Some).map_err(|error| EmbedError::model(path, error))
}

#[cfg(test)]
mod tests;
