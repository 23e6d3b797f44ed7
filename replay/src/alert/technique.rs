//! Names of the ATT&CK techniques that rules, exemplars and scenarios mention.

use serde::Serialize;

use super::tactic::{self, Tactic};

/// A MITRE ATT&CK technique, Enterprise matrix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Technique {
    /// As T1496 or T1059.004.
    pub id: String,
    /// Empty where this build does not know the id.
    pub name: String,
    /// What it is for; none where this build does not know the id.
    pub tactics: &'static [Tactic],
}

/// From <https://attack.mitre.org/techniques/enterprise/>.
const NAMES: &[(&str, &str)] = &[
    ("T1003", "OS Credential Dumping"),
    ("T1003.007", "OS Credential Dumping: Proc Filesystem"),
    ("T1003.008", "OS Credential Dumping: /etc/passwd and /etc/shadow"),
    ("T1005", "Data from Local System"),
    ("T1006", "Direct Volume Access"),
    ("T1014", "Rootkit"),
    ("T1018", "Remote System Discovery"),
    ("T1021", "Remote Services"),
    ("T1027", "Obfuscated Files or Information"),
    ("T1033", "System Owner/User Discovery"),
    ("T1036", "Masquerading"),
    ("T1036.005", "Masquerading: Match Legitimate Resource Name or Location"),
    ("T1041", "Exfiltration Over C2 Channel"),
    ("T1046", "Network Service Discovery"),
    ("T1048", "Exfiltration Over Alternative Protocol"),
    ("T1049", "System Network Connections Discovery"),
    ("T1053", "Scheduled Task/Job"),
    ("T1053.003", "Scheduled Task/Job: Cron"),
    ("T1055", "Process Injection"),
    ("T1055.008", "Process Injection: Ptrace System Calls"),
    ("T1057", "Process Discovery"),
    ("T1059", "Command and Scripting Interpreter"),
    ("T1059.004", "Command and Scripting Interpreter: Unix Shell"),
    ("T1059.006", "Command and Scripting Interpreter: Python"),
    ("T1068", "Exploitation for Privilege Escalation"),
    ("T1070", "Indicator Removal"),
    ("T1070.002", "Indicator Removal: Clear Linux or Mac System Logs"),
    ("T1070.003", "Indicator Removal: Clear Command History"),
    ("T1070.004", "Indicator Removal: File Deletion"),
    ("T1070.006", "Indicator Removal: Timestomp"),
    ("T1071", "Application Layer Protocol"),
    ("T1071.001", "Application Layer Protocol: Web Protocols"),
    ("T1078", "Valid Accounts"),
    ("T1082", "System Information Discovery"),
    ("T1083", "File and Directory Discovery"),
    ("T1087", "Account Discovery"),
    ("T1090", "Proxy"),
    ("T1090.003", "Proxy: Multi-hop Proxy"),
    ("T1095", "Non-Application Layer Protocol"),
    ("T1098", "Account Manipulation"),
    ("T1098.004", "Account Manipulation: SSH Authorized Keys"),
    ("T1105", "Ingress Tool Transfer"),
    ("T1110", "Brute Force"),
    ("T1136", "Create Account"),
    ("T1136.001", "Create Account: Local Account"),
    ("T1140", "Deobfuscate/Decode Files or Information"),
    ("T1190", "Exploit Public-Facing Application"),
    ("T1203", "Exploitation for Client Execution"),
    ("T1222", "File and Directory Permissions Modification"),
    (
        "T1222.002",
        "File and Directory Permissions Modification: Linux and Mac File and Directory Permissions Modification",
    ),
    ("T1485", "Data Destruction"),
    ("T1486", "Data Encrypted for Impact"),
    ("T1489", "Service Stop"),
    ("T1496", "Resource Hijacking"),
    ("T1496.001", "Resource Hijacking: Compute Hijacking"),
    ("T1499", "Endpoint Denial of Service"),
    ("T1505.003", "Server Software Component: Web Shell"),
    ("T1525", "Implant Internal Image"),
    ("T1528", "Steal Application Access Token"),
    ("T1543", "Create or Modify System Process"),
    ("T1543.002", "Create or Modify System Process: Systemd Service"),
    ("T1546", "Event Triggered Execution"),
    ("T1546.004", "Event Triggered Execution: Unix Shell Configuration Modification"),
    ("T1547", "Boot or Logon Autostart Execution"),
    ("T1547.006", "Boot or Logon Autostart Execution: Kernel Modules and Extensions"),
    ("T1548", "Abuse Elevation Control Mechanism"),
    ("T1548.001", "Abuse Elevation Control Mechanism: Setuid and Setgid"),
    ("T1552", "Unsecured Credentials"),
    ("T1552.001", "Unsecured Credentials: Credentials In Files"),
    ("T1552.004", "Unsecured Credentials: Private Keys"),
    ("T1552.005", "Unsecured Credentials: Cloud Instance Metadata API"),
    ("T1556", "Modify Authentication Process"),
    ("T1556.003", "Modify Authentication Process: Pluggable Authentication Modules"),
    ("T1561", "Disk Wipe"),
    ("T1562", "Impair Defenses"),
    ("T1562.001", "Impair Defenses: Disable or Modify Tools"),
    ("T1562.004", "Impair Defenses: Disable or Modify System Firewall"),
    ("T1564", "Hide Artifacts"),
    ("T1564.001", "Hide Artifacts: Hidden Files and Directories"),
    ("T1565", "Data Manipulation"),
    ("T1571", "Non-Standard Port"),
    ("T1572", "Protocol Tunneling"),
    ("T1574", "Hijack Execution Flow"),
    ("T1609", "Container Administration Command"),
    ("T1610", "Deploy Container"),
    ("T1611", "Escape to Host"),
    ("T1613", "Container and Resource Discovery"),
    ("T1620", "Reflective Code Loading"),
];

/// The ids of all techniques that have a name here, in order.
pub fn known() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(id, _)| *id)
}

impl Technique {
    /// The technique of an id, with its name where it is known here (or else that of its parent technique).
    pub fn new(id: &str) -> Self {
        let id = id.trim().to_ascii_uppercase();
        let find = |id: &str| NAMES.iter().find(|(known, _)| *known == id).map(|(_, name)| (*name).to_owned());
        let name = find(&id).or_else(|| find(id.split('.').next()?)).unwrap_or_default();
        Self { tactics: tactic::of(&id), id, name }
    }
}

impl Technique {
    /// The technique that a sub-technique is part of, or itself.
    pub fn family(&self) -> &str {
        self.id.split('.').next().unwrap_or("")
    }

    /// The tactics' names, as `Persistence, Privilege Escalation`.
    pub fn tactic_names(&self) -> String {
        self.tactics.iter().map(|tactic| tactic.name).collect::<Vec<_>>().join(", ")
    }
}

impl std::fmt::Display for Technique {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.is_empty() { f.write_str(&self.id) } else { write!(f, "{} {}", self.id, self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_get_their_name_or_their_parents() {
        assert_eq!(Technique::new("t1496").to_string(), "T1496 Resource Hijacking");
        assert_eq!(Technique::new("T1110.001").to_string(), "T1110.001 Brute Force");
        assert_eq!(Technique::new("T9999").to_string(), "T9999");
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, none twice");
    }

    #[test]
    fn every_known_technique_has_a_tactic() {
        let without: Vec<_> = NAMES.iter().filter(|(id, _)| tactic::of(id).is_empty()).collect();
        assert!(without.is_empty(), "enter them in tactic.rs: {without:?}");
    }
}
