//! `fuzz::smtp_recipients` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::smtp_recipients::run(input));
