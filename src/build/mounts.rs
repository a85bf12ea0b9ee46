//! `RUN --mount`: files that a step sees and that do not become part of its layer.
//!
//! `bind` shows files of a context, of a stage or of an image. If the mount is writable, or if the
//! context has rules of `.dockerignore`, the step sees a copy, which is removed after the step.
//! `cache` is a directory that stays between builds, `tmpfs` is an empty directory in memory, and
//! `secret` is a file of the run root, or a variable, that only this step sees. The source of a
//! bind mount is opened below the descriptor of its tree (openat2(2), RESOLVE_IN_ROOT), so that no
//! link and no `..` leads out of the tree. The name of a cache's directory starts with the digest
//! of its id. Unknown options are refused, so that no option of the user reaches mount(2) as text.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::Directory;
use super::cached::Key;
use super::context::{Source, Tree};
use super::ignore::Ignore;
use super::layers::absolute;
use super::steps::{Build, State};
use crate::digest::Digest;
use crate::engine::options::{MountAccess, MountKind, MountOption};
use crate::engine::step::{CacheMount, Sharing};
use crate::error::{Context, Result, fail};
use crate::image::CopyRules;
use crate::image::copy::{Original, Overrides, copy};
use crate::raw;
use crate::store::{open_dir, remove_tree};
use crate::units::ByteSize;
use crate::words::Expander;

/// The largest secret in bytes, as in BuildKit.
const MAX_SECRET: u64 = 500 << 10;
/// The most mounts that a step may have.
const MAX_MOUNTS: usize = 64;

/// One `--secret`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The name by which a step mounts the secret.
    pub id: String,
    pub source: SecretSource,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The content of a file of the host.
    File(PathBuf),
    /// The value of an environment variable of the command.
    Variable(String),
    /// The content itself.
    #[cfg(feature = "compose")]
    Content(Vec<u8>),
}

impl Secret {
    /// Parses `[type=file|env,]id=ID[,src=SOURCE][,env=VARIABLE]`. As in buildx, SOURCE is a file,
    /// or with `type=env` a variable. `env=` overrides `src=`. Without `src=` and `env=`, the
    /// source is the variable named ID if it is set, and otherwise the file named ID.
    pub fn parse(text: &str) -> Result<Secret> {
        let (mut id, mut kind, mut named, mut variable) = (None, "file", None, None);
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("type", value @ ("file" | "env"))) => kind = value,
                Some(("id", value)) if !value.is_empty() => id = Some(value.to_owned()),
                Some(("src" | "source", value)) => named = Some(value),
                Some(("env", value)) => variable = Some(value),
                _ => fail!("bad secret '{text}': write id=ID,src=FILE or id=ID,env=VARIABLE"),
            }
        }
        let Some(id) = id else { fail!("bad secret '{text}': it has no id=") };
        let is_set = |name: &str| std::env::var_os(name).is_some();
        let source = match (variable, named) {
            (Some(variable), _) => SecretSource::Variable(variable.to_owned()),
            (None, Some(variable)) if kind == "env" => SecretSource::Variable(variable.to_owned()),
            (None, None) if is_set(&id) => SecretSource::Variable(id.clone()),
            (None, file) => SecretSource::File(raw::path(file.unwrap_or(&id)).into_owned()),
        };
        Ok(Secret { id, source })
    }

    /// Fails if the secret's file does not exist. The build calls `check` before its first step, so
    /// that a missing file does not end the build after a long step.
    pub fn check(&self) -> Result<()> {
        if let SecretSource::File(path) = &self.source {
            let context = || format!("secret {}: read {}", self.id, path.display());
            std::fs::metadata(path).context(context)?;
        }
        Ok(())
    }

    fn read(&self) -> Result<Vec<u8>> {
        let content = match &self.source {
            #[cfg(feature = "compose")]
            SecretSource::Content(content) => content.clone(),
            SecretSource::Variable(name) => match std::env::var_os(name) {
                Some(value) => value.into_encoded_bytes(),
                None => fail!("secret {}: the variable {name} is not set", self.id),
            },
            SecretSource::File(path) => {
                let context = || format!("secret {}: read {}", self.id, path.display());
                let file = std::fs::File::open(path).context(context)?;
                let mut content = Vec::new();
                std::io::Read::read_to_end(
                    &mut std::io::Read::take(file, MAX_SECRET + 1),
                    &mut content,
                )
                .context(context)?;
                content
            }
        };
        if content.len() as u64 > MAX_SECRET {
            fail!("secret {} is longer than {MAX_SECRET} bytes", self.id);
        }
        Ok(content)
    }
}

/// One `--mount` with its variables replaced.
#[derive(Debug, Default, PartialEq, Eq)]
struct RunMount {
    kind: Kind,
    id: Option<String>,
    target: Option<String>,
    source: Option<String>,
    from: Option<String>,
    variable: Option<String>,
    writable: Option<bool>,
    sharing: Sharing,
    size: Option<u64>,
    required: bool,
    mode: Option<u32>,
    uid: u32,
    gid: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
}

impl RunMount {
    fn parse(text: &str) -> Result<RunMount> {
        let parts = || text.split(',').map(|part| part.split_once('=').unwrap_or((part, "true")));
        let mut mount = RunMount::default();
        for (_, kind) in parts().filter(|(name, _)| *name == "type") {
            mount.kind = match kind {
                "bind" => Kind::Bind,
                "cache" => Kind::Cache,
                "tmpfs" => Kind::Tmpfs,
                "secret" => Kind::Secret,
                "ssh" => fail!("--mount=type=ssh is not supported; use a secret with the key"),
                _ => fail!("unknown --mount type '{kind}'; use bind, cache, tmpfs or secret"),
            };
        }
        let number = |name: &str, value: &str| match value.parse::<u32>() {
            Ok(number) => Ok(number),
            Err(_) => fail!("bad --mount option {name}={value}: it is a number"),
        };
        let is_true = |name: &str, value: &str| match value {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => fail!("bad --mount option {name}={value}: write true or false"),
        };
        use Kind::{Bind, Cache, Secret, Tmpfs};
        for (name, value) in parts() {
            match (name, mount.kind) {
                ("type", _) => {}
                ("target" | "dst" | "destination", _) => mount.target = Some(value.to_owned()),
                ("source" | "src", Bind | Cache) => mount.source = Some(value.to_owned()),
                ("from", Bind | Cache) => mount.from = Some(value.to_owned()),
                ("rw" | "readwrite", Bind | Cache) => {
                    mount.writable = Some(is_true(name, value)?);
                }
                ("ro" | "readonly", Bind | Cache) => {
                    mount.writable = Some(!is_true(name, value)?);
                }
                ("id", Cache | Secret) => mount.id = Some(value.to_owned()),
                ("sharing", Cache) => {
                    mount.sharing = match value {
                        "shared" => Sharing::Shared,
                        "private" => Sharing::Private,
                        "locked" => Sharing::Locked,
                        _ => fail!("bad sharing={value}; use shared, private or locked"),
                    };
                }
                ("size", Tmpfs) => mount.size = Some(ByteSize::parse(value)?.0),
                ("required", Secret) => mount.required = is_true(name, value)?,
                ("env", Secret) => mount.variable = Some(value.to_owned()),
                ("mode", Cache | Secret) => match u32::from_str_radix(value, 8) {
                    Ok(mode @ ..=0o7777) => mount.mode = Some(mode),
                    _ => fail!("bad --mount option mode={value}: it is an octal number"),
                },
                ("uid", Cache | Secret) => mount.uid = number(name, value)?,
                ("gid", Cache | Secret) => mount.gid = number(name, value)?,
                _ => fail!("unknown --mount option '{name}' in '{text}'"),
            }
        }
        Ok(mount)
    }
}

/// The mounts of a step while the step runs.
#[derive(Default)]
pub struct Mounted {
    /// The mounts for the step's container.
    pub mounts: Vec<MountOption>,
    /// The secrets that are environment variables, each as `NAME=value`.
    pub variables: Vec<String>,
    /// The cache mounts, locked as `sharing` requires. No prune removes a locked cache mount.
    _caches: Vec<CacheMount>,
}

/// The parsed mounts of a step before the step runs.
pub struct Mounts<'a> {
    build: &'a Build<'a>,
    prepared: Vec<Prepared>,
    directory: String,
}

struct Prepared {
    mount: RunMount,
    /// The layers of the stage or image that the mount shows.
    from: Option<Vec<Digest>>,
    /// The digest of the context's files that the mount shows.
    files: Option<String>,
}

impl Mounts<'_> {
    /// Prepares the mounts for the step's container: makes copies, opens cache mounts and writes
    /// secrets.
    pub fn make(&self) -> Result<Mounted> {
        let mut mounted = Mounted::default();
        for (at, Prepared { mount, from, .. }) in self.prepared.iter().enumerate() {
            let part = format!("mount-{at}");
            self.build.mount(mount, from.as_deref(), &self.directory, &part, &mut mounted)?;
        }
        Ok(mounted)
    }

    /// Reports whether the context's files still have the digests that are in the step's key.
    pub fn are_as_before(&self) -> Result<bool> {
        for Prepared { mount, files, .. } in &self.prepared {
            if let Some(files) = files
                && *files != self.build.context_files(mount)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Build<'_> {
    /// Parses the mounts of a step and adds their options to the step's key. Also adds to the key
    /// the layers of a stage or image, and the digest of the files that a bind mount of a context
    /// shows.
    pub(super) fn run_mounts<'m>(
        &'m self,
        state: &State,
        given: &[String],
        expander: &Expander<'_>,
        at: usize,
        key: &mut Key,
    ) -> Result<Mounts<'m>> {
        if given.len() > MAX_MOUNTS {
            fail!("more than {MAX_MOUNTS} mounts");
        }
        let mut parsed = Vec::new();
        for text in given {
            let text = expander.word(text)?;
            let mut parse = || -> Result<Prepared> {
                let mount = RunMount::parse(&text)?;
                let from = mount.from.as_deref();
                let from = from.filter(|_| self.directory(from).is_none());
                let layers = from.map(|from| self.source_layers(state, from, at)).transpose()?;
                key.add("mount", &text);
                let mut files = None;
                match (&layers, mount.kind) {
                    (Some(layers), _) => key.add_layers("from", layers),
                    (None, Kind::Bind) => {
                        let shown = self.context_files(&mount)?;
                        key.add("files", &shown);
                        files = Some(shown);
                    }
                    _ => {}
                }
                Ok(Prepared { mount, from: layers, files })
            };
            parsed.push(parse().context(|| format!("--mount={text}"))?);
        }
        let directory = state.config.config.working_dir.clone();
        Ok(Mounts { build: self, prepared: parsed, directory })
    }

    /// Returns the digest of the context's files that a mount shows now.
    fn context_files(&self, mount: &RunMount) -> Result<String> {
        let (tree, source) = self.context_source(mount)?;
        let sources = std::slice::from_ref(&source);
        let files = tree.digest(sources, tree.ignore, Overrides::default())?;
        Ok(format!("{files} {}", source.is_directory))
    }

    fn context_source(&self, mount: &RunMount) -> Result<(Tree<'_>, Source)> {
        let Directory { root, ignore, .. } = self.mounted_directory(mount);
        let tree = Tree { root: root.as_fd(), ignore, parents: false, from: "build context" };
        let source = tree.one(mount.source.as_deref().unwrap_or("."))?;
        Ok((tree, source))
    }

    /// Returns the context that a mount shows, or the build context if the mount shows a stage or
    /// an image.
    fn mounted_directory(&self, mount: &RunMount) -> &Directory {
        self.directory(mount.from.as_deref()).unwrap_or(self.context)
    }

    fn mount(
        &self,
        mount: &RunMount,
        from: Option<&[Digest]>,
        directory: &str,
        part: &str,
        mounted: &mut Mounted,
    ) -> Result<()> {
        let is_secret = mount.kind == Kind::Secret;
        let own = mount.target.as_deref().map(|target| match target.rsplit_once('/') {
            Some((_, name)) if is_secret => name,
            _ => target,
        });
        let id = mount.id.as_deref().or(own).unwrap_or_default().to_owned();
        let default = (is_secret && !id.is_empty()).then(|| format!("/run/secrets/{id}"));
        let Some(target) = mount.target.clone().or(default) else {
            let id = if is_secret { "an id or " } else { "" };
            fail!("--mount needs {id}a target");
        };
        let target = raw::encode(absolute(directory, &target).as_bytes());
        if target.is_empty() || target == "/" {
            fail!("--mount can't have the target /: the step's files are there");
        }
        let bind = |path: &Path| {
            let mut option = MountOption::new(MountKind::Bind, target.clone());
            option.source = Some(raw::encode_path(path));
            option
        };
        match mount.kind {
            Kind::Tmpfs => {
                let mut option = MountOption::new(MountKind::Tmpfs, target);
                option.tmpfs_options =
                    mount.size.map(|size| format!("size={size}")).unwrap_or_default();
                mounted.mounts.push(option);
            }
            Kind::Secret => {
                let Some(secret) = self.options.secrets.iter().find(|secret| secret.id == id)
                else {
                    if mount.required {
                        fail!(
                            "the step needs the secret {id}; give it with --secret id={id},src=FILE"
                        );
                    }
                    return Ok(());
                };
                let content = secret.read()?;
                if let Some(variable) = &mount.variable {
                    let Ok(value) = String::from_utf8(content.clone()) else {
                        fail!("secret {id} is no text, so it can't be the variable {variable}");
                    };
                    mounted.variables.push(raw::encode(format!("{variable}={value}").as_bytes()));
                    if mount.target.is_none() {
                        return Ok(());
                    }
                }
                let path = self.place.make_secret_dir()?.join(part);
                write_secret(&path, &content, mount).context(|| format!("write secret {id}"))?;
                mounted.mounts.push(MountOption { read_only: true, ..bind(&path) });
            }
            Kind::Cache => {
                let cache = self.cache_mount(mount, &id, from, part)?;
                let mut option = bind(&cache.data());
                option.read_only = mount.writable == Some(false);
                mounted.mounts.push(option);
                mounted._caches.push(cache);
            }
            Kind::Bind => {
                let is_writable = mount.writable == Some(true);
                let shown = self.mounted_directory(mount);
                let source = mount.source.as_deref().unwrap_or("/").trim_start_matches('/');
                let subpath = Some(raw::encode(source.as_bytes())).filter(|path| !path.is_empty());
                let access = MountAccess { subpath, ..MountAccess::default() };
                let option = match from {
                    Some(layers) if !is_writable => MountOption {
                        layers: self.engine.layer_paths(self.place, layers),
                        access,
                        ..MountOption::new(MountKind::Image, target)
                    },
                    None if !is_writable && shown.ignore.is_empty() => {
                        MountOption { access, read_only: true, ..bind(&shown.path) }
                    }
                    _ => {
                        let copied = self.copy_out(mount, from, &self.place.make_dir(part)?)?;
                        MountOption { read_only: !is_writable, ..bind(&copied) }
                    }
                };
                mounted.mounts.push(option);
            }
        }
        Ok(())
    }

    /// Removes the files of the step's mounts from the workplace and from the run root.
    pub(super) fn clear_mounts(&self, count: usize) -> Result<()> {
        self.place.clear_secrets()?;
        for at in 0..count {
            remove_tree(&self.place.dir.join(format!("mount-{at}")))?;
            remove_tree(&self.place.dir.join(format!("mount-{at}-new")))?;
        }
        Ok(())
    }

    /// Copies the source of a mount into `directory`. Returns the path of the copy.
    fn copy_out(
        &self,
        mount: &RunMount,
        from: Option<&[Digest]>,
        directory: &Path,
    ) -> Result<PathBuf> {
        let into = open_dir(directory)?;
        let all = Ignore::default();
        let copy_from = |tree: &Tree<'_>, source: &Source| {
            let skip = |entry: &[u8]| source.is_directory && tree.skips(source, entry, &all);
            let name = (!source.is_directory).then_some(&b"file"[..]);
            let original = Original { skip: &skip, ..Original::new(source.handle.as_fd(), name) };
            let rules = CopyRules { into: Vec::new(), owner: None, ids: None };
            copy(&original, into.as_fd(), rules)?;
            Ok(if source.is_directory { directory.to_owned() } else { directory.join("file") })
        };
        let Some(layers) = from else {
            let (tree, source) = self.context_source(mount)?;
            return self.engine.in_step_path(&|| copy_from(&tree, &source));
        };
        let wanted = mount.source.as_deref().unwrap_or(".");
        let paths = self.engine.layer_paths(self.place, layers);
        self.engine.in_step_path(&|| {
            let root = self.engine.root_of_layers(&paths)?;
            let tree = Tree { root: root.as_fd(), ignore: &all, parents: false, from: "image" };
            copy_from(&tree, &tree.one(wanted)?)
        })
    }

    /// Opens the directory of a cache mount and locks it as `sharing` requires. If the mount has
    /// `from`, fills a new directory from the mount's source.
    fn cache_mount(
        &self,
        mount: &RunMount,
        id: &str,
        from: Option<&[Digest]>,
        part: &str,
    ) -> Result<CacheMount> {
        let cache = self.engine.open_cache_mount(id, mount.sharing)?;
        if cache.is_new() {
            let staged = self.place.make_dir(&format!("{part}-new"))?;
            if mount.from.is_some() {
                self.copy_out(mount, from, &staged)?;
            }
            std::fs::set_permissions(
                &staged,
                PermissionsExt::from_mode(mount.mode.unwrap_or(0o755)),
            )
            .and_then(|()| chown(&staged, Some(mount.uid), Some(mount.gid)))
            .context(|| format!("make the cache mount {id}"))?;
            cache.fill(&staged)?;
        }
        Ok(cache)
    }
}

fn write_secret(path: &Path, content: &[u8], mount: &RunMount) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    std::os::unix::fs::fchown(&file, Some(mount.uid), Some(mount.gid))?;
    file.set_permissions(PermissionsExt::from_mode(mount.mode.unwrap_or(0o400)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_takes_its_own_options_and_no_others() {
        for text in [
            "target=/a",
            "type=bind,src=b,dst=/a,rw",
            "type=cache,target=/a,id=x,sharing=locked,mode=0700,uid=1,gid=2,ro=false",
            "target=/a,size=1m,type=tmpfs",
            "type=secret,id=s,required,env=S,mode=0444",
        ] {
            RunMount::parse(text).unwrap();
        }
        for text in [
            "type=bind,target=/a,bind-propagation=rshared",
            "type=bind,target=/a,Z",
            "type=bind,target=/a,size=1",
            "type=tmpfs,target=/a,from=x",
            "type=cache,target=/a,sharing=none",
            "type=cache,target=/a,mode=9",
            "type=secret,id=s,uid=-1",
            "type=ssh",
            "type=none",
        ] {
            assert!(RunMount::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_names_its_source() {
        let parse = |text: &str| Secret::parse(text).map(|secret| secret.source);
        assert_eq!(parse("id=a,src=/f").unwrap(), SecretSource::File("/f".into()));
        assert_eq!(parse("type=env,id=a,env=V").unwrap(), SecretSource::Variable("V".into()));
        assert_eq!(parse("id=a,src=V,type=env").unwrap(), SecretSource::Variable("V".into()));
        assert_eq!(parse("id=a,env=V,src=/f").unwrap(), SecretSource::Variable("V".into()));
        assert_eq!(parse("id=PATH").unwrap(), SecretSource::Variable("PATH".into()));
        assert_eq!(parse("id=no-such").unwrap(), SecretSource::File("no-such".into()));
        for text in ["", "src=/f", "id=", "id=a,mode=1", "a"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
