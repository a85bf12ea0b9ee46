//! Those of mydocker's sources that read what strangers wrote, as a library for the fuzz targets.
//! What is done with an input is in `targets.rs`, a part of the `image` module.

#![allow(dead_code, unused_imports, unused_macros)]

#[path = "../../src/error.rs"]
pub mod error;
#[path = "../../src/healthcheck.rs"]
pub mod healthcheck;
#[path = "../../src/image/mod.rs"]
pub mod image;
#[path = "../../src/json.rs"]
pub mod json;
#[path = "../../src/runtime"]
pub mod runtime {
    pub mod ids;
}
#[path = "../../src/store/mod.rs"]
pub mod store;
#[path = "../../src/sys/mod.rs"]
pub mod sys;
#[path = "../../src/template/mod.rs"]
pub mod template;
#[path = "../../src/time.rs"]
pub mod time;
#[path = "../../src/units.rs"]
pub mod units;
