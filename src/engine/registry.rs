//! `pull`, `push`, `login`, `logout`: what is asked of a registry. `transfer` does it.

use std::io::{BufRead, IsTerminal, Read};
use std::path::PathBuf;

use super::Engine;
pub use super::transfer::{login, logout};
use crate::container::tty::NoEcho;
use crate::error::{Context, Result, fail};
use crate::image::ImageStore;

/// The longest password or token that is read.
const MAX_SECRET: u64 = 64 << 10;

/// How a registry is to be spoken to.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    pub tls_verify: Option<bool>,
    pub ca_cert: Option<PathBuf>,
}

/// Who one is to a registry.
#[derive(Clone)]
pub struct Login {
    /// Empty is Docker Hub.
    pub server: String,
    pub user: String,
    pub password: String,
}

#[derive(Clone, Debug, Default)]
pub struct PullRequest {
    pub name: String,
    /// `os/architecture[/variant]`; `None` is this machine's.
    pub platform: Option<String>,
    pub all_tags: bool,
    pub registry: RegistryOptions,
}

impl Engine {
    /// Whether an image of that name is here.
    pub fn has_image(&self, name: &str) -> Result<bool> {
        let here = ImageStore::open(&self.roots).find(name)?.is_some();
        Ok(here || name == super::hello::NAME)
    }
}

/// Asks for a line on the terminal, unseen if it is `secret`.
pub fn ask(prompt: &str, secret: bool) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        fail!("{prompt}: the standard input is no terminal to ask on; use -u and --password-stdin");
    }
    let _unseen = secret.then(NoEcho::enter).transpose()?;
    eprint!("{prompt}: ");
    let mut line = String::new();
    let read = std::io::stdin().lock().take(MAX_SECRET).read_line(&mut line);
    read.context(|| "read the terminal")?;
    if secret {
        eprintln!();
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// The secret on the standard input, its last newline left out.
pub fn read_secret() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_SECRET).read_to_string(&mut text);
    read.context(|| "read the password from the standard input")?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
