//! What to do about an alert: one sentence, from its technique, what was seen, and how sure we are.

use super::{Finding, Technique};
use crate::deviation::Tree;
use crate::engines::Severity;

/// The suggested action. `name`: the container's name or short id.
pub fn suggest(
    severity: Severity,
    technique: Option<&Technique>,
    findings: &[Finding],
    name: &str,
    pid: u32,
) -> String {
    let reached = findings.iter().filter(|finding| {
        finding.tree == Tree::Network && finding.path.get(2).is_none_or(|way| &**way != "connect unix")
    });
    let peers = reached.filter_map(|finding| finding.text.split_once(" connects to "));
    // The name server told it where to go; it is not where it went.
    let peer = peers.min_by_key(|(_, peer)| peer.ends_with(":53"));
    let peer = peer.map(|(_, peer)| format!(" and block its traffic to {peer}"));
    let peer = peer.unwrap_or_default();
    if severity < Severity::Medium {
        return "none; kept for the record, and for whoever tunes the profile".to_owned();
    }
    if severity < Severity::High {
        return format!(
            "check whether {name} was changed on purpose; if so, learn it again, else treat it as the start of an incident"
        );
    }
    let family = technique.map_or("", Technique::family);
    match family {
        "T1496" => format!(
            "stop the miner: kill pid {pid}, isolate {name}{peer}; then rebuild it from its image and find the way in"
        ),
        "T1105" => format!("isolate {name}{peer}, keep the downloaded file as evidence, rebuild from the image"),
        "T1059" | "T1190" | "T1505" | "T1203" => {
            format!(
                "isolate {name}{peer}; fix the request handling that let a command run, rotate the secrets it could read"
            )
        }
        "T1611" | "T1068" | "T1548" => {
            format!("isolate the node of {name}: the container's border may be broken; keep its memory and disk")
        }
        "T1552" | "T1003" | "T1098" => format!("rotate every credential that {name} could read, then isolate it{peer}"),
        "T1041" | "T1048" | "T1071" | "T1095" | "T1571" | "T1572" | "T1090" => {
            format!("isolate {name}{peer}, and find out what it sent")
        }
        "T1222" | "T1036" | "T1564" | "T1070" | "T1140" | "T1027" => {
            format!("keep the file as evidence, isolate {name}{peer}, rebuild from the image")
        }
        _ => format!("isolate {name}{peer}, keep it as evidence, rebuild from the image"),
    }
}
