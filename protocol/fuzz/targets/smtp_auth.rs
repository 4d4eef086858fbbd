//! `fuzz::smtp_auth` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::smtp_auth::run(input));
