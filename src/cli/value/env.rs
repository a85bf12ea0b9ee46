//! Parses environment variables from `-e` and `--env-file`, and labels from `--label-file`.
//!
//! The file grammar is Docker's: one `NAME=value` a line, without quoting or expansion. White space
//! at the start of a line is dropped. Blank lines and lines that start with `#` are skipped. `NAME`
//! alone takes the variable's value from the caller's environment. A label without `=` has an empty
//! value.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::name::parse_label;
use crate::error::{Context, Result, fail};
use crate::raw;

/// The maximum size of a file of variables or labels, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Parses `NAME=value`. `NAME` alone takes the value from the caller's environment. If the caller
/// has no such variable, the result is `NAME` alone, which removes the image's variable. Fails on
/// an empty name and on a NUL byte.
pub fn parse_env(text: &str) -> Result<String> {
    let name = text.split_once('=').map_or(text, |(name, _)| name);
    if name.is_empty() {
        fail!("bad variable '{text}': its name is empty");
    }
    if text.contains('\0') {
        fail!("bad variable '{name}': it holds a NUL byte");
    }
    if name.len() < text.len() {
        return Ok(text.to_owned());
    }
    let value = std::env::var_os(OsStr::from_bytes(&raw::decode(name)));
    Ok(match value {
        Some(value) => format!("{name}={}", raw::encode(value.as_bytes())),
        None => name.to_owned(),
    })
}

/// Reads all variables of an env file. Fails if the file cannot be read, is larger than `MAX_FILE`
/// or has a bad line.
pub fn read_env_file(path: &str) -> Result<Vec<String>> {
    parse_env_file(path, &read_bounded("env file", path)?)
}

fn read_bounded(what: &str, path: &str) -> Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(raw::path(path))
        .and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .context(|| format!("read {what} {path}"))?;
    if bytes.len() as u64 > MAX_FILE {
        fail!("{what} {path} is larger than {MAX_FILE} bytes");
    }
    Ok(bytes)
}

/// Reads the labels of a `--label-file`, one label a line. Blank lines and lines that start with
/// `#` are skipped. Fails like `read_env_file`.
pub fn read_label_file(path: &str) -> Result<Vec<(String, String)>> {
    let bytes = read_bounded("label file", path)?;
    let mut labels = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = raw::encode(line);
        let line = line.strip_suffix('\r').unwrap_or(&line).trim_start();
        if !line.is_empty() && !line.starts_with('#') {
            labels.push(parse_label(line).context(|| format!("{path}:{}", index + 1))?);
        }
    }
    Ok(labels)
}

fn parse_env_file(path: &str, bytes: &[u8]) -> Result<Vec<String>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut variables = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let place = || format!("{path}:{}", index + 1);
        let line = raw::encode(line);
        let line = line.strip_suffix('\r').unwrap_or(&line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split_once('=').map_or(line, |(name, _)| name);
        if name.contains(char::is_whitespace) {
            fail!("{}: bad variable name '{name}': it has white space in it", place());
        }
        let variable = parse_env(line).context(place)?;
        // As in Docker, a name alone in a file does not remove the image's variable.
        variables.extend(Some(variable).filter(|variable| variable.contains('=')));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_alone_take_the_callers_value() {
        assert_eq!(parse_env("A=1=2").unwrap(), "A=1=2");
        assert_eq!(parse_env("A=").unwrap(), "A=");
        let path = std::env::var("PATH").unwrap();
        assert_eq!(parse_env("PATH").unwrap(), format!("PATH={path}"));
        assert_eq!(parse_env("MYDOCKER_NO_SUCH_VARIABLE").unwrap(), "MYDOCKER_NO_SUCH_VARIABLE");
        assert!(parse_env("=1").is_err());
        assert!(parse_env("").is_err());
    }

    #[test]
    fn env_files_are_taken_literally() {
        let text = b"\xef\xbb\xbf# comment\n\nA=1\n  B='two words' # kept\r\nMYDOCKER_NO_SUCH_VARIABLE\nC=\n";
        let variables = parse_env_file("f", text).unwrap();
        assert_eq!(variables, ["A=1", "B='two words' # kept", "C="]);
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, message) in [
            (&b"A=1\nbad name=2\n"[..], "f:2: bad variable name 'bad name'"),
            (b"=x", "f:1: bad variable '=x'"),
        ] {
            let error = parse_env_file("f", text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
