//! Runs an ONNX sentence-embedding model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ort::environment::Environment;
use ort::session::Session;
use ort::value::Tensor;
use sha2::{Digest, Sha256};

use super::config::ModelConfig;
use super::tokens::{TextEncoder, Tokens};
use super::{EmbedError, Embedder, Embedding, runtime};

/// Texts per run of the graph. On one thread, 32 texts of 8 tokens run twice as fast together as alone, of 24 tokens a
/// third faster, of 48 no faster; larger batches only take more memory for the activations.
const BATCH: usize = 32;

/// A model folder, opened.
pub(super) struct OnnxEmbedder {
    config: ModelConfig,
    encoder: TextEncoder,
    environment: Environment,
    path: PathBuf,
    threads: usize,
    /// Sessions at rest. A session runs one batch at a time, on one thread: splitting one batch over threads could
    /// change the order of its sums, splitting batches over sessions cannot.
    idle: Mutex<Vec<Session>>,
}

impl OnnxEmbedder {
    pub fn open(folder: &Path, config: ModelConfig, threads: usize) -> Result<Self, EmbedError> {
        let environment = runtime::start()?;
        let path = folder.join(&config.tokenizer);
        let encoder = TextEncoder::new(&path, &read(&path, &config)?, config.max_tokens, &config.prefix)?;
        let path = folder.join(&config.model);
        let bytes = read(&path, &config)?;
        let first = session(&environment, &path, Some(&bytes))?;
        Ok(OnnxEmbedder { config, encoder, environment, path, threads: threads.max(1), idle: Mutex::new(vec![first]) })
    }

    fn take_session(&self) -> Result<Session, EmbedError> {
        let idle = self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        idle.map_or_else(|| session(&self.environment, &self.path, None), Ok)
    }

    fn run(&self, session: &mut Session, batch: &[(usize, Tokens)]) -> Result<Vec<(usize, Embedding)>, EmbedError> {
        let (rows, length) = (batch.len(), batch[0].1.ids.len());
        let ids: Vec<i64> = batch.iter().flat_map(|(_, tokens)| &tokens.ids).copied().collect();
        let inputs = ort::inputs![
            "input_ids" => Tensor::from_array(([rows, length], ids)).map_err(inference)?,
            "attention_mask" => Tensor::from_array(([rows, length], vec![1i64; rows * length])).map_err(inference)?,
        ];
        let outputs = session.run(inputs).map_err(inference)?;
        let output = outputs.get(&self.config.output).ok_or_else(|| EmbedError::Model {
            path: self.path.clone(),
            reason: format!("the graph has no output '{}'", self.config.output),
        })?;
        let (_, values) = output.try_extract_tensor::<f32>().map_err(inference)?;
        if values.len() != rows * self.config.dims || values.iter().any(|value| !value.is_finite()) {
            return Err(inference(format!("{} numbers for {rows} texts, or not finite ones", values.len())));
        }
        let vectors = values.chunks_exact(self.config.dims);
        Ok(batch.iter().zip(vectors).map(|((index, tokens), vector)| (*index, embedding(tokens, vector))).collect())
    }
}

fn embedding(tokens: &Tokens, vector: &[f32]) -> Embedding {
    Embedding { vector: vector.to_vec(), truncated: tokens.truncated, unknown: tokens.unknown }
}

impl Embedder for OnnxEmbedder {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn dims(&self) -> usize {
        self.config.dims
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        // Only texts of the same number of tokens share a batch: padding one to another's length changes the last bits
        // of its vector (82 of 300 random texts), and costs time as well. The size of the batch changes none.
        let mut by_length: BTreeMap<usize, Vec<(usize, Tokens)>> = BTreeMap::new();
        for (index, text) in texts.iter().enumerate() {
            let tokens = self.encoder.encode(text)?;
            by_length.entry(tokens.ids.len()).or_default().push((index, tokens));
        }
        let batches: Vec<&[(usize, Tokens)]> = by_length.values().flat_map(|group| group.chunks(BATCH)).collect();
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(usize, Embedding)>, EmbedError> {
            let mut session = self.take_session()?;
            let mut done = Vec::new();
            while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.extend(self.run(&mut session, batch)?);
            }
            self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(session);
            Ok(done)
        };
        let mut done = Vec::with_capacity(texts.len());
        match self.threads.min(batches.len()) {
            0 => {}
            1 => done = work()?,
            workers => {
                let results: Vec<_> = std::thread::scope(|scope| {
                    let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
                    handles.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
                });
                for result in results {
                    done.extend(result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
                }
            }
        }
        done.sort_unstable_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, embedding)| embedding).collect())
    }
}

/// Opens a session of its own single thread, from the bytes if they are at hand.
fn session(environment: &Environment, path: &Path, bytes: Option<&[u8]>) -> Result<Session, EmbedError> {
    let bad = |reason: String| EmbedError::Model { path: path.to_path_buf(), reason };
    let mut builder = Session::builder(environment)
        .map_err(|error| bad(error.to_string()))?
        .with_intra_threads(1)
        .map_err(|error| bad(error.to_string()))?;
    match bytes {
        Some(bytes) => builder.commit_from_memory(bytes),
        None => builder.commit_from_file(path),
    }
    .map_err(|error| bad(error.to_string()))
}

/// Reads a file of the model and checks it against the config's hash, if it names one.
fn read(path: &Path, config: &ModelConfig) -> Result<Vec<u8>, EmbedError> {
    let bad = |reason: String| EmbedError::Model { path: path.to_path_buf(), reason };
    let bytes = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if let Some(wanted) = config.sha256.get(name.as_ref()) {
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if found != *wanted {
            return Err(bad(format!("its SHA-256 is {found}, config.json says {wanted}")));
        }
    }
    Ok(bytes)
}

fn inference(error: impl std::fmt::Display) -> EmbedError {
    EmbedError::Inference { reason: error.to_string() }
}
