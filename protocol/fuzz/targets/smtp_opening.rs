//! `fuzz::smtp_opening` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::smtp_opening::run(input));
