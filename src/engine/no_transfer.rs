//! Registries left out of the build (cargo feature `pull`): images come by `load` and `import`.

use super::Engine;
use super::registry::{Login, PullRequest, RegistryOptions};
use super::view::TransferEvent;
use crate::error::{Error, Result};

fn left_out() -> Error {
    Error::new(
        "this mydocker was built without registries (cargo feature 'pull'); images come by `load` \
         and `import`",
    )
}

impl Engine {
    pub fn pull(&self, _: &PullRequest, _: &(dyn Fn(TransferEvent) + Sync)) -> Result<Vec<String>> {
        Err(left_out())
    }

    pub fn push(
        &self,
        _: &str,
        _: bool,
        _: &RegistryOptions,
        _: &(dyn Fn(TransferEvent) + Sync),
    ) -> Result<Vec<String>> {
        Err(left_out())
    }
}

pub fn login(_: &Login, _: &RegistryOptions) -> Result<String> {
    Err(left_out())
}

pub fn logout(_: &str) -> Result<bool> {
    Err(left_out())
}
