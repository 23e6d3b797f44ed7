//! What a gate found, for people, for a pull request and for programs that read test results.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Line, Verdict};

/// A number with as many digits as are worth reading.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 1000.0 || v.fract() == 0.0 => 0,
        v if v >= 100.0 => 1,
        v if v >= 1.0 => 3,
        _ => 5,
    };
    let text = format!("{value:.digits$}");
    if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// Figure, unit, now, before, change for the worse, allowed, verdict.
pub const HEADER: [&str; 7] = ["figure", "unit", "now", "baseline", "worse by", "allowed", ""];

pub fn cells(line: &Line) -> Vec<String> {
    let of = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
    vec![
        line.figure.name.clone(),
        line.figure.unit.clone(),
        of(line.figure.value),
        of(line.baseline.as_ref().map(|entry| entry.value)),
        of(line.worse_by),
        of(line.limit),
        line.verdict.name().to_owned(),
    ]
}

/// For a pull request.
pub fn markdown(lines: &[Line]) -> String {
    let failed = lines.iter().filter(|line| line.verdict == Verdict::Failed).count();
    let mut out = match failed {
        0 => "### Gate: passed\n\n".to_owned(),
        1 => "### Gate: 1 figure is worse than the baseline allows\n\n".to_owned(),
        _ => format!("### Gate: {failed} figures are worse than the baseline allows\n\n"),
    };
    out += &format!("| {} |\n|---|---|--:|--:|--:|--:|---|\n", HEADER.join(" | "));
    for line in lines {
        let mut cells = cells(line);
        if line.verdict == Verdict::Failed {
            cells[6] = "**failed**".to_owned();
        }
        let safe = cells.iter().map(|cell| cell.replace('|', "\\|").replace(['\n', '\r'], " "));
        out += &format!("| {} |\n", safe.collect::<Vec<_>>().join(" | "));
    }
    for line in lines {
        if let Some(why) = &line.figure.absent {
            out += &format!("\nNot measured: {}: {}\n", line.figure.name, why.replace(['\n', '\r'], " "));
        }
    }
    out
}

/// JUnit XML: a case for each figure, a suite for each group.
///
/// # Errors
/// The crate cannot write it.
pub fn junit(lines: &[Line]) -> Result<String, String> {
    let mut report = Report::new("eval gate");
    let mut groups: Vec<&str> = lines.iter().map(|line| line.figure.group()).collect();
    groups.dedup();
    for group in groups {
        let mut suite = TestSuite::new(group);
        for line in lines.iter().filter(|line| line.figure.group() == group) {
            let status = match line.verdict {
                Verdict::Passed | Verdict::Better | Verdict::New => TestCaseStatus::success(),
                Verdict::Failed => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_message(line.failure().unwrap_or_default());
                    status
                }
                Verdict::Absent => {
                    let mut status = TestCaseStatus::skipped();
                    status.set_message(line.figure.absent.clone().unwrap_or_default());
                    status
                }
            };
            let mut case = TestCase::new(line.figure.name.clone(), status);
            case.set_classname(format!("gate.{group}"));
            let value = line.figure.value.map_or_else(|| "-".to_owned(), number);
            case.set_system_out(format!("{value} {}; {}", line.figure.unit, line.figure.how));
            suite.add_test_case(case);
        }
        report.add_test_suite(suite);
    }
    report.to_string().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::baseline::{Baseline, Better};
    use super::super::{Figure, compare};
    use super::*;

    #[test]
    fn a_failure_is_one_in_every_form() {
        let figure = |name: &str, value: Option<f64>| Figure {
            name: name.to_owned(),
            value,
            absent: value.is_none().then(|| "needs root <here>".to_owned()),
            unit: "share".to_owned(),
            how: "counted".to_owned(),
            better: Better::More,
            slack: 0.0,
            share: 0.0,
        };
        let mut baseline = Baseline::default();
        let machine = crate::machine::Machine::look();
        baseline.update(&[figure("capture.a", Some(1.0)), figure("capture.b", Some(1.0))], &machine);
        let figures = [figure("capture.a", Some(0.8)), figure("capture.b", Some(1.0)), figure("overhead.c", None)];
        let lines = compare(&figures, &baseline);
        let text = markdown(&lines);
        assert!(text.starts_with("### Gate: 1 figure is worse"), "{text}");
        assert!(text.contains("| capture.a | share | 0.8 | 1 | 0.2 | 0 | **failed** |"), "{text}");
        assert!(text.contains("Not measured: overhead.c: needs root"), "{text}");
        let xml = junit(&lines).unwrap();
        assert!(xml.contains("tests=\"3\"") && xml.contains("failures=\"1\"") && xml.contains("<skipped"), "{xml}");
        assert!(xml.contains("capture.a: 0.8 share, and was 1") && xml.contains("&lt;here&gt;"), "{xml}");
    }

    #[test]
    fn numbers_have_the_digits_that_count() {
        assert_eq!(
            [12_345.6, 123.45, 1.23456, 0.05, 2.0, 0.0].map(number),
            ["12346", "123.5", "1.235", "0.05", "2", "0"]
        );
    }
}
