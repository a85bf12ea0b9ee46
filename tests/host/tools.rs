//! Tools that the harness's own binary provides in x86_64 guests and their containers, where the
//! binary runs because it is static. The name in argv[0] chooses the tool.
//!
//! busybox lacks these tools, and a guest has no compiler. A tool does one small thing and is no
//! part of mydocker.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{chdir, chroot};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::cri::{self, Message};
use crate::registry;

/// The names of the tools, which are also their file names in the share.
pub const NAMES: [&str; 4] = ["cri", "escape", "ready", "tls"];

/// The address of the TLS proxy in front of the registry.
const TLS_ADDRESS: &str = "127.0.0.1:5443";

/// Runs the tool `name`. Returns false if there is no such tool.
pub fn run(name: &str) -> bool {
    match name {
        "escape" => escape(),
        "tls" => tls(),
        "cri" => cri_calls(),
        "ready" => ready(),
        _ => return false,
    }
    true
}

/// Tries the classic escape from a chroot inside a container (chroot(2)). Prints `outside` if the
/// tool then sees the guest's /share or no /tmp, otherwise `inside`.
fn escape() {
    const JAIL: &str = "/tmp/jail";
    fs::create_dir_all(JAIL).expect("make a directory");
    chdir("/").expect("go to /");
    // The working directory stays outside the new root, so the new root does not stop `..`.
    chroot(JAIL).expect("chroot into the directory");
    for _ in 0..64 {
        chdir("..").expect("go up");
    }
    chroot(".").expect("chroot out of it");
    let outside = Path::new("/share").exists() || !Path::new("/tmp").exists();
    println!("{}", if outside { "outside" } else { "inside" });
}

/// Sends READY=1 to NOTIFY_SOCKET (sd_notify(3)), after a message that a runtime does not pass on.
fn ready() {
    let path = std::env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET");
    let socket = UnixDatagram::unbound().expect("a socket");
    for words in ["STATUS=almost", "READY=1"] {
        socket.send_to(words.as_bytes(), &path).expect("send a message");
    }
}

/// Makes the calls that kubelet makes, over containerd's interface for Kubernetes (CRI). Runs a pod
/// with the node's network, then a pod with its own network, each with one container. The cgroups
/// lie in the slice `pods.slice`. Prints the answers.
fn cri_calls() {
    let socket = Path::new("/run/containerd/containerd.sock");
    let call = |method: &str, message: Message| {
        cri::call(socket, method, &message).unwrap_or_else(|error| panic!("{method}: {error}"))
    };
    let of = |id: &str| Message::default().text(1, id);
    // containerd accepts connections before its plugin for Kubernetes is ready.
    let is_ready = || cri::call(socket, "Status", &Message::default()).is_ok();
    for _ in 0..100 {
        if is_ready() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let pod = cri::pod("web", Path::new("/tmp/pod-logs"), "/pods.slice", true);
    let request = Message::default().with(1, pod.clone()).text(2, "mydocker");
    let sandbox = call("RunPodSandbox", request).text(1);
    let config = cri::container("c", "echo begun; exec sleep 1000", true);
    let request = of(&sandbox).with(2, config).with(3, pod);
    let id = call("CreateContainer", request).text(1);
    call("StartContainer", of(&id));
    let scope = format!("cri-containerd-{id}.scope");
    let systemd = |property: &str| {
        let args = ["--no-pager", "show", "-P", property, &scope];
        let said = Command::new("/usr/bin/systemctl")
            .args(args)
            .output()
            .expect("run the guest's systemctl");
        print!("{property}: {}", String::from_utf8_lossy(&said.stdout));
    };
    let script = "id -u; cat /proc/self/attr/current /sys/fs/cgroup/memory.max; exit 3";
    let answer = call("ExecSync", cri::exec(&id, script));
    println!("{}exec: {}", answer.text(1), answer.number(3));
    systemd("Slice");
    systemd("MemoryMax");
    call("UpdateContainerResources", cri::update(&id, 128 << 20));
    systemd("MemoryMax");
    let file = Path::new("/sys/fs/cgroup/pods.slice").join(&scope).join("memory.max");
    print!("memory.max: {}", fs::read_to_string(file).expect("read the limit"));
    call("StopContainer", of(&id).number(2, 1));
    let status = call("ContainerStatus", of(&id));
    println!("ended: {}", status.bytes(1).map_or(0, |status| status.number(7)));
    systemd("LoadState");
    call("RemoveContainer", of(&id));
    call("StopPodSandbox", of(&sandbox));
    call("RemovePodSandbox", of(&sandbox));
    // A pod with a network of its own, and a server in it.
    let pod = cri::pod("lan", Path::new("/tmp/pod-logs"), "/pods.slice", false);
    let request = Message::default().with(1, pod.clone()).text(2, "mydocker");
    let sandbox = call("RunPodSandbox", request).text(1);
    let config = cri::container("n", "exec httpd -f -p 8080 -h /", false);
    let request = of(&sandbox).with(2, config).with(3, pod);
    let id = call("CreateContainer", request).text(1);
    call("StartContainer", of(&id));
    let status = call("PodSandboxStatus", of(&sandbox)).bytes(1).expect("a status");
    let address = status.bytes(5).expect("a network").text(1);
    let script =
        format!("set -- $(ip -o addr show eth0 | grep {address}/); echo $2 $4 on $(hostname)");
    print!("exec: {}", call("ExecSync", cri::exec(&id, &script)).text(1));
    println!("{}", first_line_from(&address));
    call("StopContainer", of(&id));
    call("StopPodSandbox", of(&sandbox));
    call("RemovePodSandbox", of(&sandbox));
}

/// The first line of the answer of the web server on port 8080 of `address`. Waits up to 10 seconds
/// until the server listens.
fn first_line_from(address: &str) -> String {
    for _ in 0..100 {
        if let Ok(mut server) = TcpStream::connect((address, 8080)) {
            server.write_all(b"GET /etc/passwd HTTP/1.0\r\n\r\n").expect("send a request");
            let mut answer = String::new();
            server.read_to_string(&mut answer).expect("read the answer");
            return answer.lines().next().unwrap_or_default().to_owned();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    format!("{address} does not listen")
}

/// Serves the registry over TLS with the certificate of the share, one request per connection.
fn tls() {
    let certificate = CertificateDer::from_pem_file("/share/tls.crt").expect("the certificate");
    let key = PrivateKeyDer::from_pem_file("/share/tls.key").expect("its key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("the certificate with its key");
    let config = Arc::new(config);
    let listener = TcpListener::bind(TLS_ADDRESS).expect("listen");
    println!("listening");
    for client in listener.incoming() {
        let client = client.expect("a connection");
        let config = config.clone();
        // Ignore an error: a client that does not trust the certificate closes the connection.
        std::thread::spawn(move || serve(client, config));
    }
}

fn serve(client: TcpStream, config: Arc<ServerConfig>) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).expect("a connection");
    let mut client = StreamOwned::new(connection, client);
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let mut server = TcpStream::connect(registry::ADDRESS)?;
    server.write_all(&request)?;
    let mut answer = Vec::new();
    // httpd closes the connection after each response.
    server.shutdown(std::net::Shutdown::Write)?;
    server.read_to_end(&mut answer)?;
    client.write_all(&answer)?;
    client.conn.send_close_notify();
    client.flush()
}
