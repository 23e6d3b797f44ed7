//! What can go wrong with the embedding model.

use std::path::{Path, PathBuf};

/// Why texts could not be embedded. The message is one line; [`EmbedError::hint`] is the way out.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    #[error("no embedding model found: looked for {looked_for}")]
    NoModel { looked_for: String },
    #[error("no ONNX Runtime library found: looked for {looked_for}")]
    NoLibrary { looked_for: String },
    #[error("ONNX Runtime library {}: {reason}", path.display())]
    Library { path: PathBuf, reason: String },
    /// A file of the model that set-up built.
    #[error("embedding model file {}: {reason}", path.display())]
    Model { path: PathBuf, reason: String },
    /// A file of a folder that the user brought.
    #[error("embedding model file {}: {reason}", path.display())]
    Folder { path: PathBuf, reason: String, hint: &'static str },
    #[error("the embedding model cannot run on {device}: {reason}")]
    Device { device: &'static str, reason: String },
    #[error("embedding failed: {reason}")]
    Inference { reason: String },
}

impl EmbedError {
    /// A file of the model, with what is wrong with it.
    pub(super) fn model(path: &Path, reason: impl std::fmt::Display) -> EmbedError {
        EmbedError::Model { path: path.to_path_buf(), reason: one_line(reason) }
    }

    /// A file of a folder that the user brought, with what to do.
    pub(super) fn folder(path: &Path, reason: impl std::fmt::Display, hint: &'static str) -> EmbedError {
        EmbedError::Folder { path: path.to_path_buf(), reason: one_line(reason), hint }
    }

    pub(super) fn inference(error: impl std::fmt::Display) -> EmbedError {
        EmbedError::Inference { reason: one_line(error) }
    }

    /// Whether something that set-up or the user provides is missing or unusable, rather than an inference that failed.
    pub fn is_missing_prerequisite(&self) -> bool {
        !matches!(self, EmbedError::Inference { .. })
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
            EmbedError::Folder { hint, .. } => Some(hint),
            EmbedError::Device { .. } => Some(
                "point ORT_DYLIB_PATH at libonnxruntime.so of PyPI's onnxruntime-gpu with its CUDA and cuDNN on \
                 LD_LIBRARY_PATH, or leave out --device cuda",
            ),
            EmbedError::Inference { .. } => None,
        }
    }
}

/// Messages of loaders and parsers can span lines; ours are one line each.
pub(super) fn one_line(message: impl std::fmt::Display) -> String {
    message.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
