//! The head of an HTTP/1 message, from the plaintext of one call.

use httparse::{EMPTY_HEADER, Header, Request, Response, Status};

use crate::decode::text;

/// Headers kept of a message; servers' own limits are about as high (nginx: 32 KiB of them, Apache: 100).
const HEADERS_MAX: usize = 128;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub method: Option<String>,
    pub path: Option<String>,
    pub version: Option<String>,
    pub host: Option<String>,
    /// As "name: value".
    pub headers: Option<Vec<String>>,
    pub status: Option<u16>,
}

/// The head at the beginning of `data`, if there is one. Of a head that is cut off, as much as there are whole lines of.
pub fn head(data: &[u8]) -> Option<Head> {
    // Most calls carry something else, and every head begins with a token of letters.
    if !data.first().is_some_and(u8::is_ascii_uppercase) {
        return None;
    }
    parse(data).or_else(|| {
        let lines = data.windows(2).rposition(|pair| pair == b"\r\n")?;
        parse(&[&data[..lines], b"\r\n\r\n"].concat())
    })
}

/// A whole head, up to its empty line.
fn parse(data: &[u8]) -> Option<Head> {
    let mut space = [EMPTY_HEADER; HEADERS_MAX];
    if data.starts_with(b"HTTP/") {
        let mut response = Response::new(&mut space);
        let Ok(Status::Complete(_)) = response.parse(data) else { return None };
        return Some(Head {
            version: response.version.map(version),
            status: response.code,
            headers: Some(lines(response.headers)),
            ..Head::default()
        });
    }
    let mut request = Request::new(&mut space);
    let Ok(Status::Complete(_)) = request.parse(data) else { return None };
    let host = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("host"));
    Some(Head {
        method: request.method.map(str::to_owned),
        path: request.path.map(str::to_owned),
        version: request.version.map(version),
        host: host.map(|header| text(header.value)),
        headers: Some(lines(request.headers)),
        status: None,
    })
}

fn version(minor: u8) -> String {
    format!("1.{minor}")
}

fn lines(headers: &[Header<'_>]) -> Vec<String> {
    headers.iter().map(|header| format!("{}: {}", header.name, text(header.value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_responses_are_parsed() {
        let request = head(b"GET /a?b=%20c HTTP/1.1\r\nHost: shop.example\r\nX-Bin: \xff\r\n\r\nbody").unwrap();
        assert_eq!(request.method.as_deref(), Some("GET"));
        assert_eq!(request.path.as_deref(), Some("/a?b=%20c"));
        assert_eq!((request.version.as_deref(), request.host.as_deref()), (Some("1.1"), Some("shop.example")));
        assert_eq!(request.headers.unwrap(), ["Host: shop.example", "X-Bin: \\xff"]);
        assert_eq!(request.status, None);
        let response = head(b"HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\n").unwrap();
        assert_eq!((response.status, response.version.as_deref()), (Some(404), Some("1.0")));
        assert_eq!((response.method, response.headers), (None, Some(vec!["Server: x".to_owned()])));
    }

    #[test]
    fn a_cut_head_gives_its_whole_lines() {
        let cut = head(b"POST /x HTTP/1.1\r\nHost: a\r\nCookie: sess").unwrap();
        assert_eq!((cut.path.as_deref(), cut.headers), (Some("/x"), Some(vec!["Host: a".to_owned()])));
        let line = head(b"POST /x HTTP/1.1\r\n").unwrap();
        assert_eq!((line.method.as_deref(), line.headers), (Some("POST"), Some(vec![])));
        assert_eq!(head(b"POST /x HTT"), None);
    }

    #[test]
    fn what_is_not_http_1_is_left_alone() {
        for data in [
            &b""[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\x16\x03\x01",
            b"Hello, world\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
        ] {
            assert_eq!(head(data), None, "{}", text(data));
        }
    }
}
