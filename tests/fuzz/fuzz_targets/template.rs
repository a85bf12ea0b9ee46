//! Fuzz target for templates of `--format`.
//!
//! `mydocker::fuzz::template` checks the property, and unit tests call this function too. This file
//! only passes the fuzzer's input on; `make fuzz` runs it.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mydocker::fuzz::template(input));
