//! Fuzz target for names of images.
//!
//! The checked property is in `mydocker::fuzz`, which unit tests call too. This file only passes
//! the fuzzer's input on; `make fuzz` runs it.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mydocker::fuzz::reference(input));
