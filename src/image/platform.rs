//! Ranks how well an image's platform fits this machine or the requested platform; `choice` takes
//! the best image. Platforms are written `os/architecture[/variant]`, with Go's names (OCI image
//! spec, image-index.md).
//!
//! A variant also runs all lower variants of its architecture: arm/v7 runs v6 and v5, amd64/v3 runs
//! v2 and v1. If the user requested no platform, and an index has no fitting image of the machine's
//! own architecture, an arm64 machine takes an image for 32-bit Arm, and an amd64 machine takes an
//! image for 386. These are the fallbacks of containerd's `platforms.Only`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, fail};

/// An operating system, an architecture by Go's name, and its variant. An empty field means
/// "unknown".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: String,
}

/// The platform that the image should be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub platform: Platform,
    /// Whether only this architecture is accepted, because the user requested it. Otherwise an
    /// architecture that the processor can also run is accepted: 386 on amd64, 32-bit Arm on arm64.
    pub is_exact: bool,
}

impl Wanted {
    /// Returns a request for the platform of this machine.
    pub fn native() -> Wanted {
        Wanted { platform: Platform::native(), is_exact: false }
    }

    /// Returns a request for `platform`, which the user named. No other architecture is accepted.
    pub fn exactly(platform: Platform) -> Wanted {
        Wanted { platform, is_exact: true }
    }

    /// Ranks an image's platform: 0 is the best. `None` means that the image does not fit.
    pub fn rank(&self, offered: &Platform) -> Option<u32> {
        /// The rank of another architecture, worse than every variant of the wanted one.
        const FALLBACK: u32 = 1000;
        let wanted = &self.platform;
        if offered.os != wanted.os {
            return None;
        }
        if offered.architecture == wanted.architecture {
            return wanted.level().checked_sub(offered.level());
        }
        match (wanted.architecture.as_str(), offered.architecture.as_str()) {
            _ if self.is_exact => None,
            ("amd64", "386") => Some(FALLBACK),
            ("arm64", "arm") => Some(FALLBACK + 8u32.checked_sub(offered.level())?),
            _ => None,
        }
    }

    /// Ranks the platform in an image's config. If the config states no architecture, as the
    /// configs of some tools, the rank is the worst.
    pub fn rank_of_config(&self, offered: &Platform) -> Option<u32> {
        if offered.architecture.is_empty() { Some(u32::MAX) } else { self.rank(offered) }
    }
}

/// Whether the word is one of Go's architectures for Linux.
fn is_known(architecture: &str) -> bool {
    const KNOWN: &str = "386 amd64 arm arm64 loong64 mips mipsle mips64 mips64le ppc64 ppc64le \
                         riscv64 s390x";
    KNOWN.split_ascii_whitespace().any(|known| known == architecture)
}

/// Returns Go's name of an architecture that is given by another usual name. Other words stay
/// unchanged.
fn by_go(architecture: &str) -> &str {
    match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" => "386",
        "armhf" => "arm",
        other => other,
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Platform> {
        Platform::parse(text)
    }
}

impl Platform {
    /// Returns the platform of this machine.
    pub fn native() -> Platform {
        let architecture = native_architecture().to_owned();
        Platform { os: "linux".to_owned(), architecture, variant: native_variant().to_owned() }
    }

    /// Parses `os/architecture[/variant]`, or only the system or a known architecture. Fails on any
    /// other text, and if the system is not linux.
    pub fn parse(text: &str) -> Result<Platform> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            ["linux"] => ("linux", native_architecture(), ""),
            [architecture] if is_known(by_go(architecture)) => ("linux", architecture, ""),
            [word] => fail!("bad platform '{text}': '{word}' is neither linux nor an architecture"),
            [os, architecture] => (os, architecture, ""),
            [os, architecture, variant] => (os, architecture, variant),
            _ => fail!("bad platform '{text}': it should be OS/ARCHITECTURE[/VARIANT]"),
        };
        let plain = |part: &str| {
            part.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
        };
        if os.is_empty() || architecture.is_empty() || !parts.iter().all(|part| plain(part)) {
            fail!("bad platform '{text}': it should be OS/ARCHITECTURE[/VARIANT]");
        }
        if os != "linux" {
            fail!("bad platform '{text}': only linux runs here");
        }
        let (architecture, variant) = (by_go(architecture).to_owned(), variant.to_lowercase());
        Ok(Platform { os: os.to_owned(), architecture, variant })
    }

    /// Returns the number of the variant, or the architecture's usual number if the variant has
    /// none.
    fn level(&self) -> u32 {
        let usual = match self.architecture.as_str() {
            "arm" => 7,
            "arm64" => 8,
            _ => 1,
        };
        let digits = self.variant.trim_start_matches('v').split('.').next().unwrap_or_default();
        digits.parse().unwrap_or(usual)
    }
}

fn native_variant() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let v3 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("fma");
        let v4 = v3
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        match (v4, v3, is_x86_feature_detected!("sse4.2")) {
            (true, _, _) => "v4",
            (_, true, _) => "v3",
            (_, _, true) => "v2",
            _ => "",
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        "v8"
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        ""
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_str() {
            "" => Ok(()),
            variant => write!(f, "/{variant}"),
        }
    }
}

/// Returns this machine's architecture by Go's name, as image configs state it. Architectures other
/// than x86 and Arm keep Rust's name.
pub fn native_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the index of the platform that fits best; the first, if several fit equally well.
    fn chosen(wanted: &str, offered: &[&str]) -> Option<usize> {
        best(&Wanted::exactly(Platform::parse(wanted).unwrap()), offered)
    }

    fn best(wanted: &Wanted, offered: &[&str]) -> Option<usize> {
        let offered = offered.iter().map(|offered| Platform::parse(offered).unwrap()).enumerate();
        offered.filter_map(|(at, offered)| Some((wanted.rank(&offered)?, at))).min().map(|it| it.1)
    }

    #[test]
    fn other_architectures_come_last_and_not_by_request() {
        let machine = |text: &str| Wanted { is_exact: false, ..Wanted::exactly(parsed(text)) };
        assert_eq!(best(&machine("linux/amd64/v3"), &["linux/386", "linux/amd64"]), Some(1));
        assert_eq!(best(&machine("amd64"), &["linux/arm64", "linux/386"]), Some(1));
        let arms = ["linux/arm/v6", "linux/arm/v7", "linux/amd64"];
        assert_eq!(best(&machine("arm64"), &arms), Some(1));
        assert_eq!(best(&machine("386"), &["linux/amd64"]), None);
        assert_eq!(chosen("amd64", &["linux/386"]), None);
        assert_eq!(chosen("arm64", &arms), None);
    }

    fn parsed(text: &str) -> Platform {
        Platform::parse(text).unwrap()
    }

    #[test]
    fn the_best_variant_that_runs() {
        assert_eq!(
            chosen("linux/arm/v7", &["linux/amd64", "linux/arm/v6", "linux/arm/v7"]),
            Some(2)
        );
        assert_eq!(
            chosen("linux/arm/v6", &["linux/arm/v7", "linux/arm/v5", "linux/arm/v6"]),
            Some(2)
        );
        assert_eq!(chosen("linux/arm/v5", &["linux/arm/v7", "linux/arm/v6"]), None);
        assert_eq!(chosen("linux/arm64", &["linux/arm/v7", "linux/arm64/v8"]), Some(1));
        assert_eq!(
            chosen("linux/amd64/v3", &["linux/amd64", "linux/amd64/v4", "linux/amd64/v2"]),
            Some(2)
        );
        assert_eq!(chosen("x86_64", &["linux/amd64/v2", "linux/amd64"]), Some(1));
        assert_eq!(chosen("amd64", &["linux/s390x", "linux/amd64", "linux/amd64"]), Some(1));
        assert_eq!(chosen("amd64", &["linux/unknown"]), None);
    }

    #[test]
    fn bad_platforms_are_refused() {
        for bad in
            ["", "linux/", "/amd64", "windows/amd64", "windows", "foo", "a/b/c/d", "linux/am d64"]
        {
            assert!(Platform::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Wanted::native().rank(&Platform::native()), Some(0));
    }

    #[test]
    fn linux_alone_is_this_machines_architecture() {
        let linux = Platform::parse("linux").unwrap();
        assert_eq!(linux.architecture, native_architecture());
        assert_eq!(Platform::parse("arm64").unwrap(), Platform::parse("linux/arm64").unwrap());
    }
}
