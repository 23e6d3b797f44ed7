//! What a recording is on disk: manifest, segments, tables, writer, reader, verification.
//!
//! ```text
//! DIR/manifest.json              what it is, every file with its SHA-256, where every event went
//! DIR/process/00000.parquet ...  segments: event rows of one class, sorted by (ts, cpu, seq)
//! DIR/file/00000.parquet ...    (one folder per class)
//! DIR/processes.parquet          one row per process incarnation: names are stored once
//! DIR/containers.parquet         one row per container
//! DIR/addresses.parquet        who held which IP address when
//! DIR/losses.parquet             what was not stored, by CPU, class, cause and time
//! DIR/labels.parquet             ground truth, for scenarios
//! ```
//!
//! [`RecordingWriter`] makes one, [`Recording`] reads one, [`Follow`] reads one that is being made, [`verify()`] proves that it
//! is whole.

pub mod anonymise;
mod blocks;
mod codec;
mod column;
mod copy;
mod derive;
mod dimension;
mod encode;
mod error;
mod events;
pub mod export;
mod follow;
mod frame;
mod given;
mod hash;
mod holders;
pub mod import;
mod ipc;
mod journal;
mod keep;
mod keeping;
pub mod known;
mod losses;
pub mod manifest;
mod manifest_file;
pub mod manual;
mod merge;
pub mod model;
pub mod near;
mod open;
mod packed;
mod parquet_read;
mod parquet_write;
mod place;
mod read;
mod recover;
pub mod report;
pub mod rows;
pub mod schema_doc;
pub mod segment;
pub mod segment_account;
mod segment_list;
pub mod select;
mod seqs;
mod shipped;
mod signature;
mod slice;
mod splits;
pub mod store;
mod tables;
mod thinning;
pub mod tree;
mod verify;
pub mod words;
mod write;

pub use blocks::Blocks;
pub use copy::{Copied, copy, copy_growing};
pub use derive::{CpuRange, Derived, Source};
pub use dimension::{DIMENSIONS, dimension_columns};
pub use error::{Error, Result, instead};
pub use events::{Columns, Events};
pub use follow::{Follow, Grown, Growth};
pub use given::{FileLook, FileRow, Given, NetworkLook, NetworkRow};
pub use holders::Holders;
pub use keep::Keep;
pub use keeping::{End, Memory, Pruned, Recovered};
pub use losses::{Cause, Loss, Losses};
pub use manifest::{
    Accounting, ClassAccount, CpuAccount, Dropped, FilterChange, Kernel, Manifest, Masking, Moment, Recorder, Scenario,
    Segment, State, Step, Table,
};
pub use merge::{Merged, merge};
pub use model::*;
pub use read::Recording;
pub use recover::{Recovery, recover};
pub use report::{CpuReport, Finding, FindingKind, Gap, GapCause, Verdict, VerifyReport};
pub use segment_list::Segments;
pub use shipped::{DATASETS_VARIABLE, resolve, shipped_names};
pub use signature::{PublicKey, Signature, Signer, sign};
pub use slice::slice;
pub use splits::{Split, Splits};
pub use thinning::{KnownFilter, Sampling, SamplingChange, SamplingMode};
pub use verify::{Progress, verify, verify_signed};
pub use write::{Known, RecordingWriter, Rotation, Storage, add_labels};
