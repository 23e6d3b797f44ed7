//! The clients of buckets, and the thread that their requests run on.

use std::collections::BTreeMap;
use std::env;
use std::future::Future;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{BackoffConfig, RetryConfig};
use tokio::runtime::{Builder, Handle};

use super::{Fault, SCHEME, fault};
use crate::Result;

/// Tries of a request after the first, and the time after which none is begun: waiting 0.1 s, 0.2 s ... between them, up to 5 s.
const RETRIES: usize = 6;
const RETRY_FOR: Duration = Duration::from_secs(60);

/// How long the metadata service of a cloud machine may take to accept a connection. It is on the same host.
const METADATA_WITHIN: Duration = Duration::from_secs(1);

/// What gives credentials without the metadata service. Any of them.
const CREDENTIALS: [&str; 5] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SKIP_SIGNATURE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// One per process: a forked child has none of its parent's threads, and makes its own.
struct Shared {
    pid: u32,
    handle: Handle,
    buckets: BTreeMap<String, Arc<AmazonS3>>,
}

static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

/// An object, or the directory above objects.
#[derive(Clone)]
pub(crate) struct Place {
    path: PathBuf,
    store: Arc<AmazonS3>,
    handle: Handle,
    key: Key,
}

/// A request that is under way.
pub(crate) struct Pending<T> {
    path: PathBuf,
    answer: mpsc::Receiver<object_store::Result<T>>,
}

impl<T> Pending<T> {
    pub(crate) fn wait(self) -> Result<T> {
        match self.answer.recv() {
            Ok(answer) => answer.map_err(|error| fault::error(&self.path, &error)),
            // Its task panicked, or the thread is gone.
            Err(_) => Err(Fault::Unreachable.at(&self.path, "the request was given up")),
        }
    }
}

impl Place {
    pub(crate) fn new(path: &Path) -> Result<Place> {
        let bad = |reason: &str| Fault::BadUrl.at(path, reason);
        let text = path.to_str().ok_or_else(|| bad("it is not UTF-8"))?;
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| bad("it is not on object storage"))?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let key = key.trim_end_matches('/');
        if bucket.is_empty() || key.is_empty() {
            return Err(bad("it names no bucket, or nothing in it"));
        }
        let key = Key::parse(key).map_err(|error| bad(&error.to_string()))?;
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let pid = std::process::id();
        let shared = match &mut *shared {
            Some(shared) if shared.pid == pid => shared,
            other => other.insert(Shared { pid, handle: start(path)?, buckets: BTreeMap::new() }),
        };
        let store = match shared.buckets.get(bucket) {
            Some(store) => store.clone(),
            None => shared.buckets.entry(bucket.to_owned()).or_insert(Arc::new(connect(path, bucket)?)).clone(),
        };
        Ok(Place { path: path.to_owned(), store, handle: shared.handle.clone(), key })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// Begins a request.
    pub(crate) fn start<T, F>(&self, request: impl FnOnce(Arc<AmazonS3>, Key) -> F) -> Result<Pending<T>>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let (sender, answer) = mpsc::sync_channel(1);
        let request = request(self.store.clone(), self.key.clone());
        self.handle.spawn(async move {
            // Nobody may want the answer any more.
            let _ = sender.send(request.await);
        });
        Ok(Pending { path: self.path.clone(), answer })
    }

    /// Makes a request, and waits for its answer.
    pub(crate) fn wait<T, F>(&self, request: impl FnOnce(Arc<AmazonS3>, Key) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        self.start(request)?.wait()
    }
}

/// Starts the thread that requests run on. It ends with the process.
fn start(path: &Path) -> Result<Handle> {
    let failed = |error: std::io::Error| Fault::Settings.at(path, format!("cannot start its thread: {error}"));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let run = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name("object-store".to_owned()).spawn(run).map_err(failed)?;
    Ok(handle)
}

fn connect(path: &Path, bucket: &str) -> Result<AmazonS3> {
    let given = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    if !CREDENTIALS.iter().any(given) && !metadata_answers() {
        let reason = "no credentials: none in the environment, and no metadata service of a cloud machine answers";
        return Err(Fault::NoCredentials.at(path, reason));
    }
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(RetryConfig {
        backoff: BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() },
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
    });
    // AWS's own tools take the one for want of the other; object_store takes us-east-1.
    if let (false, Ok(region)) = (given(&"AWS_REGION"), env::var("AWS_DEFAULT_REGION")) {
        builder = builder.with_region(region);
    }
    builder.build().map_err(|error| Fault::Settings.at(path, error.to_string()))
}

fn metadata_answers() -> bool {
    if env::var("AWS_EC2_METADATA_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true")) {
        return false;
    }
    let endpoint = env::var("AWS_METADATA_ENDPOINT").unwrap_or_else(|_| "http://169.254.169.254".to_owned());
    let host = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest).trim_end_matches('/');
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let addresses = host.to_socket_addrs().into_iter().flatten();
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, METADATA_WITHIN).is_ok())
}
