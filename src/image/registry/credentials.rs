//! The user's credentials for registries in `~/.docker/config.json`, a file that other tools read
//! and write too.
//!
//! `credHelpers` and `credsStore` name programs `docker-credential-NAME` on the PATH of this host,
//! which get a request on standard input (docker/docker-credential-helpers). Without a helper,
//! `auths` has `user:password` in base64, a plain user and password, or a refresh token. A key of
//! `auths` is a registry, or a registry with a path. A key with a path is only for the repositories
//! at and below that path (containers-auth.json(5)). Unknown keys are kept as they are.

use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use miniserde::json::{self, Object, Value};

use super::base64;
use crate::error::{Context, Result, fail};
use crate::json::{Node, parse};
use crate::store::{self, Durability, make_dir};

/// The longest answer of a helper, in bytes: a password or token with its user.
const MAX_ANSWER: u64 = 256 << 10;
/// The key of Docker Hub in `auths`. For historical reasons the key is a URL.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// The credentials for one registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Password {
        user: String,
        password: String,
    },
    /// A refresh token, which is exchanged for access tokens.
    Identity(String),
}

/// The file in which credentials are stored.
pub struct CredentialFile {
    path: PathBuf,
}

impl CredentialFile {
    /// Finds `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json` if that variable is unset or
    /// empty. The file need not exist.
    pub fn open() -> CredentialFile {
        let set = std::env::var_os("DOCKER_CONFIG").filter(|value| !value.is_empty());
        let directory = set.map(PathBuf::from);
        let home = || std::env::var_os("HOME").map_or_else(|| "/root".into(), PathBuf::from);
        let directory = directory.unwrap_or_else(|| home().join(".docker"));
        let path = directory.join("config.json");
        // Use the target of a symbolic link, so that the link stays when the file is replaced.
        CredentialFile { path: fs::canonicalize(&path).unwrap_or(path) }
    }

    fn read(&self) -> Result<Value> {
        let Some(bytes) = store::read(&self.path)? else {
            return Ok(Value::Object(Object::new()));
        };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            Ok(Value::Object(Object::new()))
        } else {
            parse(&self.path.display().to_string(), &bytes)
        }
    }

    /// Returns the credentials for the repository `path` of the registry `host`, or `None` for
    /// anonymous access. Fails if the file is damaged or a helper fails.
    pub fn find(&self, host: &str, path: &str) -> Result<Option<Credentials>> {
        let document = self.path.display().to_string();
        let value = self.read()?;
        let root = Node::root(&document, &value);
        if let Some(helper) = helper_for(&root, host)? {
            return ask_helper(&helper, host);
        }
        let Some(auths) = root.get("auths")? else { return Ok(None) };
        let entries = auths.fields(usize::MAX, |key, entry| {
            let (registry, above) = parts(key);
            if registry != host || !is_below(path, above) {
                return Ok(None);
            }
            // The most specific key wins. For the same path, the registry's usual key wins.
            Ok(Some((above.len(), key == key_of(host), read_entry(entry)?)))
        })?;
        let entries = entries.into_iter().flatten();
        let entries = entries.filter_map(|(length, own, entry)| Some(((length, own), entry?)));
        Ok(entries.max_by_key(|(rank, _)| *rank).map(|(_, credentials)| credentials))
    }

    /// Stores `credentials` for `host`. Returns the file or the helper that has the credentials
    /// now.
    pub fn keep(&self, host: &str, credentials: &Credentials) -> Result<String> {
        let document = self.path.display().to_string();
        let mut value = self.read()?;
        if let Some(helper) = helper_for(&Node::root(&document, &value), host)? {
            let (user, secret) = match credentials {
                Credentials::Password { user, password } => (user.as_str(), password),
                Credentials::Identity(token) => ("<token>", token),
            };
            let mut entry = Object::new();
            for (key, text) in [("ServerURL", key_of(host)), ("Username", user), ("Secret", secret)]
            {
                entry.insert(key.into(), Value::String(text.to_owned()));
            }
            run_helper(&helper, "store", &json::to_string(&Value::Object(entry)))?
                .given(&helper, "store")?;
            return Ok(format!("docker-credential-{helper}"));
        }
        let mut entry = Object::new();
        match credentials {
            Credentials::Password { user, password } => {
                let both = base64::encode(format!("{user}:{password}").as_bytes());
                entry.insert("auth".into(), Value::String(both));
            }
            Credentials::Identity(token) => {
                entry.insert("identitytoken".into(), Value::String(token.clone()));
            }
        }
        let auths = object_in(&mut value, "auths");
        let Some(auths) = auths else { fail!("{document}: auths should be an object") };
        auths.retain(|key, _| !same_registry(key, host));
        auths.insert(key_of(host).to_owned(), Value::Object(entry));
        self.write(&value)?;
        Ok(document)
    }

    /// Removes the stored credentials for `host`. Returns false if there were none.
    pub fn forget(&self, host: &str) -> Result<bool> {
        let document = self.path.display().to_string();
        let mut value = self.read()?;
        let helper = helper_for(&Node::root(&document, &value), host)?;
        let mut forgot = false;
        if let Some(helper) = helper
            && ask_helper(&helper, host)?.is_some()
        {
            run_helper(&helper, "erase", key_of(host))?.given(&helper, "erase")?;
            forgot = true;
        }
        if let Value::Object(root) = &mut value
            && let Some(Value::Object(auths)) = root.get_mut("auths")
        {
            let before = auths.len();
            auths.retain(|key, _| !same_registry(key, host));
            if auths.len() < before {
                self.write(&value)?;
                forgot = true;
            }
        }
        Ok(forgot)
    }

    fn write(&self, value: &Value) -> Result<()> {
        if let Some(directory) = self.path.parent() {
            make_dir(directory)?;
        }
        let text = json::to_string(value) + "\n";
        store::replace(&self.path, text.as_bytes(), Durability::Synced)
    }
}

fn key_of(host: &str) -> &str {
    if host == "docker.io" { HUB_KEY } else { host }
}

/// Returns the registry and the path that a key of `auths` means. Older tools wrote a registry as
/// the URL of its API.
fn parts(key: &str) -> (&str, &str) {
    let bare = key.split_once("://").map_or(key, |(_, rest)| rest);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let path = path.trim_end_matches('/');
    let path = if matches!(path, "v1" | "v2") { "" } else { path };
    match host {
        "index.docker.io" | "registry-1.docker.io" => ("docker.io", path),
        other => (other, path),
    }
}

/// Whether the repository `path` is at or below the path `above`. All paths are below the empty
/// path.
fn is_below(path: &str, above: &str) -> bool {
    let left = path.strip_prefix(above);
    left.is_some_and(|left| above.is_empty() || left.is_empty() || left.starts_with('/'))
}

/// Whether a key of `auths` or `credHelpers` means `host` as a whole.
fn same_registry(key: &str, host: &str) -> bool {
    parts(key) == (host, "")
}

/// Reads an entry of `auths`. Returns `None` for an empty entry, which means that a helper has the
/// secret.
fn read_entry(entry: &Node<'_>) -> Result<Option<Credentials>> {
    let token = entry.text("identitytoken")?;
    if !token.is_empty() {
        return Ok(Some(Credentials::Identity(token)));
    }
    let encoded = entry.text("auth")?;
    if encoded.is_empty() {
        let (user, password) = (entry.text("username")?, entry.text("password")?);
        let given = !user.is_empty();
        return Ok(given.then_some(Credentials::Password { user, password }));
    }
    let plain = base64::decode(encoded.trim()).and_then(|bytes| String::from_utf8(bytes).ok());
    match plain.as_deref().and_then(|plain| plain.split_once(':')) {
        Some((user, password)) => {
            // Some tools pad the password with NULs.
            let password = password.trim_matches('\0').to_owned();
            Ok(Some(Credentials::Password { user: user.to_owned(), password }))
        }
        None => Err(entry.wrong("an entry whose auth is USER:PASSWORD in base64")),
    }
}

fn helper_for(root: &Node<'_>, host: &str) -> Result<Option<String>> {
    if let Some(helpers) = root.get("credHelpers")? {
        let named = helpers.fields(usize::MAX, |key, helper| {
            Ok(if same_registry(key, host) { Some(helper.string()?) } else { None })
        })?;
        if let Some(helper) = named.into_iter().flatten().next() {
            return Ok(Some(helper));
        }
    }
    Ok(Some(root.text("credsStore")?).filter(|helper| !helper.is_empty()))
}

fn ask_helper(helper: &str, host: &str) -> Result<Option<Credentials>> {
    let answer = match run_helper(helper, "get", key_of(host))? {
        Answer::Given(answer) => answer,
        // The protocol has no status for "no credentials", so the message is compared.
        Answer::Refused(reason) if reason.contains("not found in native keychain") => {
            return Ok(None);
        }
        refused => refused.given(helper, "get")?,
    };
    let document = format!("docker-credential-{helper}");
    let value = parse(&document, answer.as_bytes())?;
    let root = Node::root(&document, &value);
    let (user, secret) = (root.text("Username")?, root.text("Secret")?);
    Ok(match user.as_str() {
        "" if secret.is_empty() => None,
        "<token>" => Some(Credentials::Identity(secret)),
        _ => Some(Credentials::Password { user, password: secret }),
    })
}

/// The output of a helper, or the message of a helper that failed.
enum Answer {
    Given(String),
    Refused(String),
}

impl Answer {
    /// Returns the output. Fails on a refusal, with an error that names the helper and the action.
    fn given(self, helper: &str, action: &str) -> Result<String> {
        match self {
            Answer::Given(output) => Ok(output),
            Answer::Refused(reason) => {
                fail!("docker-credential-{helper} {action}: {}", reason.trim().escape_debug())
            }
        }
    }
}

fn run_helper(helper: &str, action: &str, input: &str) -> Result<Answer> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !helper.bytes().all(plain) {
        fail!("bad name of a credential helper: '{}'", helper.escape_debug());
    }
    let program = format!("docker-credential-{helper}");
    let (stdin, stdout) = (Stdio::piped(), Stdio::piped());
    let child = Command::new(&program).arg(action).stdin(stdin).stdout(stdout).spawn();
    let mut child = child.context(|| format!("run {program}"))?;
    let mut answer = String::new();
    let talked = (|| {
        if let Some(mut stdin) = child.stdin.take()
            && let Err(error) = stdin.write_all(input.as_bytes())
            // A helper may know the answer without reading its input.
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            return Err(error);
        }
        match &mut child.stdout {
            Some(stdout) => stdout.take(MAX_ANSWER).read_to_string(&mut answer).map(|_| ()),
            None => Ok(()),
        }
    })();
    drop(child.stdout.take());
    let status = child.wait().context(|| format!("wait for {program}"))?;
    if !status.success() {
        return Ok(Answer::Refused(answer));
    }
    talked.context(|| format!("talk to {program}"))?;
    Ok(Answer::Given(answer))
}

fn object_in<'a>(value: &'a mut Value, key: &str) -> Option<&'a mut Object> {
    let Value::Object(root) = value else { return None };
    if !matches!(root.get(key), Some(Value::Object(_))) {
        root.insert(key.to_owned(), Value::Object(Object::new()));
    }
    match root.get_mut(key) {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Scratch;
    use super::*;

    fn password(user: &str, password: &str) -> Credentials {
        Credentials::Password { user: user.into(), password: password.into() }
    }

    #[test]
    fn keeps_what_others_wrote() {
        let scratch = Scratch::new("credentials");
        let path = scratch.file(
            "config.json",
            br#"{"auths":{"https://reg.example/v1/":{"auth":"b2xkOm9sZA=="},"other":{}},
                "psFormat":"x","plugins":{"a":{"n":1}}}"#,
        );
        let file = CredentialFile { path: path.clone() };
        assert!(file.find("reg.example", "a").unwrap() == Some(password("old", "old")));
        file.keep("reg.example", &password("me", "a:b")).unwrap();
        file.keep("docker.io", &Credentials::Identity("t".into())).unwrap();
        assert!(file.find("reg.example", "a").unwrap() == Some(password("me", "a:b")));
        assert!(file.find("docker.io", "a").unwrap() == Some(Credentials::Identity("t".into())));
        assert!(file.find("other", "a").unwrap().is_none());
        assert!(file.forget("reg.example").unwrap());
        assert!(!file.forget("reg.example").unwrap());
        assert_eq!(
            fs::read_to_string(path).unwrap(),
            "{\"auths\":{\"https://index.docker.io/v1/\":{\"identitytoken\":\"t\"},\"other\":{}},\
             \"plugins\":{\"a\":{\"n\":1}},\"psFormat\":\"x\"}\n"
        );
    }

    #[test]
    fn the_most_specific_key_wins_and_holds_for_no_sibling() {
        let scratch = Scratch::new("credentials-paths");
        // The values of `auth` are user:user, team:team and app:app.
        let text = br#"{"auths":{"reg.example/team":{"auth":"dGVhbTp0ZWFt"},
            "reg.example/team/app":{"auth":"YXBwOmFwcA=="},"docker.io/me":{"auth":"dGVhbTp0ZWFt"},
            "https://index.docker.io/v1/":{"auth":"dXNlcjp1c2Vy"}}}"#;
        let file = CredentialFile { path: scratch.file("config.json", text) };
        let user = |host: &str, path: &str| match file.find(host, path).unwrap() {
            Some(Credentials::Password { user, .. }) => user,
            _ => String::new(),
        };
        for (host, path, expected) in [
            ("reg.example", "team/app", "app"),
            ("reg.example", "team/app/x", "app"),
            ("reg.example", "team/application", "team"),
            ("reg.example", "team", "team"),
            ("reg.example", "teams", ""),
            ("reg.example", "other", ""),
            ("reg.example", "", ""),
            ("docker.io", "me/app", "team"),
            ("docker.io", "library/app", "user"),
        ] {
            assert_eq!(user(host, path), expected, "{host}/{path}");
        }
        // A login to the registry leaves the keys of its paths unchanged, and so does a logout.
        file.keep("reg.example", &password("user", "user")).unwrap();
        assert_eq!(
            (user("reg.example", "x"), user("reg.example", "team")),
            ("user".into(), "team".into())
        );
        assert!(file.forget("reg.example").unwrap());
        assert_eq!(
            (user("reg.example", "x"), user("reg.example", "team")),
            ("".into(), "team".into())
        );
    }

    #[test]
    fn bad_files_are_reported() {
        let scratch = Scratch::new("credentials-bad");
        for (text, reason) in [
            ("{", "not valid JSON"),
            (r#"{"auths":[]}"#, "auths should be an object"),
            (r#"{"auths":{"h":{"auth":"!"}}}"#, "auths.h should be an entry"),
            (r#"{"credsStore":"../x"}"#, "bad name of a credential helper"),
        ] {
            let file = CredentialFile { path: scratch.file("c.json", text.as_bytes()) };
            let error = file.find("h", "a").err().unwrap().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let missing = CredentialFile { path: scratch.dir.join("none.json") };
        assert!(missing.find("h", "a").unwrap().is_none());
    }
}
