//! What can go wrong with object storage, and the way out of it.

use std::error::Error as _;
use std::path::Path;

use crate::Error;

/// A kind of failure of object storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not `s3://BUCKET/PREFIX`.
    BadUrl,
    /// The settings make no sense.
    Settings,
    /// There is no such bucket.
    NoBucket,
    /// Nothing says who asks.
    NoCredentials,
    /// The server does not know the key, or the signature is wrong.
    Rejected,
    /// The server knows who asks, and refuses.
    Denied,
    /// Nobody answers, or what answers does not speak S3, after all retries.
    Unreachable,
    /// The object changed while it was read.
    Changed,
    /// What is done in place cannot be done on object storage.
    LocalOnly,
    /// Bytes that were copied are not those of the manifest.
    Differs,
}

impl Fault {
    pub(crate) fn at(self, path: &Path, reason: impl Into<String>) -> Error {
        Error::Store { path: path.to_owned(), fault: self, reason: reason.into() }
    }

    pub(crate) fn hint(self) -> &'static str {
        match self {
            Fault::BadUrl => "a recording on object storage is s3://BUCKET/PREFIX",
            Fault::Settings => {
                "datasets/README.md, 'Recordings on object storage', lists the AWS_ variables that are read"
            }
            Fault::NoBucket => {
                "check the bucket's name, AWS_REGION, and AWS_ENDPOINT_URL for a store that is not AWS's"
            }
            Fault::NoCredentials => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (of a profile: `aws configure export-credentials --format env`), or AWS_SKIP_SIGNATURE=true for a public bucket"
            }
            Fault::Rejected => {
                "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, of temporary ones, AWS_SESSION_TOKEN; a clock that is wrong makes signatures wrong too"
            }
            Fault::Denied => {
                "reading needs s3:GetObject and s3:ListBucket on the bucket, writing s3:PutObject; without ListBucket a missing object is 'denied' too"
            }
            Fault::Unreachable => {
                "check AWS_ENDPOINT_URL and AWS_REGION, and AWS_ALLOW_HTTP=true for an endpoint without TLS; what was read or written before is as it was"
            }
            Fault::Changed => "nobody may write to a recording that is read: wait until the copy is complete",
            Fault::LocalOnly => "work on a local directory, then `datasets copy DIR s3://BUCKET/PREFIX`",
            Fault::Differs => "`datasets verify SRC` names everything that is damaged",
        }
    }
}

/// The error of an operation on the object at `path`.
pub(super) fn error(path: &Path, error: &object_store::Error) -> Error {
    use object_store::Error as E;
    let reason = words(error);
    let said = |code: &str| reason.contains(code);
    let fault = match error {
        E::NotFound { .. } if said("NoSuchBucket") => Fault::NoBucket,
        E::NotFound { .. } => return Error::MissingFile { path: path.to_owned() },
        _ if said("InvalidAccessKeyId") || said("SignatureDoesNotMatch") || said("ExpiredToken") => Fault::Rejected,
        E::PermissionDenied { .. } => Fault::Denied,
        E::Unauthenticated { .. } => Fault::Rejected,
        E::Precondition { .. } => Fault::Changed,
        E::InvalidPath { .. } => Fault::BadUrl,
        _ => Fault::Unreachable,
    };
    fault.at(path, short(&reason))
}

/// An error and its causes, each once, in one line.
fn words(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What S3 itself says in its XML, if it says something; else all, without end.
fn short(reason: &str) -> String {
    let tag = |name: &str| {
        let (_, rest) = reason.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(text, _)| text.to_owned())
    };
    match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => format!("{message} ({code})"),
        (Some(code), None) => code,
        _ => reason.chars().take(400).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(make: impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> object_store::Error, body: &str) -> Error {
        error(Path::new("s3://b/rec/x"), &make(body.into()))
    }

    #[test]
    fn what_s3_says_becomes_a_fault_that_names_the_url_and_a_way_out() {
        let missing = |source| object_store::Error::NotFound { path: "rec/x".to_owned(), source };
        assert!(matches!(of(missing, "<Code>NoSuchKey</Code>"), Error::MissingFile { .. }));
        let bucket = of(missing, "x <Code>NoSuchBucket</Code><Message>No such\n bucket</Message> y");
        assert!(matches!(bucket, Error::Store { fault: Fault::NoBucket, .. }));
        assert_eq!(bucket.to_string(), "s3://b/rec/x: No such bucket (NoSuchBucket)");
        let denied = |source| object_store::Error::PermissionDenied { path: "rec/x".to_owned(), source };
        assert!(matches!(of(denied, "<Code>AccessDenied</Code>"), Error::Store { fault: Fault::Denied, .. }));
        let wrong = of(denied, "<Code>SignatureDoesNotMatch</Code>");
        assert!(matches!(wrong, Error::Store { fault: Fault::Rejected, .. }) && !wrong.hint().is_empty());
        let generic = |source| object_store::Error::Generic { store: "S3", source };
        assert!(matches!(of(generic, "connection refused"), Error::Store { fault: Fault::Unreachable, .. }));
    }
}
