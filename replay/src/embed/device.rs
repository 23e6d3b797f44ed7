//! Where the model runs. ort loads ONNX Runtime at run time and asks it for CUDA then, so that one build of replay does for
//! both: what is needed beyond it is a library that was built with CUDA (PyPI's `onnxruntime-gpu`) and NVIDIA's own.

use clap::ValueEnum;
use ort::ep::{CUDA, ExecutionProvider};
use ort::session::builder::SessionBuilder;
use serde::{Deserialize, Serialize};

use super::EmbedError;
use super::error::one_line;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    #[default]
    Cpu,
    /// The first NVIDIA GPU
    Cuda,
}

impl Device {
    pub fn name(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Cuda => "cuda",
        }
    }

    /// Whether the loaded library was built for the device. ONNX Runtime must have been loaded.
    pub(super) fn check(self) -> Result<(), EmbedError> {
        match self {
            Device::Cpu => Ok(()),
            Device::Cuda => match CUDA::is_available() {
                Ok(true) => Ok(()),
                _ => Err(self.refused("this ONNX Runtime library was built without it")),
            },
        }
    }

    /// Prepares a session for the device. On the GPU: kernels whose result does not change between runs, and float32 products
    /// as such (NVIDIA's TF32 would keep 10 bits of the mantissa).
    pub(super) fn apply(self, builder: SessionBuilder) -> Result<SessionBuilder, EmbedError> {
        match self {
            Device::Cpu => Ok(builder),
            Device::Cuda => {
                let mut builder = builder.with_deterministic_compute(true).map_err(|error| self.refused(error))?;
                CUDA::default().with_tf32(false).register(&mut builder).map_err(|error| self.refused(error))?;
                Ok(builder)
            }
        }
    }

    fn refused(self, reason: impl std::fmt::Display) -> EmbedError {
        EmbedError::Device { device: self.name(), reason: one_line(reason) }
    }
}
