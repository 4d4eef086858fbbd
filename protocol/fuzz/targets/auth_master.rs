//! `fuzz::auth_master` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::auth_master::run(input));
