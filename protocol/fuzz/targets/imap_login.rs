//! `fuzz::imap_login` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::imap_login::run(input));
