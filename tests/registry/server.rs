//! Debian's docker-registry on its own port, and images for it.
//!
//! A test starts its own registries, so tests can run at the same time. Dropping a `Registry` stops
//! its process.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::support::{Host, eventually};

/// A file name that is unique in this process.
fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A registry. Dropping this stops it.
pub struct Registry {
    child: Child,
    dir: PathBuf,
    /// Address and port: `127.0.0.1:PORT`.
    pub address: String,
}

impl Registry {
    /// A registry over plain HTTP without a login.
    pub fn plain(host: &Host) -> Registry {
        Registry::start(host, "", "")
    }

    /// A registry with more settings: `http` goes below `http:` of its configuration, and `more` at
    /// the top level.
    pub fn start(host: &Host, http: &str, more: &str) -> Registry {
        let dir = host.scratch().join(unique("registry"));
        fs::create_dir_all(dir.join("data")).unwrap();
        // Try again if another process takes the port first.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let address = format!("127.0.0.1:{port}");
            let config = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: \
                 {}/data}}, delete: {{enabled: true}}}}\nhttp:\n  addr: {address}\n  relativeurls: \
                 true\n{http}{more}",
                dir.display()
            );
            fs::write(dir.join("config.yml"), config).unwrap();
            let log = fs::File::create(dir.join("log")).unwrap();
            let mut child = Command::new("docker-registry")
                .args(["serve", "config.yml"])
                .current_dir(&dir)
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .expect("docker-registry: apt-get install docker-registry");
            let mut up = false;
            eventually("the registry listens or ends", || {
                up = listens(child.id(), port);
                up || child.try_wait().unwrap().is_some()
            });
            if up {
                return Registry { child, dir, address };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("no registry: {}", fs::read_to_string(dir.join("log")).unwrap());
    }

    /// The image name `ADDRESS/name`.
    pub fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Pushes an image under `name`. `source` is the image in skopeo's syntax, such as `oci:DIR`.
    pub fn fill(&self, source: &str, name: &str, flags: &[&str]) {
        let target = format!("docker://{}", self.name(name));
        succeeds(
            Command::new("skopeo")
                .args(["copy", "-q", "--insecure-policy", "--dest-tls-verify=false"])
                .args(flags)
                .args([source, &target]),
        );
    }

    /// Pushes an image of `layers` as `name`, without changing a byte.
    pub fn fill_with(&self, layers: &[Layer], name: &str) {
        self.fill_with_flags(layers, name, &[]);
    }

    pub fn fill_with_flags(&self, layers: &[Layer], name: &str, flags: &[&str]) {
        let layout = self.dir.join(unique("layout"));
        write_layout(&layout, layers);
        let flags = [flags, &["--preserve-digests"]].concat();
        self.fill(&format!("oci:{}:t", layout.display()), name, &flags);
    }

    /// Pushes an index with images for several platforms. If a platform is empty, its entry states
    /// none.
    pub fn fill_with_index(&self, offers: &[(&str, Vec<Layer>)], name: &str) {
        let layout = self.dir.join(unique("layout"));
        fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        let mut images = Vec::new();
        for (platform, layers) in offers {
            let manifest = write_image(&layout, layers, platform);
            let parts: Vec<&str> = platform.split('/').collect();
            let said = match parts[..] {
                [os, architecture] => format!(r#""os":"{os}","architecture":"{architecture}""#),
                [os, architecture, variant] => {
                    format!(r#""os":"{os}","architecture":"{architecture}","variant":"{variant}""#)
                }
                _ => String::new(),
            };
            let manifest = manifest.strip_suffix('}').unwrap();
            images.push(if said.is_empty() {
                format!("{manifest}}}")
            } else {
                format!(r#"{manifest},"platform":{{{said}}}}}"#)
            });
        }
        let index = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json",
            "manifests":[{}]}}"#,
            images.join(",")
        );
        write_index(&layout, &write_blob(&layout, "index.v1+json", index.as_bytes()));
        let flags = ["--all", "--preserve-digests"];
        self.fill(&format!("oci:{}:t", layout.display()), name, &flags);
    }

    /// The hexadecimal digests of all blobs.
    pub fn blobs(&self) -> Vec<String> {
        self.blob_files().into_iter().map(|(digest, _)| digest).collect()
    }

    /// Removes a blob that has at least this many bytes and fewer than twice as many.
    pub fn lose_blob_of(&self, bytes: u64) {
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        let files = self.blob_files();
        let lost = files.iter().find(|(_, path)| (bytes..bytes * 2).contains(&size(path)));
        fs::remove_file(&lost.expect("a blob of that size").1).unwrap();
    }

    fn blob_files(&self) -> Vec<(String, PathBuf)> {
        let mut files = Vec::new();
        let blobs = self.dir.join("data/docker/registry/v2/blobs/sha256");
        for prefix in fs::read_dir(blobs).unwrap() {
            for blob in fs::read_dir(prefix.unwrap().path()).unwrap() {
                let blob = blob.unwrap();
                files.push((blob.file_name().into_string().unwrap(), blob.path().join("data")));
            }
        }
        files
    }
}

/// Whether process `pid` itself listens on the port: another process may have taken the port first
/// (proc_pid_net(5)).
fn listens(pid: u32, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let address = format!("0100007F:{port:04X}");
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let inode = sockets.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[1] == address && fields[3] == LISTEN).then(|| format!("socket:[{}]", fields[9]))
    });
    // The process may end at any moment.
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    inode.is_some_and(|inode| targets.any(|target| target == Path::new(&inode)))
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Packing {
    Gzip,
    Zstd,
    Plain,
}

/// A layer: its files and its compression.
pub struct Layer {
    pub packing: Packing,
    pub files: Vec<(String, Vec<u8>)>,
    /// For a foreign layer: its URL, in which `DIGEST` stands for the blob's digest.
    pub url: Option<String>,
}

/// A layer for images that run: a static busybox as `/bin/cat`.
pub fn base() -> Layer {
    let busybox = fs::read("/bin/busybox").expect("apt-get install busybox-static");
    Layer { packing: Packing::Gzip, files: vec![("bin/cat".to_owned(), busybox)], url: None }
}

/// A layer with one file.
pub fn layer(packing: Packing, path: &str, content: impl Into<Vec<u8>>) -> Layer {
    Layer { packing, files: vec![(path.to_owned(), content.into())], url: None }
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

/// Writes an OCI layout with one image `t`.
fn write_layout(dir: &Path, layers: &[Layer]) {
    fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
    let manifest = write_image(dir, layers, "linux/amd64");
    write_index(dir, &manifest);
}

/// Writes an image into a layout. Returns the descriptor of its manifest.
fn write_image(dir: &Path, layers: &[Layer], platform: &str) -> String {
    let (mut diff_ids, mut descriptors) = (Vec::new(), Vec::new());
    for layer in layers {
        let tar = tar(dir, &layer.files);
        diff_ids.push(format!("\"sha256:{}\"", sha256(&tar)));
        descriptors.push(match (layer.packing, &layer.url) {
            (_, Some(url)) => {
                let blob = write_blob(dir, "layer.nondistributable.v1.tar+gzip", &gzip(&tar));
                let url = url.replace("DIGEST", &format!("sha256:{}", sha256(&gzip(&tar))));
                format!(r#"{},"urls":["{url}"]}}"#, blob.strip_suffix('}').unwrap())
            }
            (Packing::Gzip, _) => write_blob(dir, "layer.v1.tar+gzip", &gzip(&tar)),
            (Packing::Zstd, _) => write_blob(dir, "layer.v1.tar+zstd", &zstd(dir, &tar)),
            (Packing::Plain, _) => write_blob(dir, "layer.v1.tar", &tar),
        });
    }
    let (os, architecture) = platform.split_once('/').unwrap_or(("linux", "amd64"));
    let architecture = architecture.split('/').next().unwrap();
    let config = format!(
        r#"{{"architecture":"{architecture}","os":"{os}","config":{{"Cmd":["/bin/cat"]}},
        "rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",
        "config":{},"layers":[{}]}}"#,
        write_blob(dir, "config.v1+json", config.as_bytes()),
        descriptors.join(",")
    );
    write_blob(dir, "manifest.v1+json", manifest.as_bytes())
}

/// Writes a blob into a layout. Returns its descriptor.
fn write_blob(dir: &Path, kind: &str, bytes: &[u8]) -> String {
    let digest = sha256(bytes);
    fs::write(dir.join("blobs/sha256").join(&digest), bytes).unwrap();
    let kind = format!("application/vnd.oci.image.{kind}");
    format!(r#"{{"mediaType":"{kind}","digest":"sha256:{digest}","size":{}}}"#, bytes.len())
}

/// Writes the index of a layout, with the name `t` for the descriptor.
fn write_index(dir: &Path, descriptor: &str) {
    let tagged = descriptor.strip_suffix('}').unwrap();
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{tagged},
        "annotations":{{"org.opencontainers.image.ref.name":"t"}}}}]}}"#
    );
    fs::write(dir.join("index.json"), index).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

fn tar(dir: &Path, files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let tree = dir.join(unique("tree"));
    for (path, content) in files {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).unwrap();
    }
    let output = Command::new("tar")
        .arg("-C")
        .arg(&tree)
        .args(["--mtime=@0", "--sort=name", "-c", "."])
        .output()
        .unwrap();
    assert!(output.status.success());
    output.stdout
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(dir: &Path, bytes: &[u8]) -> Vec<u8> {
    let file = dir.join(unique("plain"));
    fs::write(&file, bytes).unwrap();
    Command::new("zstd").arg("-qc").arg(&file).output().expect("apt-get install zstd").stdout
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[track_caller]
pub fn succeeds(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {printed}");
}
