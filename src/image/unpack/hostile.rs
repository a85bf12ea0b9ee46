//! Unpacks hostile archives. A test of an attack fails if the check that stops the attack is
//! removed.
//!
//! The tests check the contents of the layer afterwards, and that the canary outside is unchanged.
//! The fuzz targets look for archives that change anything outside. `tests/mutants/image.guards`
//! lists checks and the tests that fail without them.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;

use rustix::fs::{
    CWD, Mode, OFlags, RenameFlags, XattrFlags, getxattr, lgetxattr, openat, renameat_with,
};

use super::super::recipe::Recorder;
use super::super::tar::testing::Writer;
use super::super::testing::Scratch;
use super::*;

/// The directory `root` to unpack into, and beside it `outside/canary`.
struct Ground {
    scratch: Scratch,
}

impl Ground {
    fn new(name: &str) -> Ground {
        let scratch = Scratch::new(&format!("hostile-{name}"));
        fs::create_dir(scratch.dir.join("root")).unwrap();
        scratch.file("outside/canary", b"alive");
        Ground { scratch }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.dir.join("root").join(name)
    }

    fn unpack_by(&self, tar: &Writer, rules: &Rules, limits: &Limits) -> Result<Unpacked> {
        let bytes = tar.finish();
        let mut bytes = bytes.as_slice();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let root = openat(CWD, self.path(""), flags, Mode::empty()).unwrap();
        let result =
            unpack_within(&mut Recorder::new(&mut bytes, None), root.as_fd(), rules, limits);
        self.check_outside();
        result
    }

    fn unpack(&self, tar: &Writer) -> Result<Unpacked> {
        self.unpack_by(tar, &Rules::Layer, &LIMITS)
    }

    fn check_outside(&self) {
        let outside = self.scratch.dir.join("outside");
        assert_eq!(fs::read(outside.join("canary")).unwrap(), b"alive");
        assert_eq!(fs::metadata(outside.join("canary")).unwrap().nlink(), 1);
        assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o7777, 0o755);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        let opaque = getxattr(&outside, "trusted.overlay.opaque", &mut [0; 1]);
        assert_eq!(opaque, Err(Errno::NODATA));
        assert_eq!(fs::read_dir(&self.scratch.dir).unwrap().count(), 2);
    }

    #[track_caller]
    fn refuses(&self, tar: &Writer, reason: &str) {
        let error = self.unpack(tar).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

fn tar() -> Writer {
    Writer::default()
}

const OUT: &str = "../outside";

#[test]
fn a_name_above_the_top_is_refused() {
    let ground = Ground::new("above");
    for name in ["..", "../x", "a/../../x", "/../x", "a/b/../../../outside/canary"] {
        ground.refuses(tar().file(name, b"no"), "leads outside of the archive");
        ground.refuses(tar().link(b'1', "h", name), "leads outside of the archive");
    }
    ground.unpack(tar().file("/a/./b/..//c", b"in")).unwrap();
    assert_eq!(ground.read("a/c"), "in");
}

#[test]
fn names_are_bounded_and_whole() {
    let ground = Ground::new("names");
    let component = "a".repeat(199);
    let long = format!("{component}/").repeat(655) + &"b".repeat(73);
    ground.refuses(tar().pax(&[("path", long.as_bytes())]).file("x", b""), "at most 131071");
    let most = &long.as_bytes()[..131_071];
    ground.unpack(tar().pax(&[("path", most)]).file("x", b"")).unwrap();
    // A hard link finds the file with the long name, also after an entry in another directory.
    let link = |name: &[u8]| {
        let mut tar = tar();
        tar.pax(&[("path", most)])
            .file("x", b"deep")
            .pax(&[("linkpath", most)])
            .link(b'1', "l", "x");
        tar.pax(&[("path", name)]).file("x", b"").pax(&[("linkpath", most)]).link(b'1', "m", "x");
        tar
    };
    ground.unpack(&link(&long.as_bytes()[..90_001])).unwrap();
    assert_eq!((ground.read("l"), ground.read("m")), ("deep".into(), "deep".into()));
    let up = [&long.as_bytes()[..8000], b"/../".as_slice(), &long.as_bytes()[..900]].concat();
    ground.unpack(tar().pax(&[("path", &up)]).file("x", b"")).unwrap();
    // A link at the start of a long name is followed inside the root. A link in a later part is
    // refused.
    let (above, below) = long.as_bytes().split_at(200);
    let through = |name: &str| [name.as_bytes(), b"/", &below[..10_000], b"x"].concat();
    let mut first = tar();
    first.link(b'2', "way", std::str::from_utf8(above).unwrap());
    first.pax(&[("path", &through("way"))]).file("x", b"");
    ground.unpack(&first).unwrap();
    let later = [&long.as_bytes()[..8000], b"way"].concat();
    let mut links = tar();
    links.pax(&[("path", &later)]).link(b'2', "x", "/");
    links.pax(&[("path", &[&later, b"/x".as_slice()].concat())]).file("x", b"");
    ground.refuses(&links, "Symbolic link loop");
    let target = &long.as_bytes()[..4096];
    ground.refuses(tar().pax(&[("linkpath", target)]).link(b'2', "x", "y"), "at most 4095");
    ground.refuses(tar().pax(&[("path", b"a\0b")]).file("x", b""), "NUL");
    ground.refuses(tar().pax(&[("linkpath", b"a\0b")]).link(b'2', "x", "y"), "symbolic link to");
    ground.refuses(tar().link(b'2', "x", ""), "symbolic link to");
}

#[test]
fn links_on_the_way_lead_inside() {
    let ground = Ground::new("links");
    fs::create_dir(ground.path("outside")).unwrap();
    for (name, target) in [("up", OUT), ("abs", "/outside"), ("far", "../../../../outside")] {
        ground
            .unpack(tar().link(b'2', name, target).file(&format!("{name}/{name}"), b"in"))
            .unwrap();
        assert_eq!(ground.read(&format!("outside/{name}")), "in");
    }
    ground.unpack(tar().file("up/.wh.up", b"").file("up/.wh..wh..opq", b"")).unwrap();
    let mut value = [0; 1];
    getxattr(ground.path("outside"), "trusted.overlay.opaque", &mut value).unwrap();
    let host = ground.scratch.dir.join("outside");
    ground.unpack(tar().link(b'2', "host", host.to_str().unwrap())).unwrap();
    assert!(ground.unpack(tar().file("host/canary", b"no")).is_err());
    assert!(ground.unpack(tar().link(b'1', "h", "host/canary")).is_err());
}

#[test]
fn what_lies_over_a_link_replaces_it() {
    for (what, flag) in [("file", b'0'), ("directory", b'5'), ("fifo", b'6'), ("link", b'2')] {
        let ground = Ground::new(&format!("over-{what}"));
        let mut tar = tar();
        tar.mode = 0o4751;
        tar.link(b'2', "f", "../outside/canary").link(b'2', "d", OUT);
        ground.unpack(tar.header(flag, "f", "x", 0).header(flag, "d", "x", 0)).unwrap();
        for name in ["f", "d"] {
            let kind = ground.path(name).symlink_metadata().unwrap();
            assert_eq!(kind.is_symlink(), flag == b'2', "{what}");
            assert!(kind.is_symlink() || kind.mode() & 0o7777 == 0o4751, "{what}");
        }
    }
}

#[test]
fn a_directory_becomes_a_link_between_two_entries() {
    let ground = Ground::new("swap");
    let mut tar = tar();
    tar.file("a/x", b"1").link(b'2', "a", OUT).file("a/canary", b"no");
    // The link leads to the root's own `outside`, which does not exist.
    assert!(ground.unpack(&tar).is_err());
    let ground = Ground::new("swap-back");
    tar = Writer::default();
    tar.directory("b").file("a/x", b"1").link(b'2', "a", "b").file("a/x", b"2");
    ground.unpack(&tar).unwrap();
    assert_eq!(ground.read("b/x"), "2");
}

#[test]
fn hard_links_stay_in_the_layer() {
    let ground = Ground::new("hardlinks");
    ground.refuses(tar().link(b'2', "l", OUT).link(b'1', "h", "l/canary"), "doesn't hold");
    ground.refuses(tar().link(b'1', "h", "nowhere"), "doesn't hold");
    ground.refuses(tar().directory("d").link(b'1', "h", "d"), "to the directory");
    // The link itself gets a second name, not the file that it names.
    ground.unpack(tar().link(b'2', "c", "../outside/canary").link(b'1', "h", "c")).unwrap();
    assert!(ground.path("h").symlink_metadata().unwrap().is_symlink());
    ground.unpack(tar().file("f", b"kept").link(b'1', "f", "f")).unwrap();
    assert_eq!(ground.read("f"), "kept");
    // The hard link replaces the directory that contains its target, so the target is gone.
    ground.refuses(tar().file("t/f", b"").link(b'1', "t", "t/f"), "doesn't hold");
}

#[test]
fn whiteouts_hide_a_name_beside_them_and_no_other() {
    let ground = Ground::new("whiteouts");
    for name in ["a/.wh...", "a/.wh..", "a/.wh.", ".wh..wh.x/../.wh...", "a/.wh..wh.b"] {
        ground.refuses(tar().file(name, b""), "a whiteout of '");
    }
    ground.unpack(tar().link(b'2', "l", OUT).file(".wh.l", b"").file(".wh.gone", b"")).unwrap();
    assert!(ground.path("l").symlink_metadata().unwrap().is_symlink());
    let gone = ground.path("gone").symlink_metadata().unwrap();
    assert!(gone.file_type().is_char_device() && gone.rdev() == 0);
    // A directory that replaces a whiteout hides the same files, whether an entry or only a path
    // names the directory.
    let mut value = [0; 1];
    ground.unpack(tar().directory("gone")).unwrap();
    getxattr(ground.path("gone"), "trusted.overlay.opaque", &mut value).unwrap();
    ground.unpack(tar().file(".wh.implied", b"").file("implied/f", b"")).unwrap();
    getxattr(ground.path("implied"), "trusted.overlay.opaque", &mut value).unwrap();
    // Files that aufs kept for itself are left out.
    ground.unpack(tar().file(".wh..wh.plnk/x", b"").file(".wh..wh.aufs", b"")).unwrap();
    let names = fs::read_dir(ground.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    // The directory `a` was created for the whiteouts that were refused.
    assert_eq!(names, ["a", "gone", "implied", "l"]);
}

#[test]
fn overlays_own_attributes_are_not_the_archives_to_set() {
    let ground = Ground::new("attributes");
    let mut archive = tar();
    archive.pax(&[
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.kept", b"1"),
    ]);
    ground.unpack(archive.directory("d")).unwrap();
    let mut value = [0; 16];
    for name in ["trusted.overlay.redirect", "trusted.overlay.opaque", "user.overlay.opaque"] {
        assert!(getxattr(ground.path("d"), name, &mut value).is_err(), "{name}");
    }
    assert_eq!(getxattr(ground.path("d"), "user.kept", &mut value), Ok(1));
    // The attribute is set on the link, not on its target.
    let canary = ground.scratch.dir.join("outside/canary");
    let mut archive = tar();
    archive.pax(&[("SCHILY.xattr.trusted.x", b"1")]);
    ground.unpack(archive.link(b'2', "l", canary.to_str().unwrap())).unwrap();
    assert!(getxattr(&canary, "trusted.x", &mut value).is_err());
    assert_eq!(lgetxattr(ground.path("l"), "trusted.x", &mut value), Ok(1));
    let none = XattrFlags::empty();
    assert!(rustix::fs::setxattr(&canary, "trusted.y", b"", none).is_ok(), "it could have been");
}

/// A running container may put a link in the place of a file that was just created.
#[test]
fn attributes_go_to_no_target_of_a_link() {
    let ground = Ground::new("swapped");
    let canary = ground.scratch.dir.join("outside/canary");
    let about = |path: &std::path::Path| {
        let found = fs::metadata(path).unwrap();
        (found.mode(), found.uid(), found.mtime(), found.ctime_nsec())
    };
    let before = about(&canary);
    std::os::unix::fs::symlink("../outside/canary", ground.path("link")).unwrap();
    let mut archive = tar();
    (archive.mode, archive.owner, archive.mtime) = (0o4777, (1234, 1234), 5678);
    archive.pax(&[("SCHILY.xattr.trusted.x", b"1")]).header(b'6', "link", "", 0);
    let bytes = archive.finish();
    let mut reader = Reader::new(&bytes[..]);
    let entry = reader.next().unwrap().unwrap();
    assert_eq!(entry.kind, Kind::Fifo);
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let root = openat(CWD, ground.path(""), flags, Mode::empty()).unwrap();
    // Ignore the result: kernels before 6.6 set the link's own mode, and later kernels fail.
    let _ = set_attributes_by_name(root.as_fd(), "link".as_ref(), &entry);
    assert_eq!(about(&canary), before);
    assert!(getxattr(&canary, "trusted.x", &mut [0; 8]).is_err());
}

/// A container may replace a directory by a link after the copy made or found the directory, and
/// before the copy opens it.
#[test]
fn a_directory_that_is_swapped_for_a_link_is_not_opened() {
    let ground = Ground::new("swapped-directory");
    let (directory, link) = (ground.path("d"), ground.path("link"));
    let mut archive = tar();
    (archive.mode, archive.owner) = (0o4777, (1234, 1234));
    for _ in 0..100 {
        archive.directory("d");
    }
    let rules = Rules::Copy(CopyRules::default());
    std::thread::scope(|scope| {
        let copies = scope.spawn(|| {
            for _ in 0..3_000 {
                // The copy may fail at the link, but it never follows the link.
                let _ = ground.unpack_by(&archive, &rules, &LIMITS);
            }
        });
        while !copies.is_finished() {
            let _ = fs::create_dir(&directory);
            let _ = std::os::unix::fs::symlink("../outside", &link);
            for _ in 0..2 {
                let _ = renameat_with(CWD, &link, CWD, &directory, RenameFlags::EXCHANGE);
            }
            // Whatever happened in between, the next round starts with a directory.
            let _ = fs::remove_file(&directory);
            let _ = fs::remove_file(&link).or_else(|_| fs::remove_dir(&link));
        }
    });
}

/// A container may replace a new directory above an entry by a link after the unpacker made the
/// directory, and before the unpacker opens it.
#[test]
fn a_parent_that_is_swapped_for_a_link_is_not_opened() {
    let ground = Ground::new("swapped-parent");
    let (parent, link) = (ground.path("d"), ground.path("link"));
    let mut archive = tar();
    archive.file("d/x", b"");
    std::thread::scope(|scope| {
        let copies = scope.spawn(|| {
            for _ in 0..6_000 {
                let _ = ground.unpack(&archive);
            }
        });
        while !copies.is_finished() {
            let _ = std::os::unix::fs::symlink("../outside", &link);
            for _ in 0..10 {
                let _ = renameat_with(CWD, &link, CWD, &parent, RenameFlags::EXCHANGE);
            }
            for path in [&parent, &link] {
                let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
            }
        }
    });
}

#[test]
fn powers_come_with_their_owner_or_not_at_all() {
    let ground = Ground::new("powers");
    let mut archive = tar();
    (archive.mode, archive.owner) = (0o6755, (1000, 1000));
    // A file capability: version 2, cap_net_raw.
    let capability = [&[1, 0, 0, 2, 0, 0x20][..], &[0; 14]].concat();
    archive.pax(&[("SCHILY.xattr.security.capability", &capability)]).file("f", b"");
    ground.unpack(&archive).unwrap();
    let mut value = [0; 64];
    assert_eq!(fs::metadata(ground.path("f")).unwrap().mode() & 0o7777, 0o6755);
    assert_eq!(getxattr(ground.path("f"), "security.capability", &mut value), Ok(20));
    let rules = Rules::Copy(CopyRules { owner: Some((7, 8)), ..CopyRules::default() });
    ground.unpack_by(&archive, &rules, &LIMITS).unwrap();
    let found = fs::metadata(ground.path("f")).unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o755, 7, 8));
    assert!(getxattr(ground.path("f"), "security.capability", &mut value).is_err());
    let mut device = tar();
    device.device = (1, 3);
    let error = ground.unpack_by(device.header(b'3', "null", "", 0), &rules, &LIMITS);
    assert!(error.unwrap_err().to_string().contains("is a device"));
    assert!(!ground.path("null").exists());
    // An owner of -1 would leave the file to root, with the archive's setuid bit.
    let mut archive = tar();
    archive.pax(&[("uid", b"4294967295")]).file("nobody's", b"");
    ground.refuses(&archive, "out of range");
}

#[test]
fn a_copy_replaces_no_directory_by_a_file_or_the_other_way() {
    let ground = Ground::new("kinds");
    fs::create_dir_all(ground.path("d/inner")).unwrap();
    fs::write(ground.path("f"), "old").unwrap();
    let rules = Rules::Copy(CopyRules::default());
    for tar in [tar().file("d", b"no"), tar().link(b'2', "d", "f"), tar().directory("f")] {
        assert!(ground.unpack_by(tar, &rules, &LIMITS).is_err());
    }
    assert_eq!((ground.read("f"), ground.path("d/inner").is_dir()), ("old".into(), true));
    // In a copy, `.wh.` has no special meaning.
    ground.unpack_by(tar().file(".wh.f", b"x"), &rules, &LIMITS).unwrap();
    assert_eq!((ground.read("f"), ground.read(".wh.f")), ("old".into(), "x".into()));
    ground.unpack_by(tar().directory("./"), &rules, &LIMITS).unwrap();
}

#[test]
fn the_top_is_a_directory() {
    let ground = Ground::new("top");
    ground.refuses(tar().link(b'2', "./", OUT), "top is not a directory");
    ground.refuses(tar().link(b'1', "/", "x"), "top is not a directory");
    let mut archive = tar();
    archive.mode = 0o700;
    ground.unpack(archive.directory("./")).unwrap();
    let mode = fs::metadata(ground.path("")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
}

#[test]
fn entries_and_bytes_are_counted() {
    let ground = Ground::new("counts");
    let limits = Limits { entries: 3, bytes: 100, kept: 8 << 20 };
    let by = |tar: &Writer| ground.unpack_by(tar, &Rules::Layer, &limits);
    by(tar().file("a", b"").file("b", b"").directory("c")).unwrap();
    let error = by(tar().file("a", b"").file("b", b"").directory("c").directory("d"));
    assert!(error.unwrap_err().to_string().contains("more than 3 entries"));
    by(tar().file("a", &[0; 50]).file("b", &[0; 50])).unwrap();
    let error = by(tar().file("a", &[0; 50]).file("b", &[0; 51]));
    assert!(error.unwrap_err().to_string().contains("larger than 100 bytes"));
    // Holes count too: a map of a few bytes can state any size.
    let mut bomb = tar();
    bomb.pax(&[("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"101")]).file("hole", b"x");
    assert!(by(&bomb).unwrap_err().to_string().contains("larger than 100 bytes"));
    let mut bomb = tar();
    bomb.pax(&[("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"9223372036854775807")]);
    ground.refuses(bomb.file("hole", b"x").file("more", b"x"), "larger than");
}

#[test]
fn directories_in_each_other_keep_their_times() {
    let ground = Ground::new("times-nested");
    let (mut archive, mut path) = (tar(), String::new());
    for at in 0..40 {
        archive.mtime = 1000 + at;
        path += "d/";
        archive.directory(&path);
    }
    // With this small `kept`, the times are set in several rounds on the way down.
    let limits = Limits { entries: 1000, bytes: 1000, kept: 300 };
    ground.unpack_by(&archive, &Rules::Layer, &limits).unwrap();
    for at in 0..40 {
        let path = ground.path(&"d/".repeat(at + 1));
        assert_eq!(fs::metadata(path).unwrap().mtime(), 1000 + at as i64, "level {at}");
    }
}

#[test]
fn directories_keep_their_times_however_many_there_are() {
    let mut archive = tar();
    for round in 1..4 {
        for at in 0..30 {
            archive.mtime = 1000 * round + at;
            archive.directory(&format!("d{at}"));
            archive.mtime = 7;
            // Add a file to this directory, and a file below a new directory in another directory.
            archive.file(&format!("d{at}/f{round}"), b"");
            archive.file(&format!("d{}/new{round}/below/f", (at + 13) % 30), b"");
        }
    }
    for kept in [8 << 20, 600] {
        let ground = Ground::new("times");
        let limits = Limits { entries: 1000, bytes: 100, kept };
        ground.unpack_by(&archive, &Rules::Layer, &limits).unwrap();
        for at in 0..30 {
            let time = fs::metadata(ground.path(&format!("d{at}"))).unwrap().mtime();
            assert_eq!(time, 3000 + at, "{kept}");
        }
    }
}

#[test]
fn a_deep_tree_can_be_replaced() {
    let ground = Ground::new("deep");
    let deep = "d/".repeat(400) + "f";
    let mut tar = tar();
    tar.pax(&[("path", deep.as_bytes())]).file("x", b"").file("d", b"flat");
    ground.unpack(&tar).unwrap();
    assert_eq!(ground.read("d"), "flat");
}
