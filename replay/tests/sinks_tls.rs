//! TLS: a receiver whose certificate descends from `ca_file` is spoken to, any other is not, and a password goes to no other.

mod common;
mod receivers;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{stderr, stdout};
use receivers::{Running, free_port, program, python, until};

/// `ca.pem`, and `leaf.pem` with `leaf.key` for 127.0.0.1. `None`: no openssl, said loudly.
fn certificates(dir: &Path) -> Option<()> {
    let openssl = program("openssl")?;
    let run = |args: &str| {
        let output = Command::new(&openssl).args(args.split(' ')).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "openssl {args}: {}", stderr(&output));
    };
    fs::write(dir.join("leaf.ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    run(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca"));
    run(&format!("req {key} -keyout leaf.key -out leaf.csr -subj /CN=127.0.0.1"));
    run("x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem");
    Some(())
}

/// An SMTP server with STARTTLS (or TLS from the first byte) and a password.
const SMTP: &str = r#"
import asyncio, ssl, sys
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
port, way, kept = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("leaf.pem", "leaf.key")
class Keep:
    async def handle_DATA(self, server, session, envelope):
        with open(kept, "ab") as file:
            file.write(envelope.content)
        return "250 kept"
def login(server, session, envelope, mechanism, data):
    good = data.login == b"retroscope" and data.password == b"HIDDEN-9"
    return AuthResult(success=good, handled=False)
tls = {"ssl_context": context} if way == "smtps" else {"tls_context": context, "require_starttls": True}
controller = Controller(Keep(), hostname="127.0.0.1", port=port, authenticator=login, auth_required=True,
                        auth_require_tls=(way != "smtps"), **tls)
if way == "smtps":
    async def serve():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(controller._factory_invoker, host="127.0.0.1", port=port, ssl=context)
        await server.serve_forever()
    controller.loop = asyncio.new_event_loop()
    controller.loop.run_until_complete(serve())
else:
    controller.start()
    asyncio.new_event_loop().run_forever()
"#;

const HTTPS: &str = r#"
import http.server, ssl, sys
class Keep(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[2], "ab") as file:
            file.write((self.headers["Authorization"] or "").encode() + b"\n" + body + b"\n")
        self.send_response(204)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Keep)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("leaf.pem", "leaf.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

/// Tries a sink out: its exit code and everything it printed.
fn tried(dir: &Path, sink: &str, password: &str) -> (Option<i32>, String) {
    let file = dir.join("replay.toml");
    fs::write(&file, format!("[sinks.it]\nattempts = 3\ntimeout = 5\n{sink}\n")).unwrap();
    let args = ["sinks", "test", "it", "--config", file.to_str().unwrap()];
    let output = common::replay_with(&args, &[("SECRET", password)]);
    (output.status.code(), format!("{}{}", stdout(&output), stderr(&output)))
}

#[test]
fn mail_goes_over_tls_to_whom_the_certificate_names() {
    for way in ["smtp", "smtps"] {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path();
        let (Some(mut server), Some(())) = (python(), certificates(dir)) else { return };
        let (port, kept) = (free_port(), dir.join("kept"));
        let _running = Running::start(server.args(["-c", SMTP, &port.to_string(), way]).arg(&kept).current_dir(dir));
        until("the SMTP server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        let sink = format!(
            "type = 'email'\nurl = '{way}://127.0.0.1:{port}'\nfrom = 'a@shop.example'\nto = ['b@shop.example']\n\
             username = 'retroscope'\npassword_env = 'SECRET'\n"
        );
        let (code, text) = tried(dir, &sink, "HIDDEN-9");
        assert_eq!(code, Some(1), "{way}: a stranger's certificate: {text}");
        let trusting = format!("{sink}ca_file = '{}'", dir.join("ca.pem").display());
        let (code, text) = tried(dir, &trusting, "HIDDEN-wrong");
        assert_eq!(code, Some(1), "{way}: a wrong password: {text}");
        assert!(!text.contains("HIDDEN"), "{text}");
        assert!(!kept.exists());
        let (code, text) = tried(dir, &trusting, "HIDDEN-9");
        assert_eq!(code, Some(0), "{way}: {text}");
        assert!(fs::read_to_string(&kept).unwrap().contains("[TEST, nothing happened]"));
    }
}

#[test]
fn an_https_receiver_is_known_by_its_certificate() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path();
    let (Some(mut server), Some(())) = (python(), certificates(dir)) else { return };
    let (port, kept) = (free_port(), dir.join("kept"));
    let _running = Running::start(server.args(["-c", HTTPS, &port.to_string()]).arg(&kept).current_dir(dir));
    until("the server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let sink = format!("type = 'webhook'\nurl = 'https://127.0.0.1:{port}/in'\nauthorization_env = 'SECRET'\n");
    let (code, text) = tried(dir, &sink, "Bearer HIDDEN-8");
    assert_eq!(code, Some(1), "a stranger's certificate: {text}");
    assert!(!kept.exists() && !text.contains("HIDDEN"), "{text}");
    let (code, text) = tried(dir, &format!("{sink}ca_file = '{}'", dir.join("ca.pem").display()), "Bearer HIDDEN-8");
    assert_eq!(code, Some(0), "{text}");
    let kept = fs::read_to_string(&kept).unwrap();
    assert!(kept.starts_with("Bearer HIDDEN-8\n{") && kept.contains("\"test\":true"), "{kept}");
}
