//! One record as the kernel side would put it into the ring: it is decoded or counted, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports, reason = "the recorder uses all of it")]
#[path = "../../record/src/decode/mod.rs"]
mod decode;

fuzz_target!(|data: &[u8]| {
    let header = decode::header(data);
    let call = decode::call(data);
    match decode::record(data) {
        Ok(record) => {
            assert!(header.is_some(), "a record without a header");
            if let decode::Record::Dns(dns) = &record {
                for cut in [false, true] {
                    std::hint::black_box(decode::dns_message(&dns.payload, cut));
                }
            }
            std::hint::black_box(format!("{record:?}"));
        }
        Err(_) => assert!(call.is_none(), "a call is a record"),
    }
});
