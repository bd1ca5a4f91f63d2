#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| edgeseal_fuzz::base64url::run(data));
