//! Authentication: TLS, passwords, tokens, proxies.
//!
//! The registry, its TLS relay and its token server run on loopback. The tests of credentials after
//! a redirect are in `faults.rs`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::cat;
use crate::proxy::{Fault, Proxy};
use crate::server::{Layer, Packing, Registry, base, layer, succeeds};
use crate::support::{Host, path_with, script};
use crate::tls::Certificates;
use crate::token::{Form, TokenServer};

fn settings(host: &Host) -> PathBuf {
    let dir = host.scratch().join("settings");
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// `mydocker ARGS` with directories of the test in place of `~/.docker` and `/etc/mydocker`.
fn command(host: &Host, args: &[&str]) -> Command {
    let mut command = host.command(args);
    command.env("DOCKER_CONFIG", host.scratch().join("docker"));
    command.env("MYDOCKER_CONFIG_DIR", settings(host));
    command
}

fn fails(mut command: Command, reason: &str) {
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && printed.contains(reason), "{reason}: {printed}");
}

/// A registry with one user, `me`, whose password is `secret`.
fn with_password(host: &Host) -> Registry {
    let file = host.scratch().join("htpasswd");
    succeeds(Command::new("htpasswd").args(["-Bbc"]).arg(&file).args(["me", "secret"]));
    let more = format!("auth: {{htpasswd: {{realm: x, path: {}}}}}\n", file.display());
    Registry::start(host, "", &more)
}

#[test]
fn an_empty_docker_config_means_the_home_directory() {
    let host = Host::new();
    let registry = with_password(&host);
    let home = host.scratch().join("home");
    let mut login = command(&host, &["login", "-u", "me", "-p", "secret", &registry.address]);
    succeeds(login.env("DOCKER_CONFIG", "").env("HOME", &home));
    assert!(home.join(".docker/config.json").is_file());
}

#[test]
fn certificates_of_a_private_authority() {
    let host = Host::new();
    let certificates = Certificates::make(&host.scratch().join("tls"), None);
    let registry = Registry::start(&host, &certificates.settings(), "");
    registry.fill_with(&[base()], "app:1");
    let name = registry.name("app:1");
    let authority = certificates.authority();
    fails(command(&host, &["pull", &name]), "is not from a trusted authority");
    // `import` has no flag `--cacert`, so its error must not name this flag.
    let url = format!("https://{}/v2/", registry.address);
    let remedy = format!("authority; put the authority into certs.d/{}/ca.crt", registry.address);
    fails(command(&host, &["import", &url, "web"]), &remedy);
    succeeds(&mut command(&host, &["pull", "--cacert", &authority, &name]));
    succeeds(&mut command(&host, &["pull", "--tls-verify=false", &name]));
    succeeds(command(&host, &["pull", &name]).env("SSL_CERT_FILE", &authority));
    let certs = settings(&host).join("certs.d").join(&registry.address);
    fs::create_dir_all(&certs).unwrap();
    fs::copy(&authority, certs.join("ca.crt")).unwrap();
    succeeds(&mut command(&host, &["pull", &name]));
    succeeds(&mut command(&host, &["push", &name]));
    fs::write(certs.join("ca.crt"), "no certificate").unwrap();
    fails(command(&host, &["pull", &name]), "holds no certificate");
}

#[test]
fn a_self_signed_certificate_is_accepted_if_it_is_named() {
    let host = Host::new();
    let certificates = Certificates::of_itself(&host.scratch().join("tls"));
    let registry = Registry::start(&host, &certificates.settings(), "");
    registry.fill_with(&[base()], "app:1");
    let name = registry.name("app:1");
    let authority = certificates.authority();
    fails(command(&host, &["pull", &name]), "signed itself; name it with --cacert FILE");
    succeeds(&mut command(&host, &["pull", "--cacert", &authority, &name]));
    // Trusting another self-signed certificate does not help.
    let other = Certificates::of_itself(&host.scratch().join("other")).authority();
    fails(command(&host, &["pull", "--cacert", &other, &name]), "signed itself");
    // The certificate is not accepted for another name.
    let proxy = Proxy::before(&registry.address, |_, _| Fault::None);
    let mut elsewhere = command(&host, &["pull", "--cacert", &authority, "registry.test/app:1"]);
    elsewhere.env("HTTPS_PROXY", format!("http://{}", proxy.address));
    fails(elsewhere, "is for another name");
}

#[test]
fn a_client_certificate_is_sent_on_request() {
    let host = Host::new();
    let certificates = Certificates::make(&host.scratch().join("tls"), None);
    let client = certificates.make_client();
    let registry = Registry::start(&host, &certificates.settings_with_clients(), "");
    let flags = ["--dest-cert-dir", client.to_str().unwrap()];
    registry.fill_with_flags(&[base()], "app:1", &flags);
    let name = registry.name("app:1");
    let certs = settings(&host).join("certs.d").join(&registry.address);
    fs::create_dir_all(&certs).unwrap();
    fs::copy(certificates.authority(), certs.join("ca.crt")).unwrap();
    fails(
        command(&host, &["pull", &name]),
        "needs a client certificate that it trusts: put it into certs.d/",
    );
    fs::copy(client.join("client.cert"), certs.join("client.cert")).unwrap();
    fails(command(&host, &["pull", &name]), "client.key: No such file");
    fs::copy(client.join("client.key"), certs.join("client.key")).unwrap();
    succeeds(&mut command(&host, &["pull", &name]));
}

#[test]
fn a_certificate_of_the_future_is_reported_with_the_clock() {
    let host = Host::new();
    let validity = ("20490101000000Z", "20500101000000Z");
    let certificates = Certificates::make(&host.scratch().join("tls"), Some(validity));
    let registry = Registry::start(&host, &certificates.settings(), "");
    let name = registry.name("app:1");
    let authority = certificates.authority();
    let pull = || command(&host, &["pull", "--cacert", &authority, &name]);
    fails(
        pull(),
        "is not yet valid: it is valid from 2049-01-01 00:00:00, and this machine's clock says ",
    );
    fails(pull(), "set the clock");
}

#[test]
fn an_expired_certificate_is_refused() {
    let host = Host::new();
    let validity = ("20010101000000Z", "20020101000000Z");
    let certificates = Certificates::make(&host.scratch().join("tls"), Some(validity));
    let registry = Registry::start(&host, &certificates.settings(), "");
    let authority = certificates.authority();
    let pull = command(&host, &["pull", "--cacert", &authority, &registry.name("app:1")]);
    fails(pull, "has expired: it was valid until 2002-01-01 00:00:00");
}

#[test]
fn plain_http_only_where_it_is_allowed() {
    let host = Host::new();
    let registry = Registry::plain(&host);
    registry.fill_with(&[base()], "app:1");
    let name = registry.name("app:1");
    fails(command(&host, &["pull", "--tls-verify=true", &name]), "doesn't speak TLS");
    let url = format!("https://{}/v2/", registry.address);
    fails(command(&host, &["import", &url, "web"]), "doesn't speak TLS; for plain HTTP write http");
    succeeds(&mut command(&host, &["pull", &name]));
    // The host `registry.test` is not on loopback. A proxy passes the requests for it to the
    // registry.
    let proxy = Proxy::before(&registry.address, |_, _| Fault::None);
    let elsewhere = |args: &[&str]| {
        let mut command = command(&host, args);
        let proxy = format!("http://{}", proxy.address);
        command.env("HTTP_PROXY", &proxy).env("HTTPS_PROXY", &proxy);
        command
    };
    fails(elsewhere(&["pull", "registry.test:5000/app:1"]), "doesn't speak TLS");
    succeeds(&mut elsewhere(&["pull", "--tls-verify=false", "registry.test:5000/app:1"]));
    fs::write(settings(&host).join("registries.json"), r#"{"insecure":["registry.test:5000"]}"#)
        .unwrap();
    succeeds(&mut elsewhere(&["pull", "registry.test:5000/app:1"]));
}

/// Nothing that came by TLS may lead to plain HTTP: neither a redirect, nor the address of a token
/// server, nor the address of a foreign layer.
#[test]
fn nothing_leads_from_tls_to_plain_http() {
    let host = Host::new();
    let certificates = Certificates::make(&host.scratch().join("tls"), None);
    let authority = certificates.authority();
    let allowed = "validation: {manifests: {urls: {allow: [\"^http://\"]}}}\n";
    let registry = Registry::start(&host, "", allowed);
    let elsewhere = Proxy::before(&registry.address, |_, _| Fault::None);
    let at = elsewhere.address.clone();
    let url = Some(format!("http://{at}/v2/app/blobs/DIGEST"));
    let foreign = Layer { url, ..layer(Packing::Gzip, "v", "theirs") };
    registry.fill_with(&[base()], "app:1");
    registry.fill_with(&[base(), foreign], "foreign:1");
    let redirects = Proxy::before(&registry.address, {
        let at = at.clone();
        move |asked, _| {
            if asked.is_blob() {
                Fault::Answer(307, format!("Location: http://{at}{}\r\n", asked.target))
            } else {
                Fault::None
            }
        }
    });
    let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{at}/token\"\r\n");
    let challenges =
        Proxy::before(&registry.address, move |_, _| Fault::Answer(401, challenge.clone()));
    for (upstream, name, reason) in [
        (&redirects.address, "app:1", format!("redirects from TLS to plain HTTP at {at}")),
        (&challenges.address, "app:1", format!("names a token server without TLS: http://{at}")),
        (&registry.address, "foreign:1", format!("the layer is at http://{at}")),
    ] {
        let name = format!("{}/{name}", certificates.before(upstream));
        fails(command(&host, &["pull", "--cacert", &authority, &name]), &reason);
    }
    assert!(elsewhere.asked().is_empty(), "{:?}", elsewhere.asked());
}

#[test]
fn tls_through_a_proxy() {
    let host = Host::new();
    let certificates = Certificates::make(&host.scratch().join("tls"), None);
    let registry = Registry::start(&host, &certificates.settings(), "");
    registry.fill_with(&[base(), layer(Packing::Gzip, "v", "1")], "app:1");
    let proxy = Proxy::before(&registry.address, |asked, _| {
        // The credentials are `me:secret`.
        match asked.header("proxy-authorization") {
            Some("Basic bWU6c2VjcmV0") => Fault::None,
            _ => Fault::Answer(407, String::new()),
        }
    });
    let name = "registry.test/app:1";
    let authority = certificates.authority();
    let pull = |user: &str| {
        let mut pull = command(&host, &["pull", "--cacert", &authority, name]);
        pull.env("https_proxy", format!("http://{user}{}", proxy.address));
        pull
    };
    succeeds(&mut pull("me:secret@"));
    cat(&host, name, "/v").stdout("1");
    assert_eq!(proxy.asked()[0].target, "registry.test:443");
    fails(pull(""), "answers 407");
    let mut nobody = pull("");
    nobody.env("https_proxy", "127.0.0.1:1");
    fails(nobody, "ask the proxy: connect to 127.0.0.1:1: Connection refused");
    let mut straight = pull("me:secret@");
    straight.env("NO_PROXY", "example.com,.test");
    fails(straight, "find the address of registry.test");
}

#[test]
fn a_proxy_can_use_tls() {
    let host = Host::new();
    let certificates = Certificates::make(&host.scratch().join("tls"), None);
    let authority = certificates.authority();
    for (settings, flag, variable, name) in [
        (certificates.settings(), "--tls-verify", "https_proxy", "registry.test/app:1"),
        (String::new(), "--tls-verify=false", "http_proxy", "registry.test:5000/app:2"),
    ] {
        let registry = Registry::start(&host, &settings, "");
        let (_, tagged) = name.split_once('/').unwrap();
        registry.fill_with(&[base(), layer(Packing::Gzip, "v", tagged)], tagged);
        let proxy = Proxy::before(&registry.address, |_, _| Fault::None);
        let front = certificates.before(&proxy.address);
        let pull = |flags: &[&str]| {
            let mut pull = command(&host, &[&["pull", flag], flags, &[name]].concat());
            pull.env(variable, format!("https://{front}"));
            pull
        };
        fails(pull(&[]), &format!("certificate of {front} "));
        assert!(proxy.asked().is_empty());
        succeeds(&mut pull(&["--cacert", &authority]));
        cat(&host, name, "/v").stdout(tagged);
        let first = &proxy.asked()[0];
        assert!(first.method == "CONNECT" || first.target.starts_with("http://"), "{first:?}");
    }
}

#[test]
fn login_checks_and_stores_a_password_and_logout_removes_it() {
    let host = Host::new();
    let registry = with_password(&host);
    registry.fill_with_flags(&[base()], "app:1", &["--dest-creds", "me:secret"]);
    let name = registry.name("app:1");
    let config = host.scratch().join("docker/config.json");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    fs::write(&config, r#"{"psFormat":"table"}"#).unwrap();

    fails(command(&host, &["pull", &name]), "needs a login; run mydocker login");
    let login =
        |password: &str| command(&host, &["login", "-u", "me", "-p", password, &registry.address]);
    fails(login("wrong"), "wrong user or password");
    assert_eq!(fs::read_to_string(&config).unwrap(), r#"{"psFormat":"table"}"#);
    succeeds(&mut login("secret"));
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&config).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    assert!(fs::read_to_string(&config).unwrap().contains(r#""psFormat":"table""#));
    succeeds(&mut command(&host, &["pull", &name]));
    succeeds(&mut command(&host, &["push", &name]));
    // The password comes from stdin, so it is not in the process list.
    let login = ["login", "-u", "me", "--password-stdin", &registry.address];
    let mut login = command(&host, &login);
    login.stdin(fs::File::open(host.file("password", "secret\n")).unwrap());
    succeeds(&mut login);
    // Another tool reads the stored password.
    let docker = format!("docker://{name}");
    succeeds(
        Command::new("skopeo")
            .args(["inspect", "--tls-verify=false", "--authfile"])
            .arg(&config)
            .arg(&docker),
    );
    succeeds(&mut command(&host, &["logout", &registry.address]));
    fails(command(&host, &["pull", &name]), "needs a login");
    // mydocker reads the password that another tool has stored.
    let login = ["login", "--tls-verify=false", "-u", "me", "-p", "secret", "--authfile"];
    succeeds(Command::new("skopeo").args(login).arg(&config).arg(&registry.address));
    succeeds(&mut command(&host, &["pull", &name]));
}

#[test]
fn a_password_for_a_path_is_not_sent_for_others() {
    let host = Host::new();
    let registry = with_password(&host);
    let proxy = Proxy::before(&registry.address, |_, _| Fault::None);
    let config = host.scratch().join("docker/config.json");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    for name in ["team/app:1", "teams/app:1"] {
        registry.fill_with_flags(&[base()], name, &["--dest-creds", "me:secret"]);
    }
    let address = &proxy.address;
    // The credentials are `me:wrong` for the registry, and `me:secret` for repositories below
    // `team`.
    let text = format!(
        r#"{{"auths":{{"{address}":{{"auth":"bWU6d3Jvbmc="}},
        "{address}/team":{{"auth":"bWU6c2VjcmV0"}}}}}}"#
    );
    fs::write(&config, text).unwrap();
    succeeds(&mut command(&host, &["pull", &proxy.name("team/app:1")]));
    succeeds(&mut command(&host, &["push", &proxy.name("team/app:1")]));
    fails(command(&host, &["pull", &proxy.name("teams/app:1")]), "wrong user or password");
    let text = format!(r#"{{"auths":{{"{address}/team":{{"auth":"bWU6c2VjcmV0"}}}}}}"#);
    fs::write(&config, text).unwrap();
    let before = proxy.asked().len();
    fails(command(&host, &["pull", &proxy.name("teams/app:1")]), "needs a login");
    let shown = |asked: &crate::proxy::Asked| asked.header("authorization").is_some();
    assert!(!proxy.asked()[before..].iter().any(shown));
}

#[test]
fn a_credential_helper_stores_the_password() {
    let host = Host::new();
    let registry = with_password(&host);
    registry.fill_with_flags(&[base()], "app:1", &["--dest-creds", "me:secret"]);
    let name = registry.name("app:1");
    let bin = host.scratch().join("bin");
    let kept = host.scratch().join("kept");
    let helper = format!(
        "case $1 in store) cat >{0};; get) cat {0} 2>/dev/null || \
         {{ echo 'credentials not found in native keychain'; exit 1; }};; erase) rm {0};; esac",
        kept.display()
    );
    script(&bin.join("docker-credential-test"), &helper);
    let config = host.scratch().join("docker/config.json");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    let with_helper = |args: &[&str]| {
        let mut command = command(&host, args);
        command.env("PATH", path_with(&bin));
        command
    };
    let of_one = format!(r#"{{"credHelpers":{{"{}":"test"}}}}"#, registry.address);
    for text in [of_one.as_str(), r#"{"credsStore":"test"}"#] {
        fs::write(&config, text).unwrap();
        fails(with_helper(&["pull", &name]), "needs a login");
        succeeds(&mut with_helper(&["login", "-u", "me", "-p", "secret", &registry.address]));
        assert_eq!(fs::read_to_string(&config).unwrap(), text, "the secret is the helper's");
        assert!(fs::read_to_string(&kept).unwrap().contains(r#""Secret":"secret""#));
        succeeds(&mut with_helper(&["pull", &name]));
        succeeds(&mut with_helper(&["logout", &registry.address]));
        assert!(!kept.exists());
    }
    fs::write(&config, r#"{"credsStore":"gone"}"#).unwrap();
    fails(with_helper(&["pull", &name]), "run docker-credential-gone: No such file");
}

#[test]
fn tokens_come_by_get_or_post_and_are_renewed() {
    for (form, stale) in [(Form::Get, 0), (Form::PostOnly, 0), (Form::Get, 1)] {
        let host = Host::new();
        let tokens = TokenServer::start(&host.scratch().join("tokens"), form, stale);
        let registry = Registry::start(&host, "", &tokens.settings());
        let name = registry.name("a/app:1");
        let config = host.scratch().join("docker/config.json");
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        let text = format!(r#"{{"auths":{{"{}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#, registry.address);
        fs::write(&config, text).unwrap();
        // skopeo does not know token servers that only accept POST, so push with mydocker.
        let bb = host.scratch().join("bb.tar");
        succeeds(Command::new("tar").args(["-C", "/bin", "-cf"]).arg(&bb).arg("busybox"));
        host.mydocker(["import", bb.to_str().unwrap(), &name]);
        succeeds(&mut command(&host, &["push", &name]));
        let other = Host::new();
        let mut pull = other.command(["pull", &name]);
        succeeds(pull.env("DOCKER_CONFIG", host.scratch().join("docker")));
        let asked = tokens.asked();
        assert!(
            asked.iter().any(|(_, query)| query.contains("scope=repository%3Aa%2Fapp%3Apull")),
            "{asked:?}"
        );
        assert!(
            asked
                .iter()
                .any(|(_, query)| query.contains("scope=repository%3Aa%2Fapp%3Apull%2Cpush")),
            "{asked:?}"
        );
        assert_eq!(asked.iter().any(|(method, _)| method == "POST"), form == Form::PostOnly);
        fs::write(&config, "{}").unwrap();
        let reason = if form == Form::Get { "wrong user or password?" } else { "answers 405" };
        fails(command(&host, &["pull", &name]), reason);
    }
}

#[test]
fn an_identity_token_replaces_the_password() {
    let host = Host::new();
    let tokens = TokenServer::start(&host.scratch().join("tokens"), Form::Get, 0);
    let registry = Registry::start(&host, "", &tokens.settings());
    let mut login = command(&host, &["login", "-u", "me", "-p", "secret", &registry.address]);
    succeeds(&mut login);
    let config = fs::read_to_string(host.scratch().join("docker/config.json")).unwrap();
    assert!(config.contains(r#""identitytoken":"kept""#) && !config.contains("bWU6"), "{config}");
    fails(command(&host, &["pull", &registry.name("nobody:1")]), "answers 404");
    let asked = tokens.asked();
    assert!(asked.last().unwrap().1.contains("refresh_token=kept"), "{asked:?}");
}
