//! What a vector depends on besides its text, as one hash: files of the model, how it is run, library, machine.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::config::{Finish, ModelConfig};
use super::{Device, EmbedError, external};

/// The code between a text and its vector: vectors that another version of it made are not this one's.
const CODE: [&str; 5] = [
    include_str!("inputs.rs"),
    include_str!("onnx.rs"),
    include_str!("outputs.rs"),
    include_str!("tokens.rs"),
    include_str!("fingerprint.rs"),
];

/// The files of a model with their SHA-256, in hex.
#[derive(Clone, Debug)]
pub(super) struct Files {
    files: Vec<(PathBuf, String)>,
    /// Bytes of the graph and its weights.
    pub weights: u64,
}

impl Files {
    /// Hashes the graph, the weights it keeps in other files, and the tokenizer; checks those whose hash the config names.
    pub fn hash(config: &ModelConfig) -> Result<Files, EmbedError> {
        let bad = |path: &Path, reason: String| match config.finish {
            Finish::InGraph { .. } => EmbedError::model(path, reason),
            Finish::Here { .. } => EmbedError::folder(path, reason, "download or export the model's files again"),
        };
        let mut paths = vec![config.model.clone()];
        // What a known hash pins has its weights inside.
        if !config.sha256.contains_key(&name(&config.model)) {
            paths.extend(weights_outside(&config.model).map_err(|reason| bad(&config.model, reason))?);
        }
        paths.push(config.tokenizer.clone());
        let (mut files, mut weights) = (Vec::new(), 0);
        for path in paths {
            let (found, bytes) = sha256(&path).map_err(|error| bad(&path, error.to_string()))?;
            if let Some(wanted) = config.sha256.get(&name(&path)).filter(|wanted| **wanted != found) {
                return Err(bad(&path, format!("its SHA-256 is {found}, config.json says {wanted}")));
            }
            weights += if path == config.tokenizer { 0 } else { bytes };
            files.push((path, found));
        }
        Ok(Files { files, weights })
    }

    /// Of all that a vector depends on. ONNX Runtime must have been loaded.
    pub fn fingerprint(&self, config: &ModelConfig, device: Device) -> [u8; 32] {
        let ModelConfig {
            name: _, model: _, tokenizer: _, sha256: _, finish, max_tokens, cuts_left, lower_case, ..
        } = config;
        let ModelConfig { end, prefix, rows, .. } = config;
        let mut text = format!("{} {}\n", std::env::consts::ARCH, ort::info());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{finish:?} {max_tokens} {cuts_left} {lower_case} {end:?} {prefix:?} {rows} {device:?}");
        for (path, hash) in &self.files {
            let _ = writeln!(text, "{} {hash}", name(path));
        }
        text.push_str(&machine(device));
        CODE.iter().for_each(|code| text.push_str(code));
        Sha256::digest(text).into()
    }
}

/// Kernels are chosen by the CPU's features, or the GPU and its driver.
fn machine(device: Device) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let first = cpu.split("\n\n").next().unwrap_or_default();
    let named = ["vendor_id", "model name", "flags", "Features", "CPU part"];
    let mut lines: Vec<String> =
        first.lines().filter(|line| named.iter().any(|name| line.starts_with(name))).map(str::to_owned).collect();
    if device == Device::Cuda {
        lines.push(std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default());
        let cards = std::fs::read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
        let mut cards: Vec<PathBuf> = cards.map(|card| card.path().join("information")).collect();
        cards.sort();
        for card in cards {
            let text = std::fs::read_to_string(card).unwrap_or_default();
            lines.extend(text.lines().filter(|line| line.starts_with("Model")).map(str::to_owned));
        }
    }
    lines.join("\n")
}

/// The files that hold a graph's weights besides its own.
fn weights_outside(graph: &Path) -> Result<Vec<PathBuf>, String> {
    let mut begin = [0; 40];
    let read = File::open(graph).and_then(|mut file| file.read(&mut begin)).map_err(|error| error.to_string())?;
    if begin[..read].starts_with(b"version https://git-lfs") {
        return Err("it is a pointer of Git LFS, not the file itself".to_owned());
    }
    if read == 0 {
        return Err("it is empty".to_owned());
    }
    let folder = graph.parent().unwrap_or(Path::new(""));
    let names = external::files(graph).map_err(|error| error.to_string())?;
    names
        .into_iter()
        .map(|name| {
            let path = folder.join(&name);
            path.is_file().then_some(path).ok_or_else(|| format!("its weights are in {name}, which is not beside it"))
        })
        .collect()
}

/// SHA-256 in hex and length of a file.
fn sha256(path: &Path) -> std::io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => {
                hash.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
    Ok((hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), bytes))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
