#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mydocker_fuzz::template::fuzz::template(input));
