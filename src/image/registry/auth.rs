//! Authentication at a registry. A 401 has a challenge (RFC 9110, WWW-Authenticate), and the client
//! answers with a password (Basic) or a bearer token. The token comes from the server that the
//! challenge names (Docker's "Token Authentication Specification"), by GET or by OAuth2's POST.
//! `credentials` stores passwords and refresh tokens; access tokens are kept only in memory.

use super::basic::basic;
use super::connect::Connector;
use super::credentials::Credentials;
use super::http::{Attempt, Cause, Failure, Head, Payload};
use super::url::{Url, percent_encode};
use crate::error::Error;
use crate::json::{Node, parse};

/// The longest answer of a token server, in bytes. A token that grants much has some 10 KiB.
pub const MAX_TOKEN_ANSWER: u64 = 256 << 10;
const CLIENT_ID: &str = "mydocker";

/// The authentication that a registry demands in a 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Bearer { realm: String, service: String, scope: String },
}

/// The answer of a token server.
pub struct Token {
    pub access: String,
    /// The refresh token, for further tokens.
    pub refresh: Option<String>,
}

impl Challenge {
    /// Returns the best challenge of a response: Bearer, otherwise Basic.
    pub fn of(head: &Head) -> Option<Challenge> {
        let challenges: Vec<Challenge> =
            head.all("www-authenticate").flat_map(parse_challenges).collect();
        let bearer = challenges.iter().find(|challenge| **challenge != Challenge::Basic);
        bearer.or(challenges.first()).cloned()
    }
}

/// Parses `Scheme name="value", name=value, Scheme …` (RFC 9110, 11.6.1). Unknown schemes are left
/// out.
fn parse_challenges(text: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find(' ').unwrap_or(rest.len());
        let scheme = &rest[..end];
        rest = rest[end..].trim_start();
        let mut parameters = Vec::new();
        while let Some((name, value, after)) = parse_parameter(rest) {
            parameters.push((name, value));
            rest = after.trim_start().trim_start_matches(',').trim_start();
        }
        let get = |name: &str| {
            let found = parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        if scheme.eq_ignore_ascii_case("basic") {
            challenges.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let (realm, service, scope) = (get("realm"), get("service"), get("scope"));
            challenges.push(Challenge::Bearer { realm, service, scope });
        }
    }
    challenges
}

/// Parses one `name=value`. Returns the name, the value and the rest of the text.
fn parse_parameter(text: &str) -> Option<(&str, String, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))?;
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    if name.is_empty() {
        return None;
    }
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([',', ' ']).unwrap_or(rest.len());
        return Some((name, rest[..end].to_owned(), &rest[end..]));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((name, value, &quoted[at + 1..])),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    Some((name, value, ""))
}

/// Gets a token for `scopes` from the server `realm`. If `lasting` and the credentials are a
/// password, also requests a refresh token. Fails if the server can't be reached, refuses, or
/// answers without a token.
pub fn fetch_token(
    connector: &Connector,
    realm: &Url,
    service: &str,
    scopes: &[String],
    credentials: Option<&Credentials>,
    lasting: bool,
) -> Attempt<Token> {
    if let Some(Credentials::Identity(token)) = credentials {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        return post(connector, realm, service, scopes, &fields);
    }
    let mut url = realm.clone();
    if !service.is_empty() {
        url = url.and_query("service", service);
    }
    for scope in scopes {
        url = url.and_query("scope", scope);
    }
    let mut headers = vec![("Accept", "application/json".to_owned())];
    if let Some(Credentials::Password { user, password }) = credentials {
        if lasting {
            url = url.and_query("offline_token", "true");
        }
        url = url.and_query("client_id", CLIENT_ID).and_query("account", user);
        headers.push(("Authorization", basic(user, password)));
    }
    let (head, body) =
        connector.document("GET", &url, &headers, Payload::Empty, MAX_TOKEN_ANSWER)?;
    // Some servers support only OAuth2's POST.
    if let (404 | 405, Some(Credentials::Password { user, password })) = (head.status, credentials)
    {
        let mut fields =
            vec![("grant_type", "password"), ("username", user), ("password", password)];
        if lasting {
            fields.push(("access_type", "offline"));
        }
        return post(connector, realm, service, scopes, &fields);
    }
    parse_token(realm, &head, &body)
}

fn post(
    connector: &Connector,
    realm: &Url,
    service: &str,
    scopes: &[String],
    fields: &[(&str, &str)],
) -> Attempt<Token> {
    let scope = scopes.join(" ");
    let common = [("client_id", CLIENT_ID), ("service", service), ("scope", &scope)];
    let pairs = fields.iter().chain(&common).filter(|(_, value)| !value.is_empty());
    let form: Vec<String> =
        pairs.map(|(name, value)| format!("{name}={}", percent_encode(value))).collect();
    let form = form.join("&");
    let headers = [("Content-Type", "application/x-www-form-urlencoded".to_owned())];
    let payload = Payload::Bytes(form.as_bytes());
    let (head, body) = connector.document("POST", realm, &headers, payload, MAX_TOKEN_ANSWER)?;
    parse_token(realm, &head, &body)
}

fn parse_token(realm: &Url, head: &Head, body: &[u8]) -> Attempt<Token> {
    let server = realm.origin.host_and_port();
    match head.status {
        200 => {}
        429 | 500.. => {
            let message = format!("the token server {server} answers {}", head.status);
            return Err(Failure {
                error: Error::new(message),
                cause: Cause::Transient { after: head.retry_after() },
            });
        }
        400 | 401 | 403 => {
            let message = format!("the token server {server} refuses: wrong user or password?");
            return Err(Failure::new(message));
        }
        status => {
            let message = format!("the token server {server} answers {status}");
            return Err(Failure::new(message));
        }
    }
    let document = format!("answer of the token server {server}");
    let value = parse(&document, body)?;
    let root = Node::root(&document, &value);
    let access = match root.text("token")? {
        token if token.is_empty() => root.text("access_token")?,
        token => token,
    };
    if access.is_empty() {
        return Err(root.wrong("an object with a token").into());
    }
    let refresh = Some(root.text("refresh_token")?).filter(|token| !token.is_empty());
    Ok(Token { access, refresh })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_as_registries_write_them() {
        let bearer = |realm: &str, service: &str, scope: &str| Challenge::Bearer {
            realm: realm.into(),
            service: service.into(),
            scope: scope.into(),
        };
        for (text, challenges) in [
            (r#"Basic realm="x, y""#, vec![Challenge::Basic]),
            ("basic", vec![Challenge::Basic]),
            (
                r#"Bearer realm="https://a/t",service="r",scope="repository:a/b:pull,push""#,
                vec![bearer("https://a/t", "r", "repository:a/b:pull,push")],
            ),
            (
                r#"Negotiate, Bearer realm = "q\"x" , service=s, Basic realm=z"#,
                vec![bearer("q\"x", "s", ""), Challenge::Basic],
            ),
            (r#"Bearer realm="cut"#, vec![bearer("cut", "", "")]),
            ("", vec![]),
            (",,=,\"", vec![]),
        ] {
            assert_eq!(parse_challenges(text), challenges, "{text}");
        }
    }
}
