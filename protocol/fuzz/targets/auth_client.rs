//! `fuzz::auth_client` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::auth_client::run(input));
