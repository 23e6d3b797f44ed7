//! Runs an ONNX sentence-embedding model.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use ort::environment::Environment;
use ort::session::Session;

use super::config::{Finish, ModelConfig};
use super::fingerprint::Files;
use super::inputs::Inputs;
use super::outputs::Output;
use super::sessions::Sessions;
use super::tokens::{TextEncoder, Tokens};
use super::{Device, EmbedError, Embedder, Embedding, Options};

/// Weights that all sessions together may hold, in bytes: each session has a copy of its own.
const MOST_WEIGHTS: u64 = 2 << 30;

/// A model folder, opened.
pub(super) struct OnnxEmbedder {
    config: ModelConfig,
    encoder: TextEncoder,
    environment: Environment,
    device: Device,
    inputs: Inputs,
    output: Output,
    /// A session runs one batch at a time, on one thread: splitting one batch over threads could change the order of its
    /// sums, splitting batches over sessions cannot.
    sessions: Sessions,
}

impl OnnxEmbedder {
    pub fn open(
        environment: Environment,
        config: ModelConfig,
        files: &Files,
        options: &Options,
    ) -> Result<Self, EmbedError> {
        let encoder = TextEncoder::new(&config)?;
        let first = session(&environment, &config, options.device)?;
        let inputs = Inputs::of(&first, &config.model, config.rows)?;
        let output = Output::of(&first, &config.model, &config.finish)?;
        let fit = usize::try_from(MOST_WEIGHTS / files.weights.max(1)).unwrap_or(usize::MAX);
        let most = if options.device == Device::Cpu { options.threads } else { 1 };
        let sessions = Sessions::new(first, most.min(fit));
        Ok(OnnxEmbedder { config, encoder, environment, device: options.device, inputs, output, sessions })
    }

    fn run(&self, session: &mut Session, batch: &[(usize, Tokens)]) -> Result<Vec<(usize, Embedding)>, EmbedError> {
        let texts: Vec<&[i64]> = batch.iter().map(|(_, tokens)| tokens.ids.as_slice()).collect();
        let inputs = self.inputs.values(session.allocator(), &texts).map_err(EmbedError::inference)?;
        let outputs = session.run(inputs).map_err(EmbedError::inference)?;
        let vectors = self.output.vectors(&outputs, texts.len(), texts[0].len())?;
        let embed = |((index, tokens), vector): (&(usize, Tokens), Vec<f32>)| {
            (*index, Embedding { vector, truncated: tokens.truncated, unknown: tokens.unknown })
        };
        Ok(batch.iter().zip(vectors).map(embed).collect())
    }
}

impl Embedder for OnnxEmbedder {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        // Only texts of the same number of tokens share a batch: padding one to another's length changes the last bits
        // of its vector (82 of 300 random texts), and costs time as well. The size of the batch changes none in the
        // default model's graph; of other graphs nobody knows, so they get one text at a time unless told otherwise.
        let mut by_length: BTreeMap<usize, Vec<(usize, Tokens)>> = BTreeMap::new();
        for (index, text) in texts.iter().enumerate() {
            let tokens = self.encoder.encode(text)?;
            by_length.entry(tokens.ids.len()).or_default().push((index, tokens));
        }
        let batches: Vec<&[(usize, Tokens)]> =
            by_length.values().flat_map(|group| group.chunks(self.config.rows)).collect();
        let next = AtomicUsize::new(0);
        let another = || session(&self.environment, &self.config, self.device);
        let work = || {
            self.sessions.with(another, |session| {
                let mut done = Vec::new();
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    done.extend(self.run(session, batch)?);
                }
                Ok(done)
            })
        };
        let mut done = Vec::with_capacity(texts.len());
        match self.sessions.most().min(batches.len()) {
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

/// Opens a session of its own single thread.
fn session(environment: &Environment, config: &ModelConfig, device: Device) -> Result<Session, EmbedError> {
    let path = &config.model;
    let bad = |error: String| match config.finish {
        Finish::InGraph { .. } => EmbedError::model(path, error),
        Finish::Here { .. } => EmbedError::folder(path, error, "download or export the model's files again"),
    };
    let builder = Session::builder(environment).map_err(|error| bad(error.to_string()))?;
    let builder = builder.with_intra_threads(1).map_err(|error| bad(error.to_string()))?;
    device.apply(builder)?.commit_from_file(path).map_err(|error| bad(error.to_string()))
}
