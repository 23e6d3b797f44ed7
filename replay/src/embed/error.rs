//! What can go wrong with the embedding model.

use std::path::PathBuf;

/// Why texts could not be embedded. The message is one line; [`EmbedError::hint`] is the way out.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    #[error("no embedding model found: looked for {looked_for}")]
    NoModel { looked_for: String },
    #[error("no ONNX Runtime library found: looked for {looked_for}")]
    NoLibrary { looked_for: String },
    #[error("ONNX Runtime library {}: {reason}", path.display())]
    Library { path: PathBuf, reason: String },
    #[error("embedding model file {}: {reason}", path.display())]
    Model { path: PathBuf, reason: String },
    #[error("embedding failed: {reason}")]
    Inference { reason: String },
}

impl EmbedError {
    /// Whether something that set-up provides is missing or unusable, rather than an inference that failed.
    pub fn is_missing_prerequisite(&self) -> bool {
        match self {
            EmbedError::NoModel { .. }
            | EmbedError::NoLibrary { .. }
            | EmbedError::Library { .. }
            | EmbedError::Model { .. } => true,
            EmbedError::Inference { .. } => false,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            EmbedError::NoModel { .. } => Some("run ./dev setup base, or point RETROSCOPE_MODEL at a model folder"),
            EmbedError::NoLibrary { .. } => {
                Some("run ./dev setup base, or point ORT_DYLIB_PATH at libonnxruntime.so, version 1.24 or later")
            }
            EmbedError::Library { .. } => Some(
                "point ORT_DYLIB_PATH at libonnxruntime.so, version 1.24 or later, or unset it and run ./dev setup base",
            ),
            EmbedError::Model { .. } => {
                Some("remove the folder and run ./dev setup base, which builds the default model anew")
            }
            EmbedError::Inference { .. } => None,
        }
    }
}
