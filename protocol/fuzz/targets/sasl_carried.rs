//! `fuzz::sasl_carried` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::sasl_carried::run(input));
