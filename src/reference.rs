//! Names of images: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, by the grammar of Docker's reference
//! package (distribution/reference).
//!
//! The first of several components is a host if it contains a dot, a colon or an upper-case letter,
//! or is `localhost`. Otherwise the host is docker.io. On docker.io a path of one component gets
//! the prefix `library/`. Each component of a parsed name is safe as a file name: it is not empty
//! and does not start with a dot.

use std::fmt;

use crate::digest::Digest;
use crate::error::{Result, fail};

/// The maximum length of `HOST/PATH`, in bytes. This is Docker's limit. It is also NAME_MAX: the
/// image store makes a directory with this name, with `+` in place of `/`.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

const DEFAULT_HOST: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";

/// A parsed image name with all defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// `docker.io`, `localhost:5000`, …
    pub host: String,
    /// `library/alpine`
    pub path: String,
    /// The given tag, or `latest` if the text has neither tag nor digest. `None` if the text has
    /// only a digest.
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

impl Reference {
    /// Parses a name, and fills in the defaults. Fails if the text does not follow the grammar, is
    /// too long, or is an image's whole id.
    pub fn parse(text: &str) -> Result<Reference> {
        if text.is_empty() {
            fail!("the image name is empty");
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest)?)),
            None => (text, None),
        };
        // A colon after the last slash starts a tag. A colon before that slash starts a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(tag) = tag {
            check_tag(text, tag)?;
        }
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if is_host(host) => (host, path),
            _ => (DEFAULT_HOST, name),
        };
        check_host(text, host)?;
        check_path(text, path)?;
        let host = if host == "index.docker.io" { DEFAULT_HOST } else { host };
        let path = if host == DEFAULT_HOST && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if Digest::parse_hex(name).is_some() {
            fail!("bad image name '{text}': 64 hexadecimal digits are an image's id, not a name");
        }
        if host.len() + 1 + path.len() > MAX_NAME {
            fail!("the image name '{text}' is too long: at most {MAX_NAME} bytes before the tag");
        }
        let default_tag = digest.is_none().then_some(DEFAULT_TAG);
        let tag = tag.or(default_tag).map(str::to_owned);
        Ok(Reference { host: host.to_owned(), path, tag, digest })
    }

    /// Parses a name for a new image or a new tag. Fails if the name has a digest, because a digest
    /// follows from an image's bytes. If a user could choose the digest, a name with this digest
    /// could run an image with other bytes (CVE-2026-50195).
    pub fn parse_new(text: &str) -> Result<Reference> {
        Reference::parse(text)?.for_new()
    }

    /// The same reference. Fails if it has a digest, as `parse_new` explains.
    pub fn for_new(self) -> Result<Reference> {
        if self.digest.is_some() {
            fail!("an image can't be named by a digest: '{}'; give it a tag", self.familiar());
        }
        Ok(self)
    }

    /// Parses the name of a repository, for commands on all its tags. Fails if the name has a tag
    /// or digest.
    pub fn parse_repository(text: &str) -> Result<Reference> {
        let reference = Reference::parse(text)?;
        if reference.ends(text) {
            fail!("--all-tags can't go with a tag or digest: '{text}'");
        }
        Ok(reference)
    }

    /// Whether `text` ends with a tag or a digest. `text` is the text from which this reference was
    /// parsed.
    pub fn ends(&self, text: &str) -> bool {
        self.digest.is_some() || text.ends_with(&self.suffix())
    }

    /// The same repository with another tag. Fails if `tag` is not a valid tag.
    pub fn with_tag(&self, tag: &str) -> Result<Reference> {
        check_tag(&self.name(), tag)?;
        Ok(Reference { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// Host and path, such as `docker.io/library/alpine`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// The name without `docker.io` and `library`, unless the shorter name would mean another
    /// repository or an image's id.
    pub fn familiar_name(&self) -> String {
        if self.host != DEFAULT_HOST {
            return self.name();
        }
        let official = self.path.strip_prefix("library/").filter(|rest| !rest.contains('/'));
        let short = official.unwrap_or(&self.path);
        let is_host = short.split_once('/').is_some_and(|(first, _)| is_host(first));
        if is_host || Digest::parse_hex(short).is_some() { self.name() } else { short.to_owned() }
    }

    /// The familiar name with its tag or digest, such as `alpine:latest`.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), self.suffix())
    }

    /// Whether both references name the same repository.
    pub fn is_of(&self, other: &Reference) -> bool {
        (&self.host, &self.path) == (&other.host, &other.path)
    }

    /// The end of the reference: `:TAG`, `@DIGEST` or both.
    pub fn suffix(&self) -> String {
        let mut suffix = String::new();
        if let Some(tag) = &self.tag {
            suffix = format!(":{tag}");
        }
        if let Some(digest) = &self.digest {
            suffix += &format!("@{digest}");
        }
        suffix
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.host, self.path, self.suffix())
    }
}

fn is_host(component: &str) -> bool {
    component.contains(['.', ':'])
        || component == "localhost"
        || component.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn check_host(text: &str, host: &str) -> Result<()> {
    if let Some((address, rest)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let plain = address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
        if !plain || address.parse::<std::net::Ipv6Addr>().is_err() {
            fail!("bad image name '{text}': '{address}' is not an IPv6 address");
        }
        return match rest.strip_prefix(':') {
            Some(port) => check_port(text, port),
            None if rest.is_empty() => Ok(()),
            None => fail!("bad image name '{text}': '{host}' is not a host name"),
        };
    }
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !name.split('.').all(label) {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) && !name.contains('.') {
            fail!("bad image name '{text}': it must be lower case");
        }
        fail!("bad image name '{text}': '{host}' is not a host name");
    }
    port.map_or(Ok(()), |port| check_port(text, port))
}

fn check_port(text: &str, port: &str) -> Result<()> {
    if !(1..=5).contains(&port.len()) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        fail!("bad image name '{text}': '{port}' is not a port");
    }
    Ok(())
}

/// Checks a path. Each component between slashes has one or more parts `[a-z0-9]+`, joined by one
/// `.`, one or two `_`, or one or more `-`.
fn check_path(text: &str, path: &str) -> Result<()> {
    for component in path.split('/') {
        if component.is_empty() {
            fail!("bad image name '{text}': a part of it is empty");
        }
        for character in component.chars() {
            match character {
                'a'..='z' | '0'..='9' | '.' | '_' | '-' => {}
                'A'..='Z' => fail!("bad image name '{text}': it must be lower case"),
                // Escape a control character: an error is one line, and a newline in it would be
                // printed as a space.
                other if other.is_control() => {
                    fail!("bad image name '{text}': the character '{}'", other.escape_default())
                }
                other => fail!("bad image name '{text}': the character '{other}'"),
            }
        }
        let separators = component.split(|c: char| c.is_ascii_alphanumeric());
        let good = separators
            .into_iter()
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'));
        let ends = component.starts_with(['.', '_', '-']) || component.ends_with(['.', '_', '-']);
        if !good || ends {
            fail!("bad image name '{text}': misplaced '.', '_' or '-' in '{component}'");
        }
    }
    Ok(())
}

/// Whether `text` is a valid tag.
pub fn is_tag(text: &str) -> bool {
    check_tag(text, text).is_ok()
}

fn check_tag(text: &str, tag: &str) -> Result<()> {
    if tag.is_empty() {
        fail!("bad image name '{text}': the tag is empty");
    }
    if tag.len() > MAX_TAG {
        fail!("bad image name '{text}': the tag is longer than {MAX_TAG} characters");
    }
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let good = tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-'));
    if !good || !word(tag.as_bytes()[0]) {
        fail!("bad image name '{text}': '{tag}' is not a tag (letters, digits, '_', '.', '-')");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_parts_get_their_defaults() {
        let hex = "a".repeat(64);
        for (typed, whole, familiar) in [
            ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
            ("alpine:3.20", "docker.io/library/alpine:3.20", "alpine:3.20"),
            ("me/app", "docker.io/me/app:latest", "me/app:latest"),
            ("docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
            ("index.docker.io/alpine", "docker.io/library/alpine:latest", "alpine:latest"),
            ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
            ("localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest"),
            ("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"),
            ("[::1]:5000/x:1", "[::1]:5000/x:1", "[::1]:5000/x:1"),
            ("[2001:db8::1]/x", "[2001:db8::1]/x:latest", "[2001:db8::1]/x:latest"),
            ("a__b/c-----d.e", "docker.io/a__b/c-----d.e:latest", "a__b/c-----d.e:latest"),
            ("x:_T.-1", "docker.io/library/x:_T.-1", "x:_T.-1"),
            ("docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest"),
            ("library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
            (
                &format!("x@sha256:{hex}"),
                &format!("docker.io/library/x@sha256:{hex}"),
                &format!("x@sha256:{hex}"),
            ),
            (
                &format!("x:1@sha256:{hex}"),
                &format!("docker.io/library/x:1@sha256:{hex}"),
                &format!("x:1@sha256:{hex}"),
            ),
        ] {
            let reference = Reference::parse(typed).unwrap();
            assert_eq!(reference.to_string(), whole);
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(Reference::parse(whole).unwrap(), reference);
        }
    }

    #[test]
    fn a_new_name_has_no_digest() {
        let digest = Digest::of(b"x");
        for name in [format!("x@{digest}"), format!("x:1@{digest}")] {
            assert!(Reference::parse(&name).is_ok());
            let error = Reference::parse_new(&name).unwrap_err().to_string();
            assert!(error.contains("by a digest"), "{error}");
        }
        assert_eq!(Reference::parse_new("x:1").unwrap(), Reference::parse("x:1").unwrap());
    }

    #[test]
    fn errors_name_the_mistake() {
        for (typed, reason) in [
            ("", "empty"),
            ("Alpine", "lower case"),
            ("me/App", "lower case"),
            ("a b", "character ' '"),
            ("../etc/passwd", "host name"),
            ("./x", "host name"),
            ("a/../b", "misplaced"),
            ("a//b", "empty"),
            ("/a", "empty"),
            ("a/", "empty"),
            ("a:", "tag is empty"),
            ("a:.x", "not a tag"),
            ("a:x\u{e9}", "not a tag"),
            ("a___b", "misplaced"),
            ("a..b/c", "host name"),
            ("-a", "misplaced"),
            ("a\nb", "character '\\n'"),
            ("localhost:port/x", "not a port"),
            ("[::1]:port/x", "not a port"),
            ("[::1]x/x", "not a host name"),
            ("[::g]/x", "not an IPv6 address"),
            ("[::1%lo]/x", "not an IPv6 address"),
            ("::1/x", "not a host name"),
            ("x@sha256:12", "bad digest"),
            (&"a".repeat(256), "too long"),
            (&format!("x:{}", "a".repeat(129)), "longer than 128"),
            (&"a".repeat(64), "id, not a name"),
        ] {
            let error = Reference::parse(typed).unwrap_err().to_string();
            assert!(error.contains(reason), "{typed}: {error}");
        }
    }
}
