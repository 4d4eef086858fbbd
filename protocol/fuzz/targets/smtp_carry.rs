//! `fuzz::smtp_carry` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::smtp_carry::run(input));
