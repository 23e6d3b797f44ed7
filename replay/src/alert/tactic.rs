//! The ATT&CK tactics of a technique: what the attacker wants with it.

use serde::Serialize;

/// A tactic of MITRE ATT&CK, Enterprise matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Tactic {
    /// As TA0040.
    pub id: &'static str,
    pub name: &'static str,
}

/// In the order of the matrix. From <https://attack.mitre.org/tactics/enterprise/>.
const INITIAL_ACCESS: Tactic = Tactic { id: "TA0001", name: "Initial Access" };
const EXECUTION: Tactic = Tactic { id: "TA0002", name: "Execution" };
const PERSISTENCE: Tactic = Tactic { id: "TA0003", name: "Persistence" };
const ESCALATION: Tactic = Tactic { id: "TA0004", name: "Privilege Escalation" };
const EVASION: Tactic = Tactic { id: "TA0005", name: "Defense Evasion" };
const CREDENTIALS: Tactic = Tactic { id: "TA0006", name: "Credential Access" };
const DISCOVERY: Tactic = Tactic { id: "TA0007", name: "Discovery" };
const LATERAL: Tactic = Tactic { id: "TA0008", name: "Lateral Movement" };
const COLLECTION: Tactic = Tactic { id: "TA0009", name: "Collection" };
const COMMAND: Tactic = Tactic { id: "TA0011", name: "Command and Control" };
const EXFILTRATION: Tactic = Tactic { id: "TA0010", name: "Exfiltration" };
const IMPACT: Tactic = Tactic { id: "TA0040", name: "Impact" };

/// Techniques without their sub-techniques, which share the tactics of the whole. From the techniques' pages below
/// <https://attack.mitre.org/techniques/>.
const TACTICS: &[(&[Tactic], &[&str])] = &[
    (&[INITIAL_ACCESS], &["T1189", "T1190", "T1195", "T1199", "T1200", "T1566"]),
    (&[INITIAL_ACCESS, PERSISTENCE], &["T1133"]),
    (&[INITIAL_ACCESS, PERSISTENCE, ESCALATION, EVASION], &["T1078"]),
    (&[EXECUTION], &["T1059", "T1106", "T1129", "T1203", "T1204", "T1559", "T1569", "T1609"]),
    (&[EXECUTION, EVASION], &["T1610"]),
    (&[EXECUTION, PERSISTENCE, ESCALATION], &["T1053"]),
    (&[EXECUTION, LATERAL], &["T1072"]),
    (&[PERSISTENCE], &["T1136", "T1505", "T1525", "T1554"]),
    (&[PERSISTENCE, ESCALATION], &["T1037", "T1098", "T1543", "T1546", "T1547"]),
    (&[PERSISTENCE, ESCALATION, EVASION], &["T1574"]),
    (&[PERSISTENCE, EVASION], &["T1542"]),
    (&[PERSISTENCE, EVASION, COMMAND], &["T1205"]),
    (&[PERSISTENCE, EVASION, CREDENTIALS], &["T1556"]),
    (&[ESCALATION], &["T1068", "T1611"]),
    (&[ESCALATION, EVASION], &["T1055", "T1134", "T1484", "T1548"]),
    (
        &[EVASION],
        &[
            "T1006", "T1014", "T1027", "T1036", "T1070", "T1127", "T1140", "T1202", "T1211", "T1218", "T1222", "T1480",
            "T1553", "T1562", "T1564", "T1612", "T1620",
        ],
    ),
    (&[EVASION, DISCOVERY], &["T1497", "T1622"]),
    (&[CREDENTIALS], &["T1003", "T1110", "T1187", "T1212", "T1528", "T1539", "T1552", "T1555", "T1558"]),
    (&[CREDENTIALS, DISCOVERY], &["T1040"]),
    (&[CREDENTIALS, COLLECTION], &["T1056", "T1557"]),
    (
        &[DISCOVERY],
        &[
            "T1007", "T1012", "T1016", "T1018", "T1033", "T1046", "T1049", "T1057", "T1069", "T1082", "T1083", "T1087",
            "T1120", "T1124", "T1135", "T1201", "T1217", "T1518", "T1526", "T1580", "T1613", "T1614", "T1654",
        ],
    ),
    (&[LATERAL], &["T1021", "T1210", "T1534", "T1563", "T1570"]),
    (&[LATERAL, EVASION], &["T1550"]),
    (&[COLLECTION], &["T1005", "T1039", "T1074", "T1113", "T1115", "T1119", "T1125", "T1213", "T1530", "T1560"]),
    (
        &[COMMAND],
        &[
            "T1001", "T1008", "T1071", "T1090", "T1092", "T1095", "T1102", "T1104", "T1105", "T1132", "T1219", "T1568",
            "T1571", "T1572", "T1573",
        ],
    ),
    (&[EXFILTRATION], &["T1020", "T1029", "T1030", "T1041", "T1048", "T1052", "T1537", "T1567"]),
    (
        &[IMPACT],
        &[
            "T1485", "T1486", "T1489", "T1490", "T1491", "T1495", "T1496", "T1498", "T1499", "T1529", "T1531", "T1561",
            "T1565",
        ],
    ),
];

/// The tactics of a technique or sub-technique; none for one that is not listed here.
pub fn of(technique: &str) -> &'static [Tactic] {
    let whole = technique.split('.').next().unwrap_or(technique);
    TACTICS.iter().find(|(_, techniques)| techniques.contains(&whole)).map_or(&[], |(tactics, _)| tactics)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn sub_techniques_have_the_tactics_of_the_whole() {
        let ids = |technique| of(technique).iter().map(|tactic| tactic.id).collect::<Vec<_>>();
        assert_eq!(ids("T1496"), ["TA0040"]);
        assert_eq!(ids("T1053.003"), ["TA0002", "TA0003", "TA0004"]);
        assert_eq!(ids("T9999"), [""; 0]);
    }

    #[test]
    fn no_technique_is_listed_twice() {
        let all: Vec<_> = TACTICS.iter().flat_map(|(_, techniques)| *techniques).collect();
        assert_eq!(all.len(), all.iter().collect::<BTreeSet<_>>().len());
    }
}
