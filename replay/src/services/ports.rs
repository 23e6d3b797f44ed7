//! What a port says of a service.
//!
//! Names and numbers are those of IANA's Service Name and Transport Protocol Port Number Registry, and, for what is not in it or
//! commonly found elsewhere, the default port of the program (MongoDB, Elasticsearch, the Docker daemon, Kafka, Cassandra).

use serde::Serialize;

/// Whether others on the way can read what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    Encrypted,
    Cleartext,
    /// The protocol has both on one port (STARTTLS and the like), and which one it was was not seen.
    Either,
    Unknown,
}

impl Channel {
    pub fn name(self) -> &'static str {
        match self {
            Channel::Encrypted => "encrypted",
            Channel::Cleartext => "cleartext",
            Channel::Either => "either",
            Channel::Unknown => "unknown",
        }
    }
}

/// A well-known service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    pub port: u16,
    pub name: &'static str,
    pub channel: Channel,
    /// Who speaks it says a password or a token, as a rule.
    pub credentials: bool,
    /// Keeps data for others.
    pub store: bool,
}

/// The service of a port.
pub fn service(port: u16) -> Option<&'static Service> {
    SERVICES.binary_search_by_key(&port, |service| service.port).ok().map(|at| &SERVICES[at])
}

const fn of(port: u16, name: &'static str, channel: Channel, credentials: bool, store: bool) -> Service {
    Service { port, name, channel, credentials, store }
}

use Channel::{Cleartext, Either, Encrypted};

/// Sorted by port.
const SERVICES: &[Service] = &[
    of(20, "ftp-data", Cleartext, false, false),
    of(21, "ftp", Either, true, false),
    of(22, "ssh", Encrypted, false, false),
    of(23, "telnet", Cleartext, true, false),
    of(25, "smtp", Either, true, false),
    of(53, "dns", Cleartext, false, false),
    of(67, "dhcp", Cleartext, false, false),
    of(69, "tftp", Cleartext, false, false),
    of(80, "http", Cleartext, true, false),
    of(88, "kerberos", Encrypted, false, false),
    of(110, "pop3", Either, true, false),
    of(111, "sunrpc", Cleartext, false, false),
    of(123, "ntp", Cleartext, false, false),
    of(143, "imap", Either, true, false),
    of(161, "snmp", Either, true, false),
    of(389, "ldap", Either, true, true),
    of(443, "https", Encrypted, false, false),
    of(445, "smb", Either, false, true),
    of(465, "submissions", Encrypted, false, false),
    of(513, "rlogin", Cleartext, true, false),
    of(514, "syslog or rsh", Cleartext, true, false),
    of(587, "submission", Either, true, false),
    of(636, "ldaps", Encrypted, false, true),
    of(853, "dns over tls", Encrypted, false, false),
    of(873, "rsync", Cleartext, true, true),
    of(989, "ftps-data", Encrypted, false, false),
    of(990, "ftps", Encrypted, false, false),
    of(993, "imaps", Encrypted, false, false),
    of(995, "pop3s", Encrypted, false, false),
    of(1433, "ms-sql-s", Either, true, true),
    of(1521, "oracle", Either, true, true),
    of(1883, "mqtt", Cleartext, true, false),
    of(2049, "nfs", Either, false, true),
    of(2181, "zookeeper", Cleartext, true, true),
    of(2375, "docker", Cleartext, false, false),
    of(2376, "docker over tls", Encrypted, false, false),
    of(2379, "etcd", Either, true, true),
    of(3306, "mysql", Either, true, true),
    of(3389, "rdp", Encrypted, false, false),
    of(5432, "postgresql", Either, true, true),
    of(5671, "amqps", Encrypted, false, false),
    of(5672, "amqp", Cleartext, true, false),
    of(5900, "vnc", Either, true, false),
    of(6379, "redis", Either, true, true),
    of(6443, "kubernetes", Encrypted, false, false),
    of(8080, "http", Cleartext, true, false),
    of(8443, "https", Encrypted, false, false),
    of(8883, "mqtts", Encrypted, false, false),
    of(9042, "cassandra", Either, true, true),
    of(9092, "kafka", Either, true, true),
    of(9200, "elasticsearch", Either, true, true),
    of(11211, "memcached", Cleartext, false, true),
    of(27017, "mongodb", Either, true, true),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_sorted_and_found() {
        assert!(SERVICES.windows(2).all(|pair| pair[0].port < pair[1].port));
        assert_eq!(service(6379).map(|service| (service.name, service.store)), Some(("redis", true)));
        assert_eq!(service(23).map(|service| service.channel), Some(Channel::Cleartext));
        assert_eq!(service(4), None);
    }
}
