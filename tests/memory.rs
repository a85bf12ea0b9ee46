//! The peak memory of the engine for the worst known inputs of its parsers.
//!
//! The figure is `ru_maxrss` of getrusage(2), which wait4(2) returns for one child. A process
//! inherits the figure of the process that forked it, and this test has large inputs. So setsid(1)
//! forks the command and exits, and the command becomes a child of this process, its subreaper. A
//! shell in place of setsid(1) would not work, because it may reap the command first. The binary is
//! a debug build, whose own pages count too.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use support::{Host, tar};

/// The limit in KiB for hostile input of any kind.
const HOSTILE_KIB: i64 = 64 << 10;
/// The limit in KiB for an image of any size from a usual builder. README says "some 16 MB".
const USUAL_KIB: i64 = 16 << 10;

/// The result of a command, and its peak memory.
struct Measured {
    line: String,
    status: ExitStatus,
    stderr: String,
    peak_kib: i64,
}

/// Runs `mydocker ARGS` to its end and measures it.
fn measure<'a>(host: &Host, args: impl IntoIterator<Item = &'a str>) -> Measured {
    let args: Vec<&str> = args.into_iter().collect();
    measure_command(host, &host.command(&args), args.join(" "))
}

fn measure_command(host: &Host, command: &Command, line: String) -> Measured {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let output = host.file("stderr", "");
    let mut fork = Command::new("setsid");
    fork.args(["-f", "sh", "-c", r#"echo $$; exec "$@" >/dev/null 2>"$0""#]).arg(&output);
    fork.arg(command.get_program()).args(command.get_args());
    let pid = fork.output().unwrap().stdout;
    let pid = String::from_utf8(pid).unwrap().trim().parse().unwrap();
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::uninit());
    // SAFETY: both pointers are to memory of the right type, which the kernel fills in on success.
    let usage = unsafe {
        assert_eq!(libc::wait4(pid, &mut status, 0, usage.as_mut_ptr()), pid);
        usage.assume_init()
    };
    let stderr = std::fs::read_to_string(&output).unwrap();
    let status = ExitStatus::from_raw(status);
    Measured { line, status, stderr, peak_kib: usage.ru_maxrss }
}

impl Measured {
    #[track_caller]
    fn within(self, kib: i64) -> Measured {
        let Measured { line, peak_kib, stderr, .. } = &self;
        eprintln!("{peak_kib} KiB: {line}: {stderr}");
        assert!(*peak_kib <= kib, "{line} had {peak_kib} KiB, more than {kib}: {stderr}");
        self
    }

    #[track_caller]
    fn succeeds(self) -> Measured {
        assert!(self.status.success(), "{}: {:?}: {}", self.line, self.status, self.stderr);
        self
    }

    /// Fails unless the command failed with one line that contains `part`.
    #[track_caller]
    fn refused(self, part: &str) -> Measured {
        let Measured { line, status, stderr, .. } = &self;
        assert!(matches!(status.code(), Some(1 | 125)), "{line}: {status:?}: {stderr}");
        let lines = stderr.lines().count();
        assert!(stderr.starts_with("mydocker: ") && lines == 1, "{line}: {stderr}");
        assert!(stderr.contains(part), "{line}: {stderr}");
        self
    }
}

/// The directories of layers whose unpacking was not completed.
fn half_made(host: &Host) -> Vec<PathBuf> {
    let Ok(layers) = std::fs::read_dir(host.state_root().join("layers")) else { return Vec::new() };
    let layers = layers.map(|entry| entry.unwrap().path());
    layers.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with('.')).collect()
}

/// Bytes that do not compress, the same for the same seed.
fn noise(mut seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A tar of one file with `data`, compressed by `program`.
fn packed(host: &Host, name: &str, data: &[&[u8]], program: &[&str]) -> PathBuf {
    use std::io::Write;
    let path = host.file(name, "");
    let mut command = Command::new(program[0]);
    let output = std::fs::File::create(&path).unwrap();
    let mut child =
        command.args(&program[1..]).stdin(Stdio::piped()).stdout(output).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let length = data.iter().map(|piece| piece.len()).sum::<usize>();
    input.write_all(&tar::header(b'0', "file", "", length as u64)).unwrap();
    data.iter().for_each(|piece| input.write_all(piece).unwrap());
    input.write_all(&vec![0; length.next_multiple_of(512) - length + 1024]).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    path
}

/// A zstd frame: a block of 128 KiB of `x`, then the compressed block `block`.
fn zstd_frame(block: &[u8]) -> Vec<u8> {
    // The frame states a window of 8 MiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3];
    let header = |kind: u32, length: u32| (length << 3 | kind << 1).to_le_bytes();
    frame.extend_from_slice(&header(1, 128 << 10)[..3]);
    frame.push(b'x');
    frame.extend_from_slice(&header(2, block.len() as u32)[..3]);
    frame.extend_from_slice(block);
    frame
}

#[test]
fn a_window_is_bounded_and_a_half_made_layer_is_removed() {
    let host = Host::new();
    let (zeros, far) = (vec![0; 64 << 20], noise(1, 40 << 20));
    // Each frame claims a window larger than the decoder allows.
    for long in ["28", "31"] {
        let long = format!("--long={long}");
        let path =
            packed(&host, "long", &[&zeros, &zeros], &["zstd", "-qc", "-1", "--ultra", &long]);
        let import = measure(&host, ["import", path.to_str().unwrap(), "x"]);
        import.within(USUAL_KIB).refused("a window of more than 128 MiB");
    }
    // This frame states a window of 128 MiB, which is allowed. But the frame refers back 40 MiB,
    // which is too far.
    let path = packed(&host, "used", &[&far, &far], &["zstd", "-qc", "-1", "--long=27"]);
    let import = measure(&host, ["import", path.to_str().unwrap(), "x"]);
    import.within(HOSTILE_KIB).refused("a window of more than 30 MiB");
    assert!(half_made(&host).is_empty());
    host.mydocker(["images", "-q"]).stdout("");
}

#[test]
fn real_windows_are_decoded() {
    let host = Host::new();
    let (zeros, near) = (vec![0; 64 << 20], noise(2, 14 << 20));
    // For input of unknown length, level 22 of zstd states a window of 128 MiB.
    let program = ["zstd", "-qc", "--ultra", "-22"];
    let path = packed(&host, "claims", &[&zeros], &program);
    measure(&host, ["import", path.to_str().unwrap(), "claims"]).within(HOSTILE_KIB).succeeds();
    // The second half repeats the first, which is 14 MiB back and so inside each window.
    for (name, long) in [("a", "--long=24"), ("b", "--long=25"), ("c", "--long=27")] {
        let path = packed(&host, name, &[&near, &near], &["zstd", "-qc", "-1", long]);
        let import = measure(&host, ["import", path.to_str().unwrap(), name]);
        import.within(HOSTILE_KIB).succeeds();
        let ids = host.mydocker(["create", name, "/file"]).text();
        let output = host.mydocker(["export", &ids]).bytes();
        assert!(output.windows(near.len()).step_by(512).any(|part| part == near), "{name}");
        host.mydocker(["rm", &ids]);
    }
}

#[test]
fn a_zstd_block_that_unpacks_to_gigabytes() {
    let host = Host::new();
    // The block has no literals, and 65,000 sequences that each copy 65,539 bytes.
    let mut block = vec![0, 0xff, (65_000 - 0x7f00) as u8, ((65_000 - 0x7f00) >> 8) as u8];
    block.extend_from_slice(&[0x54, 0, 0, 52]);
    block.resize(block.len() + 2 * 65_000, 0);
    block.push(1);
    // The decoder panics when it gets no more memory.
    let path = host.file("bomb", zstd_frame(&block));
    let import = measure(&host, ["import", path.to_str().unwrap(), "x"]);
    import.within(HOSTILE_KIB).refused("the decoder gave up");
    assert!(half_made(&host).is_empty());
}

#[test]
fn gzip_of_any_size() {
    let host = Host::new();
    let (zeros, noise) = (vec![0; 300 << 20], noise(3, 30 << 20));
    let path = packed(&host, "gzip", &[&noise, &zeros], &["gzip", "-1"]);
    let path = path.to_str().unwrap();
    measure(&host, ["import", path, "x"]).within(USUAL_KIB).succeeds();
    // The name in this gzip header does not end.
    let mut endless = vec![0x1f, 0x8b, 8, 0x08, 0, 0, 0, 0, 0, 3];
    endless.resize(200 << 20, b'x');
    let path = host.file("name", endless);
    let import = measure(&host, ["import", path.to_str().unwrap(), "x"]);
    import.within(USUAL_KIB).refused("read the archive");
}

/// A docker-archive of one image `x` without layers.
fn docker_archive(host: &Host, config: &str) -> PathBuf {
    let manifest = r#"[{"Config":"config","RepoTags":["x:latest"],"Layers":[]}]"#;
    archive(host, &[("config", config), ("manifest.json", manifest)])
}

fn archive(host: &Host, members: &[(&str, &str)]) -> PathBuf {
    let mut tar = Vec::new();
    for (name, text) in members {
        tar.extend(tar::header(b'0', name, "", text.len() as u64));
        tar.extend_from_slice(text.as_bytes());
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    host.file("archive.tar", tar)
}

/// The largest JSON document of an image that is read, in bytes.
const DOCUMENT: usize = 8 << 20;

fn objects(count: usize) -> String {
    format!(r#"{{"rootfs":{{"diff_ids":[]}},"x":[{}0]}}"#, r#"{"":0},"#.repeat(count))
}

#[test]
fn documents_that_become_too_large_are_refused() {
    let host = Host::new();
    let many = objects((DOCUMENT - 100) / 7);
    let deep = "[".repeat(DOCUMENT);
    let deep_objects = r#"{"":"#.repeat(DOCUMENT / 4);
    let deep_config = format!(r#"{{"rootfs":{{"diff_ids":[]}},"x":{}"#, &deep[..DOCUMENT - 100]);
    for (config, reason) in
        [(&many, "more values than"), (&deep_config, "100 levels"), (&deep_objects, "100 levels")]
    {
        let path = docker_archive(&host, config);
        let load = measure(&host, ["load", "-i", path.to_str().unwrap()]);
        load.within(HOSTILE_KIB).refused(reason);
    }
    for document in ["manifest.json", "index.json"] {
        for (text, reason) in [(&many, "more values than"), (&deep, "100 levels")] {
            let path = archive(&host, &[(document, text)]);
            let load = measure(&host, ["load", "-i", path.to_str().unwrap()]);
            load.within(HOSTILE_KIB).refused(reason);
        }
    }
    host.mydocker(["images", "-q"]).stdout("");
}

#[test]
fn the_largest_config() {
    // These configs are near the limits for values, for fields and for the length of a string.
    let fields: Vec<String> = (0..1 << 16).map(|at| format!(r#""k{at}":"v{at}""#)).collect();
    let labels = format!(r#""Labels":{{{}}}"#, fields.join(","));
    let long = format!(r#""Labels":{{"k":"{}"}}"#, "v".repeat(DOCUMENT - 100));
    let inner = |inner: &str| format!(r#"{{"rootfs":{{"diff_ids":[]}},"config":{{{inner}}}}}"#);
    for config in [objects(28_000), inner(&labels), inner(&long)] {
        let host = Host::new();
        let path = docker_archive(&host, &config);
        let load = ["load", "-i", path.to_str().unwrap()];
        measure(&host, load).within(HOSTILE_KIB).succeeds();
        for line in ["images", "inspect x", "system df", "history x", "image prune -f", "rmi x"] {
            measure(&host, line.split(' ')).within(HOSTILE_KIB).succeeds();
        }
    }
}

/// An earlier version may have accepted a config that is too large now.
#[test]
fn an_image_is_removed_without_its_config() {
    use sha2::Digest;
    let host = Host::with_busybox();
    let config = objects((DOCUMENT - 100) / 7);
    let id = format!("{:x}", sha2::Sha256::digest(&config));
    let images = host.state_root().join("images");
    std::fs::write(images.join("blobs/sha256").join(&id), config).unwrap();
    let name = images.join("refs/docker.io+library+x");
    std::fs::create_dir(&name).unwrap();
    std::fs::write(name.join("latest"), format!("sha256:{id}")).unwrap();
    for line in ["images", "system df", "image prune -f"] {
        measure(&host, line.split(' ')).within(HOSTILE_KIB).succeeds();
    }
    for line in ["inspect x", "create x", "history x"] {
        let refused = measure(&host, line.split(' ')).within(HOSTILE_KIB);
        assert!(refused.stderr.contains("more values than"), "{line}: {}", refused.stderr);
    }
    measure(&host, ["rmi", "x"]).within(HOSTILE_KIB).succeeds();
    host.mydocker(["rmi", "bb"]);
    let layers = std::fs::read_dir(host.state_root().join("layers")).unwrap();
    assert_eq!(layers.count(), 0, "the layers of the other image went with it");
}

#[test]
fn top_of_processes_with_megabytes_of_arguments() {
    let host = Host::with_busybox();
    let script = r#"x=$(head -c 120000 /dev/zero | tr '\0' x); a=; for i in $(seq 15); do
        a="$a $x"; done; for i in $(seq 40); do
        sh -c 'echo; while :; do sleep 1000; done' started $a & done; sleep 1000"#;
    host.mydocker(["run", "-d", "--name", "c", "bb", "sh", "-c", script]);
    let started = || host.mydocker(["logs", "c"]).bytes().len();
    support::eventually("all have begun", || started() == 40);
    measure(&host, ["top", "c"]).within(HOSTILE_KIB).succeeds();
    let mut lines = Vec::new();
    // A shell that has forked and has not yet executed `sleep` is listed twice.
    support::eventually("each process is listed once", || {
        lines = host.mydocker(["top", "c"]).lines();
        lines.iter().filter(|line| line.contains(" started xxx")).count() == 40
    });
    assert!(lines.iter().all(|line| line.len() < 5000));
}

#[test]
fn memory_that_the_kernel_refuses_is_one_line() {
    let host = Host::new();
    let near = noise(2, 14 << 20);
    let path = packed(&host, "long", &[&near, &near], &["zstd", "-qc", "-1", "--long=25"]);
    let args = ["import", path.to_str().unwrap(), "x"];
    let import = host.command(args);
    let mut command = Command::new("prlimit");
    command.arg("--as=40000000").arg(import.get_program()).args(import.get_args());
    measure_command(&host, &command, args.join(" ")).within(HOSTILE_KIB).refused("out of memory");
    // As after a kill, the failed command leaves files. The next command that unpacks removes them.
    host.mydocker(args);
    assert!(half_made(&host).is_empty());
}

/// PAX records of at most 1 MiB together, which is the maximum for one header.
fn records(record: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for at in 0.. {
        let record = record(at);
        // The length of a record includes its own digits.
        let length = record.len() + 4;
        let line = if length < 100 {
            format!("{} {record}", length - 1)
        } else {
            format!("{length} {record}")
        };
        if text.len() + line.len() > 1 << 20 {
            break;
        }
        text.push_str(&line);
    }
    text
}

/// Headers of several kinds, at their maximum size and beyond it.
#[test]
fn headers_of_a_tar_as_large_as_they_may_be() {
    let host = Host::new();
    let attributes = records(|at| format!("SCHILY.xattr.user.{at:07}=\n"));
    let long = "n".repeat(1 << 20);
    let sparse = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.realsize=0\n";
    // The map of this sparse file has `pieces` empty pieces, which take four bytes each.
    let mapped = |pieces: usize| {
        let mut map = format!("{pieces}\n{}", "0\n0\n".repeat(pieces)).into_bytes();
        map.resize(map.len().next_multiple_of(512), 0);
        tar::Tar::default().entry(b'x', "x", "", sparse.as_bytes()).entry(b'0', "f", "", &map)
    };
    let attributes = (0..20).fold(tar::Tar::default(), |tar, at| {
        let tar = tar.entry(b'g', "g", "", attributes.as_bytes());
        tar.entry(b'x', "x", "", attributes.as_bytes()).link(&format!("l{at}"), "to")
    });
    let names = (0..20).fold(tar::Tar::default(), |tar, _| {
        let tar = tar.entry(b'L', "L", "", long.as_bytes());
        tar.entry(b'K', "K", "", long.as_bytes())
    });
    let endless = tar::Tar::default().entry(b'x', "x", "", &vec![b'x'; 200 << 20]);
    let import = |name: &str, tar: tar::Tar| {
        let path = host.file("headers.tar", tar.end());
        measure(&host, ["import", path.to_str().unwrap(), name]).within(HOSTILE_KIB)
    };
    // The kernel stores no user attributes for a symbolic link.
    import("attributes", attributes).refused("set the attribute");
    import("names", names).succeeds();
    import("map", mapped(1 << 20)).succeeds();
    import("longer", mapped(16 << 20)).refused("more than 1048576 pieces");
    import("endless", endless).refused("at most 1048576");
    assert!(half_made(&host).is_empty());
}

/// More members than an archive may have, with long names.
#[test]
fn an_archive_of_many_members() {
    let host = Host::new();
    let mut members = tar::Tar::default();
    for at in 0..100_100 {
        members = members.file(&format!("{at:06}{}", "m".repeat(90)), "");
    }
    let path = host.file("members", members.end());
    let load = measure(&host, ["load", "-i", path.to_str().unwrap()]);
    load.within(HOSTILE_KIB).refused("more than");
}

/// The directory has names of 250 bytes, more of them than a walk keeps in memory, and every file
/// has two hard links.
#[test]
fn a_directory_of_many_long_names() {
    let host = Host::with_busybox();
    let id = host.mydocker(["create", "--name", "c", "bb", "true"]).text();
    let directory = host.state_root().join("containers").join(id).join("upper/d");
    std::fs::create_dir(&directory).unwrap();
    let long = "n".repeat(243);
    for at in 0..70_000 {
        let first = directory.join(format!("a{at:06}{long}"));
        std::fs::write(&first, "").unwrap();
        std::fs::hard_link(&first, directory.join(format!("b{at:06}{long}"))).unwrap();
    }
    for line in ["diff c", "export c", "rm c"] {
        measure(&host, line.split(' ')).within(HOSTILE_KIB).succeeds();
    }
}

#[test]
fn a_log_without_lines() {
    let host = Host::with_busybox();
    let script = "head -c 60000000 /dev/zero | tr '\\0' x";
    host.mydocker(["run", "--name", "c", "bb", "sh", "-c", script]).bytes();
    for line in ["logs c", "logs -t c", "logs --tail 1 c", "logs --since 1h c", "start -a c"] {
        measure(&host, line.split(' ')).within(HOSTILE_KIB).succeeds();
    }
}

#[test]
fn templates_whose_results_would_be_gigabytes() {
    let host = Host::new();
    let large = "{{$x := pad \"a\" 10000000 1}}";
    let many = "$x ".repeat(100);
    let letters = "a".repeat(1500);
    for format in [
        format!("{large}{{{{len (print {many})}}}}"),
        format!("{large}{{{{len (println {many})}}}}"),
        format!("{large}{{{{len (split $x \"\")}}}}"),
        format!("{{{{len (printf \"%1000000s\" (split \"{letters}\" \"\"))}}}}"),
    ] {
        let measured = measure(&host, ["version", "--format", &format]);
        measured.refused("the output is too large").within(HOSTILE_KIB);
    }
}
