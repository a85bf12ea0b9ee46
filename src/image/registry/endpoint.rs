//! Talks to one registry, or to a mirror of it, for one repository: the API under `/v2/` (OCI
//! distribution spec), with the user's credentials, redirects and error messages.
//!
//! The user's credentials go only to the registry's own origin and to the token server that the
//! registry names. If a redirect leads to another origin, the credentials are not sent there, and a
//! challenge from there is not answered (CVE-2020-15157). If the registry has TLS, a challenge that
//! names a token server without TLS is not answered either.

use std::sync::Mutex;
use std::time::Duration;

use super::auth::{Challenge, Token, fetch_token};
use super::basic::{basic, basic_of};
use super::connect::Connector;
use super::credentials::Credentials;
use super::http::{Attempt, Body, Cause, Failure, Head, Payload};
use super::url::Url;
use crate::error::{Error, Result};
use crate::json::{Node, parse};

const MAX_REDIRECTS: usize = 10;
/// The longest error message of a registry that is read, in bytes.
const MAX_REFUSAL: u64 = 64 << 10;
/// The longest error message of a registry that is shown, in characters before they are escaped.
const MAX_SHOWN: usize = 300;
/// How often a request is sent before the endpoint gives up. [`pause`] returns the waits in
/// between.
pub const MAX_TRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const MAX_WAIT: Duration = Duration::from_secs(60);

/// One registry or mirror, with its connections and its authorization.
pub struct Endpoint {
    pub connector: Connector,
    /// The part of the URL before `/v2/`.
    base: Url,
    /// The host as users name it, for messages.
    pub host: String,
    scopes: Vec<String>,
    credentials: Option<Credentials>,
    authorization: Mutex<Authorization>,
}

#[derive(Default)]
struct Authorization {
    /// The value of the header Authorization.
    header: Option<String>,
    /// The refresh token of the token server, if the server gave one.
    refresh: Option<String>,
}

/// A response, and the URL that it answers: the last one if the request was redirected.
pub struct Answer {
    pub head: Head,
    pub body: Body,
    pub url: Url,
}

impl Endpoint {
    /// Opens the endpoint at `base`. With `may_be_plain`, finds out whether the server has TLS, and
    /// uses plain HTTP if it does not. Fails if the connection fails, if the server answers 400,
    /// 429 or 5xx, or if its challenge can't be answered, for example because the token server
    /// refuses the credentials.
    pub fn open(
        connector: Connector,
        base: &Url,
        may_be_plain: bool,
        host: &str,
        scopes: Vec<String>,
        credentials: Option<Credentials>,
    ) -> Result<Endpoint> {
        let mut endpoint = Endpoint {
            connector,
            base: base.clone(),
            host: host.to_owned(),
            scopes,
            credentials,
            authorization: Mutex::default(),
        };
        if may_be_plain && let Err(first) = endpoint.ping() {
            // A server without TLS answers a handshake with arbitrary bytes, or not at all.
            let may_be =
                matches!(first.cause, Cause::NoTls | Cause::Unreachable) || first.is_transient();
            let tls = endpoint.base.origin.clone();
            endpoint.base.origin.tls = false;
            if tls.port == 443 {
                endpoint.base.origin.port = 80;
            }
            match may_be.then(|| patiently(|| endpoint.ping())) {
                Some(Ok(())) => return Ok(endpoint),
                Some(Err(second)) if second.is_of_registry() && first.status().is_none() => {
                    return Err(second.error);
                }
                _ if first.is_transient() => endpoint.base.origin = tls,
                _ => return Err(first.error),
            }
        }
        patiently(|| endpoint.ping())?;
        Ok(endpoint)
    }

    /// Requests `/v2/`. If the answer is a challenge, gets the authorization for later requests. If
    /// the challenge is Basic and there are no credentials, later requests have no authorization.
    fn ping(&self) -> Attempt<()> {
        let url = self.url("");
        let (head, body) = self.connector.send("GET", &url, &[], Payload::Empty)?;
        self.connector.recycle(&url.origin, body);
        match head.status {
            401 => match Challenge::of(&head) {
                Some(Challenge::Basic) if self.credentials.is_none() => Ok(()),
                Some(challenge) => self.authorize(&challenge, None),
                None => Ok(()),
            },
            // Many TLS servers answer plain HTTP with 400.
            400 | 429 | 500.. => Err(self.refusal(&head, &[])),
            _ => Ok(()),
        }
    }

    /// Checks the credentials by a request for `/v2/`. Fails as [`Endpoint::document`] does.
    /// Returns the refresh token if the token server gave one.
    pub fn check_login(&self) -> Result<Option<String>> {
        self.document("GET", &self.url(""), &[], Payload::Empty, MAX_REFUSAL)?;
        Ok(self.locked().refresh.clone())
    }

    /// Returns the URL `BASE/v2/PATH`.
    pub fn url(&self, path: &str) -> Url {
        let prefix = self.base.target.trim_end_matches('/');
        self.base.with_target(format!("{prefix}/v2/{path}"))
    }

    /// Sends a request, with retries, and reads the whole answer. Fails as [`Endpoint::ask`] does,
    /// or if the answer can't be decoded or is longer than `limit` bytes.
    pub fn document(
        &self,
        method: &'static str,
        url: &Url,
        headers: &[(&'static str, String)],
        payload: Payload<'_>,
        limit: u64,
    ) -> Attempt<(Head, Vec<u8>)> {
        patiently(|| {
            // No caller passes a stream, so the payload can be sent again.
            let payload = payload.again().unwrap_or(Payload::Empty);
            let answer = self.ask(method, url, headers, payload)?;
            let bytes = self.connector.read_whole(&answer.url.origin, answer.body, limit)?;
            Ok((answer.head, bytes))
        })
    }

    /// Sends a request, with authorization and redirects, and without retries. If the registry
    /// answers with a challenge, gets authorization and sends the request a second time. A stream
    /// can't be sent a second time here: the call gets authorization and fails with a transient
    /// error, and the caller's next try has the authorization. Fails if the connection fails, if
    /// the registry refuses the request, if its challenge can't be answered, or if a redirect can't
    /// be followed. No redirect of a stream can be followed.
    pub fn ask(
        &self,
        method: &'static str,
        url: &Url,
        headers: &[(&'static str, String)],
        mut payload: Payload<'_>,
    ) -> Attempt<Answer> {
        let used = self.locked().header.clone();
        let first = self.follow(method, url, headers, used.as_deref(), &mut payload)?;
        if first.head.status < 400 {
            return Ok(first);
        }
        let challenge = Challenge::of(&first.head).filter(|_| first.head.status == 401);
        let ours = first.url.origin == self.base.origin;
        let Some(challenge) = challenge.filter(|_| ours) else { return Err(self.refused(first)) };
        self.recycle(first);
        self.authorize(&challenge, used.as_deref())?;
        if payload.again().is_none() {
            let message = format!("{} asks for another token during the transfer", self.host);
            return Err(Failure::transient(Error::new(message)));
        }
        let now = self.locked().header.clone();
        let second = self.follow(method, url, headers, now.as_deref(), &mut payload)?;
        if second.head.status < 400 { Ok(second) } else { Err(self.refused(second)) }
    }

    fn follow(
        &self,
        method: &'static str,
        url: &Url,
        headers: &[(&'static str, String)],
        authorization: Option<&str>,
        payload: &mut Payload<'_>,
    ) -> Attempt<Answer> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = headers.to_vec();
            let own = authorization.filter(|_| url.origin == self.base.origin);
            // The URL of a redirect may name a user for its target.
            let value = own.map(str::to_owned).or_else(|| url.user.as_deref().map(basic_of));
            headers.extend(value.map(|value| ("Authorization", value)));
            let (again, sent) = match &mut *payload {
                Payload::Stream(stream, size) => (false, Payload::Stream(&mut **stream, *size)),
                other => (true, other.again().unwrap_or(Payload::Empty)),
            };
            let (head, body) = self.connector.send(method, &url, &headers, sent)?;
            let redirect = matches!(head.status, 307 | 308)
                || matches!(head.status, 301..=303) && matches!(method, "GET" | "HEAD");
            let location = head.header("location").filter(|_| redirect && again);
            let Some(location) = location else {
                return match head.status {
                    300..=399 => Err(self.not_followed(method, &url, &head)?),
                    _ => Ok(Answer { head, body, url }),
                };
            };
            let next = url.join(location)?;
            if url.origin.tls && !next.origin.tls {
                let to = next.origin.host_and_port();
                let message = format!("{} redirects from TLS to plain HTTP at {to}", self.host);
                return Err(Failure::new(message));
            }
            self.connector.recycle(&url.origin, body);
            url = next;
        }
        let message = format!("{} redirects more than {MAX_REDIRECTS} times", self.host);
        Err(Failure::new(message))
    }

    /// Keeps the answer's connection for the next request, as [`Connector::recycle`] does.
    pub fn recycle(&self, answer: Answer) {
        self.connector.recycle(&answer.url.origin, answer.body);
    }

    /// Returns the failure for a redirect that [`Endpoint::follow`] can't follow: the body is a
    /// stream, the status may change the method or is not 301, 302, 303, 307 or 308, or the answer
    /// names no target.
    fn not_followed(&self, method: &str, url: &Url, head: &Head) -> Result<Failure> {
        let to = match head.header("location") {
            // The rest of the URL may have a signature that grants access, so don't show the rest.
            Some(location) => url.join(location)?.origin.host_and_port(),
            None => "nowhere".to_owned(),
        };
        let (host, status) = (&self.host, head.status);
        let error = format!(
            "{host} answers {status}: it redirects {method} to {to}, which is not supported"
        );
        let cause = Cause::Refused { status, after: None };
        Ok(Failure { error: Error::new(error), cause })
    }

    /// Answers the challenge, unless another thread has done so since this request was sent with
    /// the authorization `used`.
    fn authorize(&self, challenge: &Challenge, used: Option<&str>) -> Attempt<()> {
        let mut authorization = self.locked();
        if authorization.header.as_deref() != used {
            return Ok(());
        }
        match challenge {
            Challenge::Basic => match &self.credentials {
                Some(Credentials::Password { user, password }) if used.is_none() => {
                    authorization.header = Some(basic(user, password));
                }
                Some(Credentials::Password { .. }) => {
                    let message = format!("{} refuses: wrong user or password", self.host);
                    return Err(Failure::new(message));
                }
                _ => return Err(self.log_in_first()),
            },
            Challenge::Bearer { realm, service, scope } => {
                let realm = self.base.join(realm)?;
                if self.base.origin.tls && !realm.origin.tls {
                    let message =
                        format!("{} names a token server without TLS: {realm}", self.host);
                    return Err(Failure::new(message));
                }
                let mut scopes = self.scopes.clone();
                if !scope.is_empty() && !scopes.iter().any(|known| covers(known, scope)) {
                    scopes.push(scope.clone());
                }
                let Token { access, refresh } = fetch_token(
                    &self.connector,
                    &realm,
                    service,
                    &scopes,
                    self.credentials.as_ref(),
                    self.scopes.is_empty(),
                )?;
                authorization.header = Some(format!("Bearer {access}"));
                authorization.refresh = refresh;
            }
        }
        Ok(())
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Authorization> {
        self.authorization.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn log_in_first(&self) -> Failure {
        let host = &self.host;
        Error::new(format!("{host} needs a login; run mydocker login {host}")).into()
    }

    fn refused(&self, answer: Answer) -> Failure {
        let Answer { head, body, url: Url { origin, .. } } = answer;
        // If the text can't be read, the status alone says enough.
        let text = self.connector.read_whole(&origin, body, MAX_REFUSAL).unwrap_or_default();
        let mut failure = self.refusal(&head, &text);
        if head.status == 401 && origin == self.base.origin && self.credentials.is_none() {
            failure = self.log_in_first().context(|| failure.error.to_string());
        }
        failure
    }

    /// Returns the failure for a status of 400 and above.
    fn refusal(&self, head: &Head, text: &[u8]) -> Failure {
        let reason = reason(text).map(|reason| format!(": {reason}")).unwrap_or_default();
        Failure {
            error: Error::new(format!("{} answers {}{reason}", self.host, head.status)),
            cause: Cause::Refused { status: head.status, after: head.retry_after() },
        }
    }
}

/// Whether a scope such as `repository:a:pull,push` grants everything that the scope `asked`, such
/// as `repository:a:pull`, asks for.
fn covers(known: &str, asked: &str) -> bool {
    let (Some((known, grants)), Some((asked, wants))) =
        (known.rsplit_once(':'), asked.rsplit_once(':'))
    else {
        return known == asked;
    };
    known == asked && wants.split(',').all(|want| grants.split(',').any(|grant| grant == want))
}

/// Returns the first message in `{"errors":[{"code":…,"message":…}]}`, shortened and escaped. If an
/// error has no message, its code counts as the message.
fn reason(text: &[u8]) -> Option<String> {
    let value = parse("", text).ok()?;
    let root = Node::root("", &value);
    let errors = root.get("errors").ok()??;
    let messages = errors.each(100, |error| {
        let message = error.text("message")?;
        Ok(if message.is_empty() { error.text("code")? } else { message })
    });
    let mut reason = messages.ok()?.into_iter().find(|message| !message.is_empty())?;
    let end = reason.char_indices().nth(MAX_SHOWN).map_or(reason.len(), |(at, _)| at);
    reason.truncate(end);
    Some(reason.escape_debug().to_string())
}

/// Repeats `attempt`, with pauses, until it succeeds, fails permanently or was tried `MAX_TRIES`
/// times.
pub fn patiently<T>(mut attempt: impl FnMut() -> Attempt<T>) -> Attempt<T> {
    let mut tries = 1;
    loop {
        match attempt() {
            Err(failure) if failure.is_transient() && tries < MAX_TRIES => {
                std::thread::sleep(pause(&failure, tries));
            }
            result => return result,
        }
        tries += 1;
    }
}

/// Returns the wait before the next try, at most `MAX_WAIT`: the time that the server requested. If
/// the server requested none, the first wait is `FIRST_WAIT`, and each further wait is twice the
/// one before.
pub fn pause(failure: &Failure, tries: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << (tries - 1).min(16));
    failure.after().unwrap_or(doubled).min(MAX_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_refusal_is_bounded_and_harmless() {
        let text =
            br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown\u001b[2J"}]}"#;
        assert_eq!(reason(text).unwrap(), "manifest unknown\\u{1b}[2J");
        let long = format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "é".repeat(5000));
        assert_eq!(reason(long.as_bytes()).unwrap().chars().count(), MAX_SHOWN);
        assert_eq!(reason(b"<html>"), None);
        assert_eq!(reason(br#"{"errors":[{"code":"DENIED"}]}"#).unwrap(), "DENIED");
    }

    #[test]
    fn scopes_that_are_granted_already() {
        assert!(covers("repository:a/b:pull,push", "repository:a/b:pull"));
        assert!(!covers("repository:a/b:pull", "repository:a/b:pull,push"));
        assert!(!covers("repository:a/b:pull", "repository:a:pull"));
    }
}
