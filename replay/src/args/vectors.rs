//! The embedding model, opened when the first text needs it and not before.

use std::sync::OnceLock;

use crate::config::Model;
use crate::embed::{self, EmbedError, Embedder, Embedding};
use crate::error::{Error, Result};
use crate::timing::{self, Part};

/// Texts to vectors.
pub trait Vectors: Sync {
    /// One embedding for each text, in order.
    ///
    /// # Errors
    /// The model is missing, or fails.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>>;
}

/// The configured model. A replay in which no argument question arises needs none; one that needs it and has none fails.
pub struct LazyModel {
    options: embed::Options,
    opened: OnceLock<std::result::Result<Box<dyn Embedder>, (String, String)>>,
}

impl LazyModel {
    pub fn new(model: &Model, threads: usize) -> Self {
        Self { options: model.options(threads), opened: OnceLock::new() }
    }

    /// The model itself, opened on the first call.
    ///
    /// # Errors
    /// A missing model or library, as [`Error::Prerequisite`].
    pub fn get(&self) -> Result<&dyn Embedder> {
        let opened = self.opened.get_or_init(|| {
            embed::open(&self.options).map_err(|error| (error.to_string(), error.hint().unwrap_or(HINT).to_owned()))
        });
        match opened {
            Ok(embedder) => Ok(embedder.as_ref()),
            Err((message, hint)) => Err(Error::prerequisite(message.clone(), hint.clone())),
        }
    }

    /// The model's name, if it was needed.
    pub fn name(&self) -> Option<String> {
        self.opened.get()?.as_ref().ok().map(|embedder| embedder.name().to_owned())
    }
}

const HINT: &str = "run ./dev setup base";

impl Vectors for LazyModel {
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>> {
        let _embedding = timing::part(Part::Embed);
        self.get()?.embed(texts).map_err(|error| embedding_failed(&error))
    }
}

/// A model that is missing or fails, with the way out.
pub fn embedding_failed(error: &EmbedError) -> Error {
    Error::prerequisite(error.to_string(), error.hint().unwrap_or(HINT))
}
