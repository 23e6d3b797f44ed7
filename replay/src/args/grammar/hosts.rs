//! Destinations: hosts by name or by the class of their address.

use crate::args::address::split_port;
use crate::args::knowledge::Knowledge;

/// `[user@]host[:port]`, or a mask of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    pub user: Option<&'a str>,
    pub name: &'a str,
    pub port: Option<u16>,
}

/// What kind of place a host is, from near to far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    Loopback,
    /// A name or address that only this network knows.
    Inside,
    /// Everybody's.
    Any,
    Outside,
    Metadata,
}

impl<'a> Host<'a> {
    /// Reads an authority; a port is taken only where one can stand.
    pub fn parse(text: &'a str) -> Self {
        let (user, rest) = text.rsplit_once('@').map_or((None, text), |(user, rest)| (Some(user), rest));
        let masked = rest.starts_with("<ip:");
        let (name, port) = if masked {
            let end = rest.find('>').map_or(rest.len(), |end| end + 1);
            (&rest[..end], rest[end..].strip_prefix(':').and_then(|port| port.parse().ok()))
        } else {
            split_port(rest).map_or((rest, None), |(name, port)| (name, Some(port)))
        };
        Self { user, name, port }
    }

    pub fn reach(&self) -> Reach {
        match self.name {
            "<ip:loopback>" | "localhost" => return Reach::Loopback,
            "<ip:private>" => return Reach::Inside,
            "<ip:public>" => return Reach::Outside,
            "<ip:metadata>" => return Reach::Metadata,
            "<ip:any>" | "*" => return Reach::Any,
            _ => {}
        }
        let names = &Knowledge::get().names;
        match self.name.rsplit_once('.') {
            Some((_, last)) if names.internal.contains(last) => Reach::Inside,
            Some(_) => Reach::Outside,
            None => Reach::Inside,
        }
    }

    /// The last two labels: who answers for the name.
    fn owner(&self) -> &str {
        let mut dots = self.name.rmatch_indices('.').map(|(at, _)| at);
        let _ = dots.next();
        dots.next().map_or(self.name, |at| &self.name[at + 1..])
    }

    /// Risk of going here where the ones in `known` were gone to.
    pub fn risk(&self, known: &[Host<'_>]) -> f32 {
        let same_host = known.iter().filter(|host| host.name == self.name).copied().collect::<Vec<_>>();
        let user: f32 = match self.user {
            Some(user) if !known.iter().any(|host| host.user == self.user) => {
                if user.starts_with("root") {
                    0.8
                } else if user.starts_with('<') {
                    0.1
                } else {
                    0.45
                }
            }
            _ => 0.0,
        };
        let place = if !same_host.is_empty() {
            port_risk(self.port, &same_host)
        } else {
            let reach = self.reach();
            let nearest = known.iter().map(Host::reach).max();
            let kin = known.iter().any(|host| {
                host.reach() == reach && (host.owner() == self.owner() || stem(host.name) == stem(self.name))
            });
            let place: f32 = match (reach, nearest) {
                (Reach::Metadata, _) => 1.0,
                (Reach::Outside, Some(Reach::Outside)) if kin => 0.15,
                (Reach::Outside, _) if lookalike(self.name, known) => 0.95,
                (Reach::Outside, _) => 0.85,
                (Reach::Any, _) => 0.7,
                (Reach::Inside, Some(Reach::Loopback)) => 0.6,
                (Reach::Inside, Some(Reach::Inside)) if kin => 0.1,
                (Reach::Inside, Some(_)) => 0.3,
                (Reach::Inside, None) => 0.4,
                (Reach::Loopback, _) => 0.25,
            };
            place.max(port_risk(self.port, known).min(0.3))
        };
        user.max(place)
    }
}

/// A new port on a host that is known: the next one along is another instance, any other another service.
fn port_risk(port: Option<u16>, known: &[Host<'_>]) -> f32 {
    if known.iter().any(|host| host.port == port) {
        return 0.0;
    }
    let Some(port) = port else { return 0.1 };
    let near = known.iter().filter_map(|host| host.port).any(|other| other.abs_diff(port) <= 100);
    if near { 0.1 } else { 0.45 }
}

/// `web-12.shop` → `web-.shop`: instances of one thing share it.
fn stem(name: &str) -> String {
    name.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// A name made to look like a known one: known labels in another's domain, or a letter or two changed.
fn lookalike(name: &str, known: &[Host<'_>]) -> bool {
    known.iter().any(|host| name.contains(host.name) || datasets::near::distance(name, host.name) <= 2)
}
