#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mydocker::fuzz::dockerfile(input));
