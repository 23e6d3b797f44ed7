//! Moments as people give them.

use jiff::{SignedDuration, Timestamp};

/// A moment as Unix time, ns: RFC 3339 (`2026-11-22T10:00:00Z`), or after a `+` the time since the recording's begin, as seconds
/// (`+90`, `+1.5`) or with units (`+1m30s`).
///
/// # Errors
/// What is wrong with it, in words.
pub fn moment(text: &str, started_ns: i64) -> Result<i64, String> {
    let Some(since) = text.strip_prefix('+') else {
        let parsed: Timestamp =
            text.parse().map_err(|_| format!("{text:?} is no moment: 2026-11-22T10:00:00Z, or +90s from the begin"))?;
        return i64::try_from(parsed.as_nanosecond()).map_err(|_| format!("{text:?} is out of range"));
    };
    let ns = match since.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && (0.0..1e9).contains(&seconds) => Some((seconds * 1e9).round() as i64),
        Ok(_) => None,
        Err(_) => since.parse::<SignedDuration>().ok().and_then(|span| i64::try_from(span.as_nanos()).ok()),
    };
    let ns = ns.ok_or_else(|| format!("{text:?} is no time since the begin: +90, +1.5, +1m30s"))?;
    started_ns.checked_add(ns).ok_or_else(|| format!("{text:?} is out of range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_absolute_or_since_the_begin() {
        let start = 1_000_000_000_000_000_000;
        assert_eq!(moment("+1.5", start), Ok(start + 1_500_000_000));
        assert_eq!(moment("+1m30s", start), Ok(start + 90_000_000_000));
        assert_eq!(moment("2001-09-09T01:46:40.5Z", start), Ok(start + 500_000_000));
        for bad in ["", "+", "+x", "+nan", "+1e300", "yesterday", "90"] {
            assert!(moment(bad, start).is_err(), "{bad}");
        }
        assert!(moment("+10", i64::MAX).is_err());
    }
}
