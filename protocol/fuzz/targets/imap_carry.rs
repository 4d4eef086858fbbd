//! `fuzz::imap_carry` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::imap_carry::run(input));
