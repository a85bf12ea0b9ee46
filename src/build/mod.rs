//! `build`: an image from a Dockerfile and a directory of files.
//!
//! This layer stands between `cli` and `engine`. `dockerfile` reads the language and `ignore` the rules
//! of `.dockerignore`; the steps run through the engine's own containers and the image store, so that
//! a build has no way to make files or processes that `run`, `cp` and `commit` don't have.

pub mod dockerfile;
pub mod ignore;
