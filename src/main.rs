//! The binary: sets the allocator and calls the library.
//!
//! The code is in the library (`lib.rs`), so that benchmarks and fuzz targets can link it. The
//! allocator is set here, because benchmarks and fuzz targets use another allocator.

use std::process::ExitCode;

#[global_allocator]
static HEAP: mydocker::Heap = mydocker::Heap::global();

fn main() -> ExitCode {
    mydocker::main()
}
