//! `fuzz::imap_response` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::imap_response::run(input));
