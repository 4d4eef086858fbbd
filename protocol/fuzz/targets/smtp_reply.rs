//! `fuzz::smtp_reply` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::smtp_reply::run(input));
