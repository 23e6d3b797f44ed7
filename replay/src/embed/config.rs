//! `config.json` of a model folder: what the embedder must know to run the model as it was trained.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::EmbedError;

/// The only format there is so far.
const FORMAT: u32 = 1;

/// How token vectors become one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean of the vectors of all real tokens.
    Mean,
}

/// Read from `config.json`; written by `setup/build_model.py` for the default model.
#[derive(Clone, Debug, Deserialize)]
pub struct ModelConfig {
    format: u32,
    pub name: String,
    /// File name of the ONNX graph.
    pub model: String,
    /// File name of the tokenizer, in Hugging Face's format.
    pub tokenizer: String,
    /// Name of the graph's output, float32 `[batch, dims]`.
    pub output: String,
    pub pooling: Pooling,
    /// The output is pooled already. Must be true.
    pooling_in_graph: bool,
    /// The output has unit length already. Must be true.
    normalised_in_graph: bool,
    pub dims: usize,
    /// Tokens the model was trained for, with the special ones; what lies past them is cut.
    pub max_tokens: usize,
    /// Put before every text.
    #[serde(default)]
    pub prefix: String,
    /// SHA-256 by file name, checked when the model is opened. A file that is not named is not checked.
    #[serde(default)]
    pub sha256: BTreeMap<String, String>,
}

impl ModelConfig {
    /// Reads and checks `config.json` of a model folder.
    pub fn read(folder: &Path) -> Result<ModelConfig, EmbedError> {
        let path = folder.join("config.json");
        let bad = |reason: String| EmbedError::Model { path: path.clone(), reason };
        let text = std::fs::read_to_string(&path).map_err(|error| bad(error.to_string()))?;
        let config: ModelConfig = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        config.check().map_err(bad)?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("format {} is not known, only {FORMAT}", self.format));
        }
        if !self.pooling_in_graph || !self.normalised_in_graph {
            return Err("only graphs that pool and normalise themselves are supported".to_owned());
        }
        // Two special tokens and at least one of the text's own.
        if self.max_tokens < 3 || self.dims == 0 {
            return Err(format!("max_tokens {} or dims {} is too small", self.max_tokens, self.dims));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"format": 1, "name": "m", "model": "m.onnx", "tokenizer": "t.json", "output": "o",
        "pooling": "mean", "pooling_in_graph": true, "normalised_in_graph": true, "dims": 4, "max_tokens": 8}"#;

    fn read(text: &str) -> Result<ModelConfig, EmbedError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        ModelConfig::read(folder.path())
    }

    #[test]
    fn a_good_config_is_read() {
        let config = read(GOOD).unwrap();
        assert_eq!((config.dims, config.max_tokens, config.prefix.as_str()), (4, 8, ""));
    }

    #[test]
    fn what_the_embedder_cannot_do_is_refused_by_name() {
        for (from, to, says) in [
            ("\"mean\"", "\"last_token\"", "last_token"),
            ("\"format\": 1", "\"format\": 2", "format 2"),
            ("\"pooling_in_graph\": true", "\"pooling_in_graph\": false", "pool"),
            ("\"max_tokens\": 8", "\"max_tokens\": 2", "max_tokens"),
            ("{\"format\"", "[\"format\"", "line 1"),
        ] {
            let error = read(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
            assert!(error.is_missing_prerequisite());
        }
    }
}
