//! Frames with descriptors over a Unix stream socket: both ends of the talk between API server and node.
//!
//! A frame is an 8-byte head (length of the body, number of descriptors; little-endian) and a JSON body.
//! Descriptors travel with the first byte of their frame; the kernel hands them over no later than that byte,
//! so a reader keeps two queues, bytes and descriptors, and takes from both in order.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::Arc,
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::socket::{
        AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockFlag, SockType, UnixAddr,
        recvmsg, sendmsg, shutdown, socketpair,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{io::Interest, net::UnixStream};

/// Most descriptors beside one frame.
pub(crate) const MAX_FDS: usize = 8;

/// Longest body: far above any state of the sandbox, far below what could exhaust memory.
const MAX_BODY: usize = 256 << 20;

/// Length of a frame's head.
const HEAD: usize = 8;

/// Makes the two ends. Both are closed on exec.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?)
}

/// A message as bytes, ready to be sent.
fn encode<M: Serialize>(message: &M, fds: usize) -> io::Result<Vec<u8>> {
    if fds > MAX_FDS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{fds} descriptors, at most {MAX_FDS} go"),
        ));
    }
    let mut frame = vec![0; HEAD];
    serde_json::to_writer(&mut frame, message)?;
    let body = frame.len() - HEAD;
    let Some(length) = u32::try_from(body).ok().filter(|_| body <= MAX_BODY) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a message of {body} bytes is too long"),
        ));
    };
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[4..HEAD].copy_from_slice(&(fds as u32).to_le_bytes());
    Ok(frame)
}

/// One `sendmsg`: as much of `bytes` as the socket takes.
fn send_some(socket: BorrowedFd<'_>, bytes: &[u8], fds: &[RawFd]) -> io::Result<usize> {
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    loop {
        match sendmsg::<UnixAddr>(
            socket.as_raw_fd(),
            &[IoSlice::new(bytes)],
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        ) {
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// What has been received and not yet taken.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    taken: usize,
    fds: std::collections::VecDeque<OwnedFd>,
}

impl Inbox {
    /// One `recvmsg`; 0 at the end of the stream.
    fn receive_some(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        let filled = self.bytes.len();
        self.bytes.resize(filled + (64 << 10), 0);
        let mut control = cmsg_space!([RawFd; MAX_FDS]);
        let got = loop {
            let mut parts = [IoSliceMut::new(&mut self.bytes[filled..])];
            let result = recvmsg::<UnixAddr>(
                socket.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                MsgFlags::MSG_CMSG_CLOEXEC,
            );
            match result {
                Err(Errno::EINTR) => {}
                Err(error) => {
                    self.bytes.truncate(filled);
                    return Err(error.into());
                }
                Ok(message) => {
                    if message.flags.contains(MsgFlags::MSG_CTRUNC) {
                        self.bytes.truncate(filled);
                        return Err(io::Error::other(
                            "descriptors were lost on the way: too many open files; raise the limit (ulimit -n)",
                        ));
                    }
                    for part in message.cmsgs()? {
                        if let ControlMessageOwned::ScmRights(fds) = part {
                            // SAFETY: the kernel has just made these descriptors for us; nobody else owns them.
                            self.fds.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                        }
                    }
                    break message.bytes;
                }
            }
        };
        self.bytes.truncate(filled + got);
        Ok(got)
    }

    /// Takes one whole message, if it is there.
    fn take<M: DeserializeOwned>(&mut self) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        let rest = &self.bytes[self.taken..];
        let Some(head) = rest.first_chunk::<HEAD>() else { return Ok(None) };
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let fds = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if length > MAX_BODY || fds > MAX_FDS {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame's head is out of bounds"));
        }
        let Some(body) = rest.get(HEAD..HEAD + length) else { return Ok(None) };
        if self.fds.len() < fds {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame lacks its descriptors"));
        }
        let message = serde_json::from_slice(body)?;
        self.taken += HEAD + length;
        Ok(Some((message, self.fds.drain(..fds).collect())))
    }
}

/// The blocking end, for the node.
pub(crate) struct Blocking {
    socket: OwnedFd,
    inbox: Inbox,
}

impl Blocking {
    /// Takes over a socket in blocking mode.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self { socket, inbox: Inbox::default() }
    }

    /// A second handle for sending.
    pub(crate) fn sender(&self) -> io::Result<BlockingSender> {
        Ok(BlockingSender { socket: self.socket.try_clone()? })
    }

    /// Waits for the next message; `None` when the other end has closed.
    pub(crate) fn receive<M: DeserializeOwned>(&mut self) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        loop {
            if let Some(message) = self.inbox.take()? {
                return Ok(Some(message));
            }
            if self.inbox.receive_some(self.socket.as_fd())? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Sends from the node. Not to be shared without a lock: frames must not interleave.
pub(crate) struct BlockingSender {
    socket: OwnedFd,
}

impl BlockingSender {
    /// Sends one message.
    pub(crate) fn send<M: Serialize>(&mut self, message: &M) -> io::Result<()> {
        let frame = encode(message, 0)?;
        let mut sent = 0;
        while sent < frame.len() {
            sent += send_some(self.socket.as_fd(), &frame[sent..], &[])?;
        }
        Ok(())
    }
}

/// The receiving half of the asynchronous end.
pub(crate) struct AsyncReceiver {
    socket: Arc<UnixStream>,
    inbox: Inbox,
}

/// The sending half of the asynchronous end.
pub(crate) struct AsyncSender {
    socket: Arc<UnixStream>,
}

/// Splits a socket into its asynchronous halves. Needs a tokio runtime.
pub(crate) fn split(socket: OwnedFd) -> io::Result<(AsyncReceiver, AsyncSender)> {
    let socket = std::os::unix::net::UnixStream::from(socket);
    socket.set_nonblocking(true)?;
    let socket = Arc::new(UnixStream::from_std(socket)?);
    Ok((AsyncReceiver { socket: Arc::clone(&socket), inbox: Inbox::default() }, AsyncSender { socket }))
}

impl AsyncReceiver {
    /// Waits for the next message; `None` when the other end has closed. Nothing is lost when the future is dropped.
    pub(crate) async fn receive<M: DeserializeOwned>(&mut self) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        loop {
            if let Some(message) = self.inbox.take()? {
                return Ok(Some(message));
            }
            self.socket.readable().await?;
            let inbox = &mut self.inbox;
            match self.socket.try_io(Interest::READABLE, || inbox.receive_some(self.socket.as_fd())) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl AsyncSender {
    /// Closes the connection in both directions, whoever else holds the socket.
    pub(crate) fn shut(&self) {
        // It can only be closed already.
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
    }

    /// Sends one message. Must not be cancelled half-way: run it in a task of its own.
    pub(crate) async fn send<M: Serialize>(&mut self, message: &M, fds: Vec<OwnedFd>) -> io::Result<()> {
        let frame = encode(message, fds.len())?;
        let mut raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let mut sent = 0;
        while sent < frame.len() {
            self.socket.writable().await?;
            let rest = &frame[sent..];
            match self.socket.try_io(Interest::WRITABLE, || send_some(self.socket.as_fd(), rest, &raw)) {
                Ok(n) => {
                    sent += n;
                    raw.clear();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[tokio::test]
    async fn large_messages_and_descriptors_arrive_in_order() {
        let (a, b) = pair().unwrap();
        let far = std::thread::spawn(move || {
            let mut far = Blocking::new(b);
            let mut sender = far.sender().unwrap();
            let mut count = 0;
            while let Some((text, fds)) = far.receive::<String>().unwrap() {
                for fd in fds {
                    std::fs::File::from(fd).write_all(&[count]).unwrap();
                }
                count += 1;
                sender.send(&text).unwrap();
            }
            count
        });
        let (mut receiver, mut sender) = split(a).unwrap();
        let mut pipes = vec![];
        for n in 0..5usize {
            let (read, write) = nix::unistd::pipe().unwrap();
            let text = "x".repeat(n * 300_000);
            sender.send(&text, vec![write]).await.unwrap();
            pipes.push(read);
            let (back, _) = receiver.receive::<String>().await.unwrap().unwrap();
            assert_eq!(back.len(), text.len());
        }
        drop((receiver, sender));
        assert_eq!(far.join().unwrap(), 5);
        for (n, pipe) in pipes.into_iter().enumerate() {
            let mut got = vec![];
            std::fs::File::from(pipe).read_to_end(&mut got).unwrap();
            assert_eq!(got, [n as u8]);
        }
    }
}
