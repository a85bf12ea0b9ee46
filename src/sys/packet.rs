//! Sends and receives messages between two processes of mydocker over connected SOCK_SEQPACKET unix
//! sockets. A message carries at most one descriptor (SCM_RIGHTS, unix(7)). One packet is one
//! message, so a message needs no length field and never arrives in parts. Callers such as
//! `runtime::report` define the contents. `send` also works on the stream sockets of other
//! programs, such as a seccomp agent.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};

/// Creates two connected sockets (socketpair(2)).
pub fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends `parts`, at most three, as one packet, and `fd` with the packet. `flags` are those of
/// sendmsg(2). If the other end is closed, fails with EPIPE or ECONNRESET, and without SIGPIPE.
pub fn send(
    socket: BorrowedFd<'_>,
    parts: &[&[u8]],
    fd: Option<BorrowedFd<'_>>,
    flags: SendFlags,
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.map(|fd| [fd]);
    if let Some(fds) = &fds {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    let mut slices = [IoSlice::new(&[]); 3];
    for (slice, part) in slices.iter_mut().zip(parts) {
        *slice = IoSlice::new(part);
    }
    loop {
        match sendmsg(socket, &slices[..parts.len()], &mut control, flags | SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => continue,
            result => return result.map(|_| ()),
        }
    }
}

/// Receives one packet into `buffer` and returns its length in bytes. If the other end is closed
/// and no packet is left, returns 0. Fails with EMSGSIZE if the packet is longer than `buffer`,
/// with EBADMSG if the packet carries a descriptor, and with the errors of recvmsg(2). Such a
/// descriptor is not opened in this process, because recvmsg(2) gets no control buffer.
pub fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<usize, Errno> {
    receive_with(socket, buffer, &mut RecvAncillaryBuffer::default(), flags)
}

/// As `receive`, for a packet that may carry one descriptor. The descriptor is close-on-exec. If
/// the packet carries several, closes all of them and fails with EBADMSG.
pub fn receive_with_fd(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<(usize, Option<OwnedFd>), Errno> {
    // The buffer is padded, so that it has space for two descriptors. The kernel opens as many as
    // fit.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let length = receive_with(socket, buffer, &mut control, flags)?;
    let mut came = None;
    for message in control.drain() {
        let RecvAncillaryMessage::ScmRights(fds) = message else { return Err(Errno::BADMSG) };
        for fd in fds {
            if came.replace(fd).is_some() {
                return Err(Errno::BADMSG);
            }
        }
    }
    Ok((length, came))
}

fn receive_with(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    control: &mut RecvAncillaryBuffer<'_>,
    flags: RecvFlags,
) -> Result<usize, Errno> {
    let mut slices = [IoSliceMut::new(buffer)];
    let received = loop {
        match recvmsg(socket, &mut slices, control, flags | RecvFlags::CMSG_CLOEXEC) {
            // ECONNRESET: the peer has closed its end before it had read all packets of this
            // process. The kernel reports this once, and then returns the peer's last packets.
            Err(Errno::INTR | Errno::CONNRESET) => continue,
            result => break result?,
        }
    };
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(Errno::BADMSG);
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(Errno::MSGSIZE);
    }
    Ok(received.bytes)
}

/// Whether the other end is closed.
pub fn is_closed(socket: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
}

/// Waits until the other end is closed. Packets that arrive before stay in the queue, and do not
/// wake this process. Fails with the errors of poll(2).
pub fn await_close(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    retry_on_intr(|| poll(&mut [PollFd::from_borrowed_fd(socket, PollFlags::empty())], None))?;
    Ok(())
}

/// Whether the other end is closed and every byte that it sent is received. `receive` returns 0 for
/// an empty packet too, so 0 alone is no proof of a close.
pub fn is_finished(socket: BorrowedFd<'_>) -> bool {
    // Check for a close first: after a close, no more bytes can arrive.
    is_closed(socket) && rustix::io::ioctl_fionread(socket) == Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    /// The number of this process's descriptors that refer to `file`.
    fn opened(file: &std::fs::File) -> usize {
        use std::os::unix::fs::MetadataExt;
        let wanted = file.metadata().unwrap().ino();
        let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let metadata = fds.filter_map(|fd| std::fs::metadata(fd.path()).ok());
        metadata.filter(|metadata| metadata.ino() == wanted).count()
    }

    /// Sends `count` descriptors of `file`.
    fn send_many(socket: BorrowedFd<'_>, file: &std::fs::File, count: usize) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(9))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = vec![file.as_fd(); count];
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        sendmsg(socket, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
    }

    #[test]
    fn a_packet_with_more_descriptors_than_allowed_is_refused() {
        let (ours, theirs) = pair().unwrap();
        let (ours, theirs) = (ours.as_fd(), theirs.as_fd());
        // A file that no other test has open.
        let path = std::env::temp_dir().join(format!("packet-{}", std::process::id()));
        let file = std::fs::File::create(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        for count in 1..=9 {
            send_many(theirs, &file, count);
            let received =
                receive_with_fd(ours, &mut [0], RecvFlags::empty()).map(|(_, fd)| fd.is_some());
            let expected = if count == 1 { Ok(true) } else { Err(Errno::BADMSG) };
            assert_eq!(received, expected, "{count} descriptors");
            assert_eq!(opened(&file), 1, "{count} descriptors");
            send_many(theirs, &file, count);
            let received = receive(ours, &mut [0], RecvFlags::empty());
            assert_eq!(received, Err(Errno::BADMSG), "{count} descriptors");
            assert_eq!(opened(&file), 1, "{count} descriptors");
        }
    }

    #[test]
    fn a_packet_that_is_too_long_is_refused() {
        let (ours, theirs) = pair().unwrap();
        send(theirs.as_fd(), &[b"long"], None, SendFlags::empty()).unwrap();
        let received = receive(ours.as_fd(), &mut [0; 3], RecvFlags::empty());
        assert_eq!(received, Err(Errno::MSGSIZE));
    }

    #[test]
    fn only_a_closed_end_is_reported_as_closed() {
        let (ours, theirs) = pair().unwrap();
        assert!(!is_closed(ours.as_fd()));
        send(theirs.as_fd(), &[b"x"], None, SendFlags::empty()).unwrap();
        assert!(!is_closed(ours.as_fd()));
        drop(theirs);
        assert!(is_closed(ours.as_fd()));
        assert!(!is_finished(ours.as_fd()), "a byte is left to receive");
        assert_eq!(receive(ours.as_fd(), &mut [0], RecvFlags::empty()), Ok(1));
        assert!(is_finished(ours.as_fd()));
    }
}
