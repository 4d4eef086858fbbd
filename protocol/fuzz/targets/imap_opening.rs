//! `fuzz::imap_opening` for libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz::imap_opening::run(input));
