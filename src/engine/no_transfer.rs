//! Replaces `transfer` in a build without the cargo feature `pull`.
//!
//! This file has the same public functions, so their callers need no conditional compilation. All
//! except `settings` and `proxy` fail with a hint at `load` and `import`.

use super::Engine;
use super::registry::{Login, PullRequest, RegistryOptions, RegistrySettings};
use super::view::TransferEvent;
use crate::error::{Error, Result};
use crate::reference::Reference;

/// The error of the functions in this file.
fn left_out() -> Error {
    Error::new(
        "this mydocker was built without registries (cargo feature 'pull'); use `load` or `import`",
    )
}

impl Engine {
    /// Fails: this build has no registries.
    pub fn pull(
        &self,
        _: &PullRequest,
        _: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<Vec<Reference>> {
        Err(left_out())
    }

    /// Fails: this build has no registries.
    pub fn push(
        &self,
        _: &Reference,
        _: bool,
        _: &RegistryOptions,
        _: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<Vec<Reference>> {
        Err(left_out())
    }
}

/// Returns an empty text, because this build asks no registry.
pub fn proxy(_: &str) -> String {
    String::new()
}

/// Returns empty settings, because this build has no registries.
pub fn settings() -> Result<RegistrySettings> {
    Ok(RegistrySettings::default())
}

/// Fails: this build has no registries.
pub fn login(_: &Login, _: &RegistryOptions) -> Result<String> {
    Err(left_out())
}

/// Fails: this build has no registries.
pub fn logout(_: &str) -> Result<bool> {
    Err(left_out())
}
