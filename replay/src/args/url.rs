//! URLs: scheme, host and port are kept (an address as its class); path values and query values are masked by type.

use super::address::{mask_address, split_port};
use super::mask::{mask_embedded, mask_value};
use super::path::{is_sensitive, mask_path};

/// The canonical form of `scheme://[user[:password]@]host[:port][/path][?query][#fragment]`, or `None` for other text.
pub fn mask_url(word: &str) -> Option<String> {
    let (scheme, rest) = word.split_once("://")?;
    let scheme_char = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    if scheme.is_empty() || !scheme.bytes().all(scheme_char) {
        return None;
    }
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    let mut out = format!("{scheme}://");
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => {
            out.push_str("<user>@");
            host
        }
        None => authority,
    };
    out.push_str(&mask_host(host));
    let (tail, fragment) = tail.split_once('#').map_or((tail, None), |(tail, fragment)| (tail, Some(fragment)));
    let (path, query) = tail.split_once('?').map_or((tail, None), |(path, query)| (path, Some(query)));
    out.push_str(&mask_path(path));
    if let Some(query) = query {
        out.push('?');
        let pairs: Vec<_> = query.split('&').map(mask_pair).collect();
        out.push_str(&pairs.join("&"));
    }
    if let Some(fragment) = fragment {
        out.push('#');
        out.push_str(&mask_embedded(fragment));
    }
    Some(out)
}

/// A host with an optional port: an address becomes its class, a name stays, the port stays.
pub fn mask_host(text: &str) -> String {
    if let Some((host, port)) = split_port(text) {
        let host = mask_address(host).unwrap_or_else(|| host.to_owned());
        return format!("{host}:{port}");
    }
    mask_address(text).unwrap_or_else(|| text.to_owned())
}

/// `key=value` of a query. A value that could steer a program (shell operators, a path, another URL) stays as it is.
fn mask_pair(pair: &str) -> String {
    let Some((key, value)) = pair.split_once('=') else { return mask_embedded(pair) };
    let risky = value.contains(['/', '\\', ';', '|', '`', '$', '<', '>']) || value.contains('%') || is_sensitive(value);
    if risky {
        return format!("{key}={value}");
    }
    let masked = mask_value(value).unwrap_or_else(|| "<text>".to_owned());
    format!("{key}={masked}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_keep_scheme_host_class_and_port() {
        for (word, masked) in [
            ("http://127.0.0.1:8080/health", "http://<ip:loopback>:8080/health"),
            ("http://10.89.0.4/item/42", "http://<ip:private>/item/<num>"),
            ("https://203.0.113.9/x", "https://<ip:public>/x"),
            ("http://[::1]:80/", "http://<ip:loopback>:80/"),
            ("stratum+tcp://pool.minexmr.com:3333", "stratum+tcp://pool.minexmr.com:3333"),
            ("redis://user:secret@redis:6379/0", "redis://<user>@redis:6379/<num>"),
            ("http://web/search?q=shoes&page=2", "http://web/search?q=<text>&page=<num>"),
            ("http://web/run?cmd=id;ls", "http://web/run?cmd=id;ls"),
            ("http://web/f?name=../../etc/passwd", "http://web/f?name=../../etc/passwd"),
            ("http://web/f?u=%2fetc", "http://web/f?u=%2fetc"),
        ] {
            assert_eq!(mask_url(word).as_deref(), Some(masked), "{word}");
        }
        for word in ["", "://x", "a b://x", "redis:6379", "/a/b"] {
            assert_eq!(mask_url(word), None, "{word}");
        }
    }
}
