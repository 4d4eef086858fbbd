//! `fuzz::socketmap` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::socketmap::run(input));
