//! Text to token ids, noticing what the model will not see.

use std::path::Path;

use tokenizers::{Tokenizer, TruncationParams};

use super::EmbedError;

/// One text as the model takes it.
pub(super) struct Tokens {
    pub ids: Vec<i64>,
    pub truncated: bool,
    pub unknown: bool,
}

pub(super) struct TextEncoder {
    tokenizer: Tokenizer,
    unknown: Option<u32>,
    prefix: String,
}

impl TextEncoder {
    /// Reads a tokenizer, overriding the padding and truncation written in its file with the model's own limit.
    pub fn new(path: &Path, bytes: &[u8], max_tokens: usize, prefix: &str) -> Result<Self, EmbedError> {
        let bad = |error: tokenizers::Error| EmbedError::Model { path: path.to_path_buf(), reason: error.to_string() };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(bad)?;
        tokenizer.with_padding(None);
        let limit = TruncationParams { max_length: max_tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(limit)).map_err(bad)?;
        let unknown = tokenizer.token_to_id("[UNK]");
        Ok(TextEncoder { tokenizer, unknown, prefix: prefix.to_owned() })
    }

    pub fn encode(&self, text: &str) -> Result<Tokens, EmbedError> {
        let encoded = match self.prefix.as_str() {
            "" => self.tokenizer.encode_fast(text, true),
            prefix => self.tokenizer.encode_fast(format!("{prefix}{text}"), true),
        };
        let encoding = encoded.map_err(|error| EmbedError::Inference { reason: error.to_string() })?;
        Ok(Tokens {
            ids: encoding.get_ids().iter().map(|id| i64::from(*id)).collect(),
            truncated: !encoding.get_overflowing().is_empty(),
            unknown: encoding.get_ids().iter().any(|id| Some(*id) == self.unknown),
        })
    }
}
