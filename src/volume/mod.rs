//! Named and anonymous volumes. `volumes/NAME/config.json` is the record, and `volumes/NAME/_data`
//! is the directory that containers see. A volume is created under a hidden name and renamed into
//! its place, so that a volume is either complete or absent. For the same reason a removal hides
//! the volume first. `runtime::mounts` mounts volumes into containers, and `runtime::copy_up`
//! copies an image's files into an empty volume.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use miniserde::{Deserialize, Serialize};

pub mod mounted;
pub mod options;

use crate::error::{Context, Error, Result, fail};
use crate::order;
use crate::runtime::copy_up::{self, FILLED, FILLING};
use crate::store::{self, Durability, Lock, Roots};
use crate::time::Instant;

/// The record of a volume: the content of its config.json.
#[derive(Clone, Serialize, Deserialize)]
pub struct Volume {
    pub name: String,
    /// The creation time, in nanoseconds since 1970.
    pub created: i64,
    pub labels: Vec<(String, String)>,
    /// Whether the volume was created without a name, so that its name is random. Most such volumes
    /// were created for one container.
    pub anonymous: bool,
    /// The options of `-o`: what to mount while a container uses the volume. Missing in records of
    /// older versions.
    pub options: Option<Vec<(String, String)>>,
}

/// Returns the directory that containers see.
pub fn data(roots: &Roots, name: &str) -> PathBuf {
    roots.volumes().join(name).join("_data")
}

/// Whether `name` can be the name of a volume.
pub fn is_valid_name(name: &str) -> bool {
    crate::name::is_valid(name, 255)
}

/// Returns the existing volume with the name of `wanted`; `None` if there is none. Fails on a bad
/// name or option, if the record can't be read, and if `wanted` has options and the existing volume
/// does not have the same.
pub fn find(roots: &Roots, wanted: &Volume) -> Result<Option<Volume>> {
    let name = &wanted.name;
    if !is_valid_name(name) {
        fail!("bad volume name '{name}': use letters, digits, '_', '.' and '-'");
    }
    if let Some(given) = &wanted.options {
        options::parse(given)?;
    }
    if !roots.volumes().join(name).join("config.json").exists() {
        return Ok(None);
    }
    let present = read(roots, name)?;
    if wanted.options.is_some() && present.options != wanted.options {
        fail!("volume {name} exists with other options; remove it first, or choose another name");
    }
    Ok(Some(present))
}

/// Creates `volume`. Returns false if the volume exists already. Fails as `find` does, and if the
/// volume's files can't be made.
pub fn ensure(roots: &Roots, volume: &Volume) -> Result<bool> {
    if find(roots, volume)?.is_some() {
        return Ok(false);
    }
    let name = &volume.name;
    let place = roots.volumes().join(name);
    let make = || -> Result<bool> {
        store::make_dir(&roots.volumes())?;
        let beside = roots.volumes().join(format!(".{name}.{}.new", std::process::id()));
        store::remove_tree(&beside)?;
        fs::DirBuilder::new().mode(0o700).create(&beside)?;
        // While this process has the directory open, `leftovers` leaves the directory out.
        let _held = fs::File::open(&beside)?;
        // All users of a container may enter and read `_data`, as in Docker: the permissions of the
        // files inside decide.
        fs::DirBuilder::new().mode(0o755).create(beside.join("_data"))?;
        store::replace_json(&beside.join("config.json"), volume, Durability::Synced)?;
        match fs::rename(&beside, &place) {
            Ok(()) => store::sync_parent(&place).map(|()| true),
            // Another command created the volume at the same time.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty
                ) =>
            {
                store::remove_tree(&beside).map(|()| false)
            }
            Err(error) => Err(error.into()),
        }
    };
    make().context(|| format!("make volume '{name}'"))
}

/// Reads the record of volume `name`. Fails if there is no such volume or its record can't be read.
pub fn read(roots: &Roots, name: &str) -> Result<Volume> {
    let volume = if is_valid_name(name) {
        store::read_json(&roots.volumes().join(name).join("config.json"))?
    } else {
        None
    };
    match volume {
        Some(volume) => Ok(volume),
        None => Err(Error::absent(format!("no such volume: {name}"))),
    }
}

/// Returns all volumes, sorted by name. A volume whose record can't be read is left out;
/// `volume inspect` reports the error.
pub fn list(roots: &Roots) -> Result<Vec<Volume>> {
    let mut names = store::list(&roots.volumes())?;
    order::sort(&mut names);
    Ok(names.iter().filter_map(|name| read(roots, name).ok()).collect())
}

/// Removes a volume and its data. The volume is hidden first, so that a partly removed volume is
/// never used. Fails if there is no such volume. Also fails if a volume without options has a mount
/// on its directory: the mounted files do not belong to the volume.
pub fn remove(roots: &Roots, name: &str) -> Result<()> {
    let data = data(roots, name);
    // Unmount the volume's own mount first: the files on it do not belong to the volume.
    mounted::unmount_unused(roots, name)?;
    if mounted::is_mounted(&data) {
        let data = data.display();
        fail!(
            "volume {name} has something mounted on {data}; unmount it first, with umount {data}"
        );
    }
    store::remove_hidden(&roots.volumes().join(name), Durability::Synced)
        .context(|| format!("remove volume '{name}'"))
}

/// Returns the remains of killed commands: volumes that were created or removed only in part.
pub fn leftovers(roots: &Roots) -> Result<Vec<PathBuf>> {
    let mut leftovers = store::removals(&roots.volumes())?;
    leftovers.extend(store::stale(&roots.volumes(), ".new")?);
    Ok(leftovers)
}

/// A defect of a volume, for `system check`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// The record is missing or unreadable.
    NoConfig,
    NoData,
    /// The copy from an image was not finished.
    Filling,
}

impl Flaw {
    /// Returns the flaw in words that follow the volume's name.
    pub fn what(self) -> &'static str {
        match self {
            Flaw::NoConfig => "has no config.json that can be read",
            Flaw::NoData => "has lost its directory _data",
            Flaw::Filling => "holds a copy from its image that was cut short",
        }
    }
}

/// Returns the flaws of all volumes, each with the volume's name.
pub fn flaws(roots: &Roots) -> Result<Vec<(String, Flaw)>> {
    let mut flaws = Vec::new();
    for name in store::list(&roots.volumes())?.into_iter().filter(|name| is_valid_name(name)) {
        let place = roots.volumes().join(&name);
        let filling = [FILLING, FILLED].iter().any(|copy| place.join(copy).is_dir());
        let filling = filling && !Lock::is_held(&place)?;
        let found = [
            (read(roots, &name).is_err(), Flaw::NoConfig),
            (!place.join("_data").is_dir(), Flaw::NoData),
            // Repairs run in this order: the copy needs `_data`.
            (filling, Flaw::Filling),
        ];
        let wrong = found.into_iter().filter(|(is_wrong, _)| *is_wrong);
        flaws.extend(wrong.map(|(_, flaw)| (name.clone(), flaw)));
    }
    Ok(flaws)
}

/// Repairs `flaw`. Files that are already in `_data` stay unchanged.
pub fn mend(roots: &Roots, name: &str, flaw: Flaw) -> Result<()> {
    let place = roots.volumes().join(name);
    match flaw {
        Flaw::NoConfig => {
            // The labels and options are lost. The volume counts as named, so that a prune of
            // anonymous volumes keeps it.
            let created = Instant::now().0;
            let volume = Volume {
                name: name.to_owned(),
                created,
                labels: Vec::new(),
                anonymous: false,
                options: None,
            };
            store::replace_json(&place.join("config.json"), &volume, Durability::Synced)
        }
        Flaw::NoData => {
            let made = fs::DirBuilder::new().mode(0o755).create(place.join("_data"));
            made.context(|| format!("make the directory of volume '{name}'"))
        }
        Flaw::Filling => match Lock::try_exclusive(&place)? {
            Some(_filling) => copy_up::finish(&place.join("_data")),
            // Another process has the lock, such as a container that fills the volume again.
            None => Ok(()),
        },
    }
}
