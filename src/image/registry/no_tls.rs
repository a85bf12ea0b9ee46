//! TLS left out of the build (cargo feature `pull`): registries are spoken to by plain HTTP alone.

use std::io;
use std::path::PathBuf;

use super::http::{Attempt, Failure, Stream};
use super::url::Origin;
use crate::error::Error;

pub struct Trust;

impl Trust {
    pub fn new(_: Vec<PathBuf>, _: Option<PathBuf>, _: Option<String>) -> Trust {
        Trust
    }

    /// Says what is missing, and that plain HTTP may be tried where that is allowed.
    pub fn wrap(&self, origin: &Origin, _: Box<dyn Stream>) -> Attempt<Box<dyn Stream>> {
        let host = origin.host_and_port();
        let told = format!(
            "{host} needs TLS, and this mydocker was built without it (cargo feature 'pull')"
        );
        Err(Failure { plain: true, ..Failure::lasting(Error::new(told)) })
    }
}

pub fn explain(_: &Origin, _: &io::Error) -> Option<Failure> {
    None
}
