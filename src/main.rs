//! The binary: it sets the allocator and calls the library.
//!
//! All of the code is in the library (`lib.rs`), so that benches and fuzz targets can link it. The
//! allocator is set here, because those keep the one of their own tool.

use std::process::ExitCode;

#[global_allocator]
static HEAP: mydocker::Heap = mydocker::Heap::global();

fn main() -> ExitCode {
    mydocker::main()
}
