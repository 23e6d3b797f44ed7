//! Secrets never reach the recording, nor do the host's name and addresses.

mod common;

use std::os::unix::process::CommandExt;
use std::process::Command;

use common::{Recorded, can_record, python, read, record_with, recorder};
use record_bpf::Kind;

const SECRET: &str = "c0rrect-h0rse-battery";

/// Everything in the recording, as text.
fn everything(recorded: &Recorded) -> String {
    let dir = recorded.dir.path().join("recording");
    let containers = datasets::Recording::open(&dir).unwrap().containers().unwrap();
    let manifest = std::fs::read_to_string(dir.join("manifest.json")).unwrap();
    let data = recorded.events.iter().filter_map(|event| match event {
        datasets::Event::Tls(row) => Some(String::from_utf8_lossy(&row.data).into_owned()),
        _ => None,
    });
    let data: Vec<String> = data.collect();
    format!("{:?}\n{:?}\n{containers:?}\n{manifest}\n{data:?}", recorded.events, recorded.processes)
}

#[test]
fn a_secret_in_argv_is_masked_in_rows_and_in_the_process_table_unless_asked_for() {
    if !can_record("a_secret_in_argv_is_masked_in_rows_and_in_the_process_table_unless_asked_for") {
        return;
    }
    let one = format!("/bin/true --password {SECRET}; /bin/true --password-file /tmp/x; (exit 0)");
    let recorded =
        record_with(&["--events", "process,file"], &["env", &format!("PGPASSWORD={SECRET}"), "sh", "-c", &one]);
    let text = everything(&recorded);
    assert!(!text.contains(SECRET), "{text}");
    let argv_of = |name: &str| -> Vec<Vec<String>> {
        let owned = |argv: &Vec<std::sync::Arc<str>>| argv.iter().map(|word| word.to_string()).collect();
        recorded
            .process(Kind::Exec)
            .filter_map(|row| row.argv.as_ref())
            .map(owned)
            .filter(|argv: &Vec<String>| argv[0] == name)
            .collect()
    };
    let masked = "<masked:password>";
    assert_eq!(argv_of("env")[0][..3], ["env".to_owned(), format!("PGPASSWORD={masked}"), "sh".to_owned()]);
    let known = ["/bin/true", "--password", masked].map(str::to_owned).to_vec();
    let kept = ["/bin/true", "--password-file", "/tmp/x"].map(str::to_owned).to_vec();
    assert_eq!(argv_of("/bin/true"), [known.clone(), kept]);
    assert!(recorded.processes.iter().any(|row| row.argv.iter().flatten().any(|word| &**word == masked)));
    let masking = recorded.manifest.masking.clone().unwrap();
    // env, sh, and the first /bin/true.
    assert_eq!((masking.on, masking.rows.get("process")), (true, Some(&3)), "{masking:?}");

    let recorded = record_with(&["--no-mask"], &["/bin/true", "--password", SECRET]);
    assert!(everything(&recorded).contains(SECRET));
    let masking = recorded.manifest.masking.clone().unwrap();
    assert_eq!((masking.on, masking.rows.len()), (false, 0));
}

#[test]
fn the_hosts_name_is_not_in_a_recording() {
    if !can_record("the_hosts_name_is_not_in_a_recording") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let name = "retroscope-host-name-of-a-test";
    let mut command =
        recorder(dir.path(), &["--events", "all", "--", "sh", "-c", "cat /proc/self/status > /dev/null; sleep 1.2"]);
    // SAFETY: two system calls on a constant, in the forked child alone.
    unsafe {
        command.pre_exec(move || {
            let named =
                libc::unshare(libc::CLONE_NEWUTS) == 0 && libc::sethostname(name.as_ptr().cast(), name.len()) == 0;
            if named { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let recorded = read(dir, output);
    let text = everything(&recorded);
    assert!(!text.contains(name), "{text}");
    let own = Command::new("ip").args(["-o", "-brief", "address"]).output().unwrap();
    let own = String::from_utf8(own.stdout).unwrap();
    let addresses = own.split_whitespace().filter_map(|word| word.split_once('/')).map(|(address, _)| address);
    for address in addresses.filter(|address| address.len() > 6 && !address.starts_with("127.")) {
        assert!(!text.contains(address), "{address}");
    }
}

#[test]
fn credentials_in_tls_plaintext_are_masked_and_http_is_parsed_all_the_same() {
    if !can_record("credentials_in_tls_plaintext_are_masked_and_http_is_parsed_all_the_same") {
        return;
    }
    // A handshake in memory, without a socket or a certificate.
    let program = r#"
import ssl, sys
secret = sys.stdin.readline().strip()
def context(side):
    made = ssl.SSLContext(side); made.check_hostname = False; made.verify_mode = ssl.CERT_NONE
    made.maximum_version = ssl.TLSVersion.TLSv1_2; made.set_ciphers('AECDH:@SECLEVEL=0'); return made
a, b = ssl.MemoryBIO(), ssl.MemoryBIO()
client = context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(a, b)
server = context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(b, a, server_side=True)
for _ in range(10):
    for side in (client, server):
        try: side.do_handshake()
        except ssl.SSLWantReadError: pass
request = 'POST /login?token=%s&x=1 HTTP/1.1\r\nHost: shop.example\r\nAuthorization: Bearer %s\r\nCookie: sid=%s\r\nX-Plain: kept\r\n\r\n{"password": "%s", "user": "me"}'
client.write((request % (secret, secret, secret, secret)).encode())
assert secret in server.read(4096).decode()
"#;
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let args = ["--events", "process,tls", "--", &*python(), "-I", "-S", "-c", program];
    let output = recorder(dir.path(), &args).stdin(std::fs::File::open(&secret).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let recorded = read(dir, output);
    assert!(!everything(&recorded).contains(SECRET));
    let rows = recorded.events.iter().filter_map(|event| match event {
        datasets::Event::Tls(row) if row.http_method.is_some() => Some(row),
        _ => None,
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 2, "written and read: {rows:?}");
    for row in rows {
        assert_eq!(row.http_path.as_deref(), Some("/login?token=<masked:password>&x=1"));
        let headers: Vec<_> = row.http_headers.iter().flatten().map(|header| &**header).collect();
        let wanted = [
            "Host: shop.example",
            "Authorization: Bearer <masked:credentials>",
            "Cookie: <masked:cookie>",
            "X-Plain: kept",
        ];
        assert_eq!(headers, wanted);
        assert!(row.data.ends_with(br#"{"password": "<masked:password>", "user": "me"}"#));
    }
    assert_eq!(recorded.manifest.masking.as_ref().unwrap().rows.get("tls"), Some(&2));
}
