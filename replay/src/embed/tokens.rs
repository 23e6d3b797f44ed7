//! Text to token ids, noticing what the model will not see.

use tokenizers::{Tokenizer, TruncationDirection, TruncationParams};

use super::EmbedError;
use super::config::{Finish, ModelConfig};

/// One text as the model takes it.
pub(super) struct Tokens {
    pub ids: Vec<i64>,
    pub truncated: bool,
    pub unknown: bool,
}

pub(super) struct TextEncoder {
    tokenizer: Tokenizer,
    unknown: Option<u32>,
    /// Appended to every text, where the tokenizer's own template does not.
    end: Option<u32>,
    lower_case: bool,
    prefix: String,
}

impl TextEncoder {
    /// Reads a tokenizer, overriding the padding and truncation written in its file with the model's own limit.
    pub fn new(config: &ModelConfig) -> Result<Self, EmbedError> {
        let path = &config.tokenizer;
        let bad = |error: &dyn std::fmt::Display| match config.finish {
            Finish::InGraph { .. } => EmbedError::model(path, error),
            Finish::Here { .. } => EmbedError::folder(path, error, "copy it from the original model's folder"),
        };
        let bytes = std::fs::read(path).map_err(|error| bad(&error))?;
        let mut tokenizer = Tokenizer::from_bytes(&bytes).map_err(|error| bad(&error))?;
        tokenizer.with_padding(None);
        let unknown = unknown_token(&bytes).and_then(|token| tokenizer.token_to_id(&token));
        let mut encoder =
            TextEncoder { tokenizer, unknown, end: None, lower_case: config.lower_case, prefix: config.prefix.clone() };
        let mut room = config.max_tokens;
        if let Some(token) = &config.end {
            let missing = format!("it has no token '{token}', the eos_token of tokenizer_config.json");
            let id = encoder.tokenizer.token_to_id(token).ok_or_else(|| bad(&missing))?;
            if encoder.encode("")?.ids.last() != Some(&i64::from(id)) {
                encoder.end = Some(id);
                room -= 1;
            }
        }
        let direction = if config.cuts_left { TruncationDirection::Left } else { TruncationDirection::Right };
        let limit = TruncationParams { max_length: room, direction, ..TruncationParams::default() };
        encoder.tokenizer.with_truncation(Some(limit)).map_err(|error| bad(&error))?;
        // A graph cannot be asked about nothing.
        if encoder.prefix.is_empty() && encoder.encode("")?.ids.is_empty() {
            encoder.prefix = " ".to_owned();
        }
        Ok(encoder)
    }

    pub fn encode(&self, text: &str) -> Result<Tokens, EmbedError> {
        let lower = self.lower_case.then(|| format!("{}{text}", self.prefix).to_lowercase());
        let encoded = match (lower, self.prefix.as_str()) {
            (Some(text), _) => self.tokenizer.encode_fast(text, true),
            (None, "") => self.tokenizer.encode_fast(text, true),
            (None, prefix) => self.tokenizer.encode_fast(format!("{prefix}{text}"), true),
        };
        let encoding = encoded.map_err(EmbedError::inference)?;
        Ok(Tokens {
            ids: encoding.get_ids().iter().chain(&self.end).map(|id| i64::from(*id)).collect(),
            truncated: !encoding.get_overflowing().is_empty(),
            unknown: encoding.get_ids().iter().any(|id| Some(*id) == self.unknown),
        })
    }
}

/// What the tokenizer writes for a word it cannot spell; byte-level ones can spell anything and have none.
fn unknown_token(bytes: &[u8]) -> Option<String> {
    let file: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let model = file.get("model")?;
    match (model.get("unk_token"), model.get("unk_id").and_then(serde_json::Value::as_u64)) {
        (Some(serde_json::Value::String(token)), _) => Some(token.clone()),
        // A unigram model numbers its pieces: [[piece, score], …].
        (_, Some(id)) => model.get("vocab")?.get(usize::try_from(id).ok()?)?.get(0)?.as_str().map(str::to_owned),
        _ => None,
    }
}
