//! Downloads one file from any web server, for `import` and ADD with a URL.
//!
//! Redirects are followed, but never from TLS to plain HTTP. After a cut connection or the answer
//! of a busy server, the download starts again from the beginning. The server gets no user or
//! password. `MAX_DOWNLOAD` limits the size. The bytes are written as they come; their
//! Content-Encoding is ignored.

use std::fs::File;
use std::io::{Read, Seek, Write};

use super::connect::Connector;
use super::endpoint::patiently;
use super::http::{Attempt, Cause, Failure, Payload};
use super::proxy::Proxies;
use super::settings::Settings;
use super::tls::Trust;
use super::url::{Url, percent_decode};
use crate::error::{Context, Error, Result};

/// The largest file, in bytes.
const MAX_DOWNLOAD: u64 = 16 << 30;
const MAX_REDIRECTS: usize = 10;
const BUFFER: usize = 64 << 10;

/// Writes the file at `url` into `file`. Returns its Last-Modified time in seconds since 1970, if
/// the server sends one. Fails for example if the URL or the settings are invalid, if the server
/// can't be reached or refuses, or if the file is larger than `MAX_DOWNLOAD`.
pub fn download(url: &str, file: &mut File) -> Result<Option<i64>> {
    let first = Url::parse(url)?;
    let settings = Settings::read()?;
    let trust = Trust::of_download(settings.certs.clone());
    let connector = Connector::new(trust, Proxies::from_environment()?, settings.stall, true);
    Ok(patiently(|| {
        file.rewind().and_then(|()| file.set_len(0)).context(|| "write the download")?;
        get(&connector, first.clone(), file)
    })?)
}

/// Returns the last component of a URL's path as a file name, or `None` if the component
/// can't be one. Fails if the URL is invalid.
pub fn file_name(url: &str) -> Result<Option<Vec<u8>>> {
    let url = Url::parse(url)?;
    let path = percent_decode(url.target.split('?').next().unwrap_or_default());
    let path = path.strip_suffix(b"/").unwrap_or(&path);
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let is_name = !matches!(name, b"" | b"." | b"..") && name.len() <= 255 && !name.contains(&0);
    Ok(is_name.then(|| name.to_vec()))
}

fn get(connector: &Connector, mut url: Url, file: &mut File) -> Attempt<Option<i64>> {
    for _ in 0..=MAX_REDIRECTS {
        let (head, mut body) = connector.send("GET", &url, &[], Payload::Empty)?;
        let is_redirect = matches!(head.status, 301..=303 | 307 | 308);
        if let Some(location) = head.header("location").filter(|_| is_redirect) {
            let next = url.join(location)?;
            if url.origin.tls && !next.origin.tls {
                return Err(Failure::new(format!(
                    "{url} redirects from TLS to plain HTTP at {next}"
                )));
            }
            connector.recycle(&url.origin, body);
            url = next;
            continue;
        }
        if head.status != 200 {
            return Err(Failure {
                error: Error::new(format!(
                    "{} answers {}",
                    url.origin.host_and_port(),
                    head.status
                )),
                cause: Cause::Refused { status: head.status, after: head.retry_after() },
            });
        }
        let mut buffer = vec![0; BUFFER];
        let mut size = 0;
        loop {
            let count = body.read(&mut buffer);
            let count = count.map_err(|error| connector.failure(&url.origin, error))?;
            if count == 0 {
                return Ok(head.modified());
            }
            size += count as u64;
            if size > MAX_DOWNLOAD {
                return Err(Failure::new(format!("the file is larger than {MAX_DOWNLOAD} bytes")));
            }
            file.write_all(&buffer[..count]).context(|| "write the download")?;
        }
    }
    Err(Failure::new(format!("more than {MAX_REDIRECTS} redirects")))
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn names_of_files() {
        for (url, name) in [
            ("http://x/a/b.tar?c=/d#e", Some("b.tar")),
            ("http://x/a%20b", Some("a b")),
            ("http://x/a/", Some("a")),
            ("http://x/a%2Fb", Some("b")),
            ("http://x", None),
            ("http://x/", None),
            ("http://x/a/..", None),
            ("http://x/%2e%2e", None),
            ("http://x/a%00", None),
        ] {
            let name = name.map(|name| name.as_bytes().to_vec());
            assert_eq!(file_name(url).unwrap(), name, "{url}");
        }
    }
}
