#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| edgeseal_fuzz::rsa::run(data));
