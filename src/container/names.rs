//! The names of containers: `containers/names/<name>` is a symbolic link to `../<id>`. symlink(2)
//! fails if the link exists, so a name is unique.
//!
//! A killed `create` may leave a link to a container without config.json. A killed `rename` may
//! leave a link to a container that has another name. The next command that claims the name
//! replaces the link.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::record::{Record, all_ids};
use crate::container_id::ContainerId;
use crate::error::{Context, Error, Result, fail};
use crate::hex::random_digits;
use crate::order;
use crate::store::{self, Lock, Roots};

fn link_of(roots: &Roots, name: &str) -> PathBuf {
    roots.containers().join("names").join(name)
}

/// The ID to which the name's link points; `None` without a link. The link may be abandoned
/// (`is_abandoned`). Fails if the link points to no ID.
pub fn look_up(roots: &Roots, name: &str) -> Result<Option<ContainerId>> {
    match fs::read_link(link_of(roots, name)) {
        Ok(target) => {
            let id = target.file_name().and_then(|id| id.to_str()).unwrap_or_default();
            let Some(id) = ContainerId::parse(id) else {
                fail!("{} points to no container", link_of(roots, name).display());
            };
            Ok(Some(id))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("look up container name '{name}'")),
    }
}

/// Gives `name` to the container `id`. If another container has the name, fails with an error that
/// shows that container's ID.
pub fn claim(roots: &Roots, name: &str, id: &ContainerId) -> Result<()> {
    match try_claim(roots, name, id)? {
        None => Ok(()),
        Some(owner) => fail!(
            "the name '{name}' is in use by container {}; remove or rename that one, or choose \
             another name",
            owner.short()
        ),
    }
}

/// Gives a generated name such as `quiet_heron` to the container `id`, and returns the name.
pub fn claim_any(roots: &Roots, id: &ContainerId) -> Result<String> {
    claim_first_free(roots, id, || invent(roots))
}

fn claim_first_free(
    roots: &Roots,
    id: &ContainerId,
    next: impl Fn() -> Result<String>,
) -> Result<String> {
    const MAX_TRIES: u32 = 64;
    for _ in 0..MAX_TRIES {
        let name = next()?;
        // Another container may have taken the name after `next` found it free.
        if try_claim(roots, &name, id)?.is_none() {
            return Ok(name);
        }
    }
    fail!("no generated name is free; choose one with --name")
}

/// Gives `name` to the container `id`. If another container has the name, returns its ID.
fn try_claim(roots: &Roots, name: &str, id: &ContainerId) -> Result<Option<ContainerId>> {
    const MAX_TRIES: u32 = 16;
    for _ in 0..MAX_TRIES {
        let target = format!("../{id}");
        match std::os::unix::fs::symlink(target, link_of(roots, name)) {
            Ok(()) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).context(|| format!("claim name '{name}'")),
        }
        let Some(owner) = look_up(roots, name)? else { continue };
        if owner == *id {
            // An earlier `rename` of this container was killed and has left the link.
            return Ok(None);
        }
        if !is_abandoned(roots, name, &owner)? {
            return Ok(Some(owner));
        }
        // If another process claims the name first, the next turn finds its link.
        release(roots, name, &owner)?;
    }
    Err(Error::new(format!("the name '{name}' changes its owner too often; try again")))
}

/// Whether `name` belongs to no container although the name's link points to `id`. A killed
/// `create` or `rename` may leave such a link. The container `id` then has no config.json or has
/// another name, and no process holds its monitor's lock or its lock for changes.
pub fn is_abandoned(roots: &Roots, name: &str, id: &ContainerId) -> Result<bool> {
    let files = Files::new(roots, id);
    let is_its_name = || match Record::read(roots, id) {
        Ok(record) => record.name == name,
        // If the record cannot be read, the name may be the container's.
        Err(_) => files.config().exists(),
    };
    if is_its_name() {
        return Ok(false);
    }
    // Both locks must be free: `create` holds the first, `rename` the second.
    let is_free = |path: &Path| -> Result<bool> {
        Ok(!path.exists() || Lock::try_exclusive(path)?.is_some())
    };
    Ok(is_free(&files.monitor_lock())? && is_free(&files.dir)? && !is_its_name())
}

/// Removes the name's link if the link points to the container `id`.
pub fn release(roots: &Roots, name: &str, id: &ContainerId) -> Result<()> {
    if look_up(roots, name)?.as_deref() == Some(id) {
        store::remove_file(&link_of(roots, name))?;
    }
    Ok(())
}

/// Returns a name such as `quiet_heron` that is most likely free, without reserving it.
pub fn invent(roots: &Roots) -> Result<String> {
    const FIRST: [&str; 32] = [
        "able", "bold", "brave", "bright", "calm", "clever", "deft", "eager", "fair", "gentle",
        "glad", "grand", "happy", "jolly", "keen", "kind", "lively", "lucky", "merry", "mild",
        "neat", "noble", "proud", "quick", "quiet", "sharp", "sunny", "swift", "tidy", "warm",
        "wise", "witty",
    ];
    const SECOND: [&str; 32] = [
        "badger", "beaver", "bison", "crane", "dolphin", "eagle", "falcon", "ferret", "finch",
        "gecko", "heron", "ibis", "jackal", "kestrel", "koala", "lark", "lemur", "lynx", "magpie",
        "marten", "newt", "orca", "osprey", "otter", "panda", "puffin", "raven", "robin", "seal",
        "stork", "walrus", "wren",
    ];
    let random = random_digits()?;
    // The digits are hexadecimal, so this cannot fail.
    let number = |at: usize| usize::from_str_radix(&random[at..at + 4], 16).unwrap_or(0);
    let name = format!("{}_{}", FIRST[number(0) % 32], SECOND[number(4) % 32]);
    match look_up(roots, &name)? {
        None => Ok(name),
        Some(_) => Ok(format!("{name}{}", number(8))),
    }
}

/// The containers that match a text.
pub enum Match {
    None,
    One(ContainerId),
    Several(Vec<ContainerId>),
}

impl Match {
    /// Returns the only ID. Otherwise fails with an error that quotes `text`, which the user has
    /// typed.
    pub fn one(self, text: &str) -> Result<ContainerId> {
        match self {
            Match::None => Err(Error::absent(format!("no such container: {text}"))),
            Match::One(id) => Ok(id),
            Match::Several(ids) => {
                let mut ids: Vec<&str> = ids.iter().map(ContainerId::short).collect();
                order::sort(&mut ids);
                fail!("'{text}' is ambiguous: it may be any of {}", ids.join(", "))
            }
        }
    }
}

/// Finds the container for `text`: a full ID, a name, or a unique prefix of an ID. A leading slash,
/// which `inspect` prints before a name, is ignored. Fails if no or several containers match.
pub fn resolve(roots: &Roots, text: &str) -> Result<ContainerId> {
    find(roots, text)?.one(text)
}

/// As [`resolve`], for callers that continue if no or several containers match.
pub fn find(roots: &Roots, text: &str) -> Result<Match> {
    let text = text.strip_prefix('/').unwrap_or(text);
    if let Some(id) = ContainerId::parse(text)
        && roots.containers().join(&id).is_dir()
    {
        return Ok(Match::One(id));
    }
    // A valid name is never `.` or `..` and has no slash, so it is safe as a part of a path.
    if is_valid(text)
        && let Some(id) = look_up(roots, text)?
        && roots.containers().join(&id).is_dir()
    {
        return Ok(Match::One(id));
    }
    let hexadecimal = !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut candidates = Vec::new();
    if hexadecimal {
        candidates = all_ids(roots)?;
        candidates.retain(|id| id.starts_with(text));
    }
    Ok(match candidates.len() {
        0 | 1 => candidates.pop().map_or(Match::None, Match::One),
        _ => Match::Several(candidates),
    })
}

/// Whether `name` can be the name of a container.
pub fn is_valid(name: &str) -> bool {
    crate::name::is_valid(name, 128)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_taken_generated_name_is_replaced_by_another() {
        let dir = std::env::temp_dir().join(format!("names-{}", std::process::id()));
        let roots = Roots::new(Some(dir.join("state")), Some(dir.join("run"))).unwrap();
        let owner_id = ContainerId::new().unwrap();
        let owner = Files::new(&roots, &owner_id);
        for made in [&roots.containers().join("names"), &owner.dir] {
            store::make_dir(made).unwrap();
        }
        // A name with an unreadable record is still in use.
        fs::write(owner.config(), "?").unwrap();
        claim(&roots, "fair_bison", &owner_id).unwrap();
        let id = ContainerId::new().unwrap();
        let names = RefCell::new(["fair_bison", "fair_bison", "calm_wren"].into_iter());
        let next = || Ok(names.borrow_mut().next().unwrap().to_owned());
        assert_eq!(claim_first_free(&roots, &id, next).unwrap(), "calm_wren");
        assert_eq!(look_up(&roots, "fair_bison").unwrap(), Some(owner_id));
        let taken = || Ok("fair_bison".to_owned());
        assert!(claim_first_free(&roots, &id, taken).is_err());
        fs::remove_dir_all(dir).unwrap();
    }
}
