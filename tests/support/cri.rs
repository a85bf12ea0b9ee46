//! Calls of the interface by which Kubernetes' kubelet drives a runtime (CRI, runtime.v1), in place
//! of crictl, which Debian does not have. A call is an HTTP/2 request by curl to containerd's
//! socket (gRPC). The body is a zero byte, the length of a Protocol Buffers message, and the
//! message. The messages are small, so fields are written and read by the numbers of api.proto.
//! Streams (exec with a terminal, attach, port-forward) are not supported.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The image of all pods and containers.
pub const IMAGE: &str = "docker.io/library/bb:latest";

/// A message to send.
#[derive(Clone, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// Adds a field with a string.
    pub fn text(self, field: u64, text: &str) -> Message {
        self.bytes(field, text.as_bytes())
    }

    /// Adds a field with a message.
    pub fn with(self, field: u64, message: Message) -> Message {
        self.bytes(field, &message.0)
    }

    /// Adds a field with a number.
    pub fn number(mut self, field: u64, number: u64) -> Message {
        self.varint(field << 3);
        self.varint(number);
        self
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Message {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn varint(&mut self, mut number: u64) {
        while number > 0x7f {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

/// A received message.
pub struct Answer(Vec<u8>);

impl Answer {
    /// The first field with this number that contains bytes.
    pub fn bytes(&self, field: u64) -> Option<Answer> {
        self.find(field, 2).map(|(bytes, _)| Answer(bytes.to_vec()))
    }

    /// The first field with this number, as a string; empty if it is missing.
    pub fn text(&self, field: u64) -> String {
        let bytes = self.bytes(field).map(|answer| answer.0).unwrap_or_default();
        String::from_utf8(bytes).unwrap()
    }

    /// The first field with this number that contains a number; 0 if it is missing.
    pub fn number(&self, field: u64) -> u64 {
        self.find(field, 0).map_or(0, |(_, number)| number)
    }

    fn find(&self, field: u64, kind: u64) -> Option<(&[u8], u64)> {
        let mut rest = self.0.as_slice();
        while !rest.is_empty() {
            let key = varint(&mut rest);
            let number = match key & 7 {
                0 | 2 => varint(&mut rest),
                1 => 8,
                _ => 4,
            };
            let length = if key & 7 == 0 { 0 } else { number as usize };
            let (bytes, after) = rest.split_at(length);
            rest = after;
            if key == field << 3 | kind {
                return Some((bytes, number));
            }
        }
        None
    }
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = rest[0];
        *rest = &rest[1..];
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

/// The namespace options of a pod. With `on_node` the pod uses the node's network, and its
/// containers share a PID namespace. Otherwise the pod has its own network, and each container has
/// its own PID namespace.
pub fn namespaces(on_node: bool) -> Message {
    const CONTAINER: u64 = 1;
    const NODE: u64 = 2;
    if on_node {
        Message::default().number(1, NODE)
    } else {
        Message::default().number(2, CONTAINER)
    }
}

/// The configuration of the pod `name`: with its logs in the directory `logs`, and the cgroups of
/// its containers below `cgroup`.
pub fn pod(name: &str, logs: &Path, cgroup: &str, on_node: bool) -> Message {
    let metadata = Message::default().text(1, name).text(2, name).text(3, "default");
    let security = Message::default().with(1, namespaces(on_node));
    let linux = Message::default().text(1, cgroup).with(2, security);
    let mut pod = Message::default().with(1, metadata);
    if !on_node {
        pod = pod.text(2, &format!("host-of-{name}"));
    }
    pod.text(3, logs.to_str().unwrap()).with(8, linux)
}

/// The configuration of a container that runs the shell `script` in the image `IMAGE`, with 64 MiB
/// of memory, a read-only root and user 1000.
pub fn container(name: &str, script: &str, on_node: bool) -> Message {
    let mut config = Message::default()
        .with(1, Message::default().text(1, name))
        .with(2, Message::default().text(1, IMAGE));
    for (field, word) in [(3, "sh"), (4, "-c"), (4, script)] {
        config = config.text(field, word);
    }
    let user = Message::default().number(1, 1000);
    let security = Message::default().with(3, namespaces(on_node)).with(5, user).number(7, 1);
    let linux = Message::default().with(1, memory(64 << 20)).with(2, security);
    config.text(11, &format!("{name}.log")).with(15, linux)
}

/// A request to run the shell `script` in a container, for at most 30 seconds.
pub fn exec(container: &str, script: &str) -> Message {
    let request = Message::default().text(1, container);
    ["sh", "-c", script].iter().fold(request, |all, word| all.text(2, word)).number(3, 30)
}

/// A request to give a container another limit of memory, in bytes.
pub fn update(container: &str, bytes: u64) -> Message {
    Message::default().text(1, container).with(2, memory(bytes))
}

/// Resources with a memory limit in bytes.
fn memory(bytes: u64) -> Message {
    Message::default().number(4, bytes)
}

/// Calls `method` of the runtime at `socket`. The error contains the headers and trailers of the
/// answer, or the message of curl.
pub fn call(socket: &Path, method: &str, message: &Message) -> Result<Answer, String> {
    let mut command = Command::new("curl");
    command.args(["-sS", "--http2-prior-knowledge", "--unix-socket"]).arg(socket);
    command.args(["-H", "content-type: application/grpc", "-H", "te: trailers"]);
    command.args(["--data-binary", "@-", "-D", "/dev/stderr"]);
    command.arg(format!("http://localhost/runtime.v1.RuntimeService/{method}"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut request = vec![0];
    request.extend((message.0.len() as u32).to_be_bytes());
    request.extend(&message.0);
    child.stdin.take().unwrap().write_all(&request).unwrap();
    let output = child.wait_with_output().unwrap();
    let trailers = String::from_utf8_lossy(&output.stderr).into_owned();
    if !trailers.contains("grpc-status: 0") {
        return Err(trailers);
    }
    Ok(Answer(output.stdout.get(5..).unwrap_or_default().to_vec()))
}
