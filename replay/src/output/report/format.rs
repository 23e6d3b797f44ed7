//! Numbers as people read them.

/// Bytes in powers of 1000.
pub fn bytes(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // 999,950 is 1.0 MB, not 1000.0 kB.
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// Microseconds in ms.
pub fn millis(micros: f64) -> String {
    let digits = if micros < 10_000.0 { 2 } else { 0 };
    format!("{:.digits$} ms", micros / 1e3)
}

/// A share in percent.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.01 { "< 0.01 %".to_owned() } else { format!("{percent:.2} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_unit_that_fits() {
        let shown = [0, 999, 1000, 1_250_000, 999_950, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "1.2 MB", "1.0 MB", "18.4 EB"]);
        assert_eq!([millis(42.0), millis(12_345.6)], ["0.04 ms", "12 ms"]);
        assert_eq!([percent(0.0), percent(0.00001), percent(0.1234)], ["0.00 %", "< 0.01 %", "12.34 %"]);
    }
}
