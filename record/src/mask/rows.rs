//! Where secrets may be in a recording: what is masked of each record and container, and the count of it.

use std::collections::BTreeMap;

use datasets::{Container, Masking};
use record_bpf::Kind;

use super::Masker;
use crate::decode::Record;

/// Masks records on their way to rows, unless it is off.
pub struct Masks {
    masker: Option<Masker>,
    /// Rows in which something was masked, by class.
    rows: BTreeMap<String, u64>,
}

impl Masks {
    pub fn new(on: bool) -> Masks {
        Masks { masker: on.then(Masker::default), rows: BTreeMap::new() }
    }

    /// See [`Masker::prepare`].
    pub fn prepare(&self) {
        self.masker.iter().for_each(Masker::prepare);
    }

    /// Masks what a row or the process table will be made of.
    pub fn record(&mut self, record: &mut Record) {
        let Some(masker) = &self.masker else { return };
        let kind = match record {
            // The description of a running program is no row.
            Record::Introduce(program) => {
                masker.argv(&mut program.argv);
                return;
            }
            Record::Exec(program) => match masker.argv(&mut program.argv) {
                true => Kind::Exec,
                false => return,
            },
            Record::Tls(tls) => match masker.bytes(&tls.data) {
                Some(masked) => {
                    tls.data = masked;
                    Kind::TlsRead
                }
                None => return,
            },
            Record::Security(security) => {
                // An option of a mount and its value, as password=…; the source of a mount may be a URL.
                let option = security.source.as_deref().zip(security.name.as_deref());
                let option =
                    option.and_then(|(value, name)| Some((masker.text(&format!("{name}={value}"))?, name.len() + 1)));
                let masked = option.map(|(both, value)| both[value..].to_owned());
                let masked = masked.or_else(|| security.source.as_deref().and_then(|source| masker.text(source)));
                let name = security.name.as_deref().and_then(|name| masker.text(name));
                if masked.is_none() && name.is_none() {
                    return;
                }
                security.source = masked.or_else(|| security.source.take());
                security.name = name.or_else(|| security.name.take());
                Kind::Mount
            }
            _ => return,
        };
        *self.rows.entry(kind.class().name().to_owned()).or_default() += 1;
    }

    /// Masks a container's labels, which is a JSON object; true if something was.
    pub fn container(&mut self, container: &mut Container) -> bool {
        let Some(masker) = &self.masker else { return false };
        let Some(masked) = container.labels.as_deref().and_then(|labels| json_object(masker, labels)) else {
            return false;
        };
        container.labels = Some(masked);
        true
    }

    /// Rows in which something was masked, by class.
    pub fn rows(&self) -> &BTreeMap<String, u64> {
        &self.rows
    }

    /// For the manifest. `containers`: of which something was masked.
    pub fn account(&self, containers: u64) -> Masking {
        Masking { on: self.masker.is_some(), rows: self.rows.clone(), containers }
    }
}

/// The object with secrets in its values replaced, where the name says so or the form of the value; None if there are none.
fn json_object(masker: &Masker, json: &str) -> Option<String> {
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).ok()?;
    let mut any = false;
    for (name, value) in &mut object {
        let Some(text) = value.as_str() else { continue };
        // As the setting NAME=VALUE, in capitals so that the value ends with the text.
        let setting =
            format!("{}={text}", name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        let masked = masker.text(&setting).and_then(|masked| masked.split_once('=').map(|(_, value)| value.to_owned()));
        if let Some(masked) = masked {
            *value = masked.into();
            any = true;
        }
    }
    any.then(|| serde_json::Value::Object(object).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_masked_by_name_and_by_form() {
        let masker = Masker::default();
        let labels = r#"{"app":"shop","com.example.db-password":"a b","url":"redis://:x@cache","ttl":"5m"}"#;
        let masked = json_object(&masker, labels).unwrap();
        assert_eq!(
            masked,
            r#"{"app":"shop","com.example.db-password":"<masked:password>","url":"redis://:<masked:password>@cache","ttl":"5m"}"#
        );
        assert_eq!(json_object(&masker, r#"{"app":"shop"}"#), None);
        assert_eq!(json_object(&masker, "no json"), None);
    }
}
