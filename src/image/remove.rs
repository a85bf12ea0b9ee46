//! Removes images: names first, then the config and the manifest, then the layers that no other
//! image, build or cache entry needs.
//!
//! The config is locked exclusively during the removal, so that no command makes a container of the
//! image at that time. A kill between two steps leaves an image without some or all of its names,
//! or a manifest or layers without an image. The image can still be removed by its id, and
//! `system check` finds the manifest and the layers.

use rustix::fs::FlockOperation;

use super::store::ImageStore;
use crate::digest::{Digest, ImageId};
use crate::error::{Result, fail};
use crate::image_name::ImageName;
use crate::reference::Reference;
use crate::store::remove_file;

/// The names, the image and the layers that were removed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub untagged: Vec<Reference>,
    pub image: Option<ImageId>,
    pub layers: Vec<Digest>,
}

impl ImageStore {
    /// Removes a name of an image. If `name` is the last name or an id, removes the image and all
    /// its names. `users` returns the containers that use an image. To remove an image with several
    /// tags by its id, `force` is needed. To remove an image that containers use, `force` is needed
    /// too, and only its names are removed. Fails if there is no such image.
    pub fn remove(
        &self,
        name: &ImageName,
        force: bool,
        users: &dyn Fn(&ImageId) -> Result<Vec<String>>,
    ) -> Result<Removed> {
        let Some(id) = self.find(name)? else { fail!("no such image: {name}") };
        // Wait for commands that are making a container of the image.
        let Some(_held) = self.lock_config(&id, FlockOperation::LockExclusive)? else {
            fail!("no such image: {name}")
        };
        let names = self.names(&id)?;
        if let Some(asked) = name.reference()
            && let Some(untagged) = names_to_remove(asked.clone(), &names)
            && untagged.len() < names.len()
        {
            let _lock = self.lock()?;
            untagged.iter().try_for_each(|name| self.remove_reference(name))?;
            return Ok(Removed { untagged, ..Removed::default() });
        }
        let tags = names.iter().filter(|name| name.digest.is_none());
        let tags: Vec<String> = tags.map(Reference::familiar).collect();
        if tags.len() > 1 && !force {
            fail!("conflict: image {} has several names ({}); use -f", id.short(), tags.join(", "));
        }
        let users = users(&id)?;
        if !users.is_empty() && !force {
            fail!(
                "conflict: image {name} is used by container {}; remove the container first, or untag the \
                 image with -f",
                users.join(", ")
            );
        }
        let mut removed = Removed { untagged: names, ..Removed::default() };
        let lock = self.lock()?;
        for reference in &removed.untagged {
            self.remove_reference(reference)?;
        }
        if users.is_empty() {
            // A config that can't be read is removed too; `system check` finds its layers.
            let diff_ids = self.layers_of(&id).ok().flatten();
            remove_file(&self.blob(&id))?;
            remove_file(&self.manifest_path(&id))?;
            removed.image = Some(id);
            removed.layers = self.remove_unowned(lock, &diff_ids.unwrap_or_default())?;
        }
        Ok(removed)
    }
}

/// Returns the names to remove when an image is removed by the name `asked`, or `None` if the image
/// does not have that name. With the last tag of a repository, the names by digest of that
/// repository are removed too.
fn names_to_remove(mut asked: Reference, names: &[Reference]) -> Option<Vec<Reference>> {
    // A name with a digest is stored without its tag, because the digest identifies the image.
    asked.tag = asked.tag.filter(|_| asked.digest.is_none());
    let mut untagged = vec![names.iter().find(|name| **name == asked)?.clone()];
    let mut others = names.iter().filter(|name| name.is_of(&asked) && **name != untagged[0]);
    if others.all(|other| other.digest.is_some()) && untagged[0].digest.is_none() {
        untagged = names.iter().filter(|name| name.is_of(&asked)).cloned().collect();
    }
    Some(untagged)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::super::config::ContainerConfig;
    use super::super::platform::{Platform, Wanted};
    use super::super::store::{Committed, NewImage};
    use super::super::testing::{Scratch, archive, config, layer, named};
    use super::*;

    fn nobody(_: &ImageId) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    #[test]
    fn names_go_first_and_the_image_with_the_last() {
        let scratch = Scratch::new("remove");
        let store = scratch.store();
        let one = Reference::parse("one").unwrap();
        let tar = layer("f", b"1");
        let id = store
            .import(&mut &tar[..], Some(&one), ContainerConfig::default(), "", &Platform::default())
            .unwrap();
        store.tag(&named("one"), &Reference::parse("two:2").unwrap()).unwrap();
        let error = store.remove(&named(&id.hex()), false, &nobody).unwrap_err().to_string();
        assert!(error.contains("several names (one:latest, two:2)"), "{error}");
        assert_eq!(store.remove(&named("one"), false, &nobody).unwrap().untagged, [one]);
        let used = |_: &ImageId| Ok(vec!["box".to_owned()]);
        let error = store.remove(&named("two:2"), false, &used).unwrap_err().to_string();
        assert!(error.contains("used by container box"), "{error}");
        let untagged = store.remove(&named("two:2"), true, &used).unwrap();
        assert_eq!((untagged.untagged.len(), untagged.image), (1, None));
        let removed = store.remove(&named(&id.short()), false, &nobody).unwrap();
        assert_eq!((removed.image, removed.layers.len()), (Some(id), 1));
        assert_eq!(scratch.left(), [""; 0]);
        assert!(store.remove(&named("one"), false, &nobody).is_err());
    }

    #[test]
    fn digests_and_the_manifest_go_with_the_last_tag_of_their_repository() {
        let scratch = Scratch::new("remove-digests");
        let store = scratch.store();
        let tar = layer("f", b"1");
        let manifest = b"{}".to_vec();
        let by_digest = format!("one@{}", Digest::of(&manifest));
        let references = ["one:1", "one:2", "two:1", &by_digest].map(Reference::parse);
        let image = NewImage {
            config: config(&[&tar]),
            diff_ids: vec![Digest::of(&tar)],
            references: references.into_iter().collect::<Result<_>>().unwrap(),
            manifest: Some(manifest.clone()),
        };
        let mut staged = vec![store.layers.stage(&mut &tar[..]).unwrap()];
        assert_eq!(store.commit(&mut staged, &[image]).unwrap(), Committed::All);
        let id = store.find(&named(&by_digest)).unwrap().unwrap();
        assert_eq!(store.manifest(&id).unwrap(), Some(manifest));
        let listed = store.list().unwrap();
        assert_eq!(listed.iter().filter(|image| image.digest.is_some()).count(), 2);
        assert_eq!(listed.len(), 3);
        assert_eq!(store.remove(&named("one:1"), false, &nobody).unwrap().untagged.len(), 1);
        assert_eq!(store.remove(&named("one:2"), false, &nobody).unwrap().untagged.len(), 2);
        assert!(store.find(&named(&by_digest)).unwrap().is_none());
        assert_eq!(store.remove(&named("two:1"), false, &nobody).unwrap().image, Some(id));
        assert_eq!(scratch.left(), [""; 0]);
    }

    #[test]
    fn a_failed_commit_removes_its_layers() {
        let scratch = Scratch::new("remove-uncommitted");
        let store = scratch.store();
        // The manifest can't be written below a file.
        scratch.file("root/images/manifests", b"");
        let tar = layer("f", b"1");
        let image = NewImage {
            config: config(&[&tar]),
            diff_ids: vec![Digest::of(&tar)],
            references: Vec::new(),
            manifest: Some(b"{}".to_vec()),
        };
        let mut staged = vec![store.layers.stage(&mut &tar[..]).unwrap()];
        let error = store.commit(&mut staged, &[image]).unwrap_err().to_string();
        assert!(error.contains("images/manifests"), "{error}");
        assert_eq!(scratch.left(), [""; 0]);
    }

    #[test]
    fn layers_of_other_images_stay() {
        let scratch = Scratch::new("remove-shared");
        let store = scratch.store();
        let (shared, one, two) = (layer("f", b"1"), layer("g", b"2"), layer("h", b"3"));
        for (name, own) in [("one:1", &one), ("two:1", &two)] {
            let file = scratch.file("archive", &archive(name, &[&shared, own]));
            store.load(File::open(file).unwrap(), &Wanted::native(), &mut |_| {}).unwrap();
        }
        assert_eq!(
            store.remove(&named("one:1"), false, &nobody).unwrap().layers,
            [Digest::of(&one)]
        );
        assert!(store.layers.exists(&Digest::of(&shared)));
        let removed = store.remove(&named("two:1"), false, &nobody).unwrap();
        assert_eq!(removed.layers, [Digest::of(&shared), Digest::of(&two)]);
        assert_eq!(scratch.left(), [""; 0]);
    }
}
