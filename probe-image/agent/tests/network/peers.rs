//! Peers that are no verdikt servers, or bad ones.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

use crate::lab::address;

/// Does this with each connection to a port, one after another.
pub(crate) fn tcp_peer(port: u16, talk: impl Fn(TcpStream) + Send + 'static) {
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("a free port");
    thread::spawn(move || listener.incoming().flatten().for_each(talk));
}

/// Keeps a connection until the client closes it.
pub(crate) fn hold(mut stream: TcpStream) {
    while stream.read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
}

/// Answers each datagram to a port with these; the closure has the number of the datagram, its bytes and its
/// sender.
pub(crate) fn udp_peer(
    port: u16,
    answer: impl Fn(usize, &[u8], SocketAddr) -> Vec<Vec<u8>> + Send + 'static,
) {
    let socket = UdpSocket::bind(("0.0.0.0", port)).expect("a free port");
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        let mut n = 0;
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            for message in answer(n, &buffer[..count], from) {
                socket.send_to(&message, from).expect("a datagram");
            }
            n += 1;
        }
    });
}

/// A name server at an address, over UDP and TCP.
///
/// | name | UDP | TCP |
/// |---|---|---|
/// | web.test | 127.0.0.1, ::1 | the same |
/// | big.test | truncated | 127.0.0.1, ::1 |
/// | missing.test | NXDOMAIN | NXDOMAIN |
/// | empty.test | no records | no records |
/// | broken.test | SERVFAIL | SERVFAIL |
/// | half.test | only A is answered | only A |
/// | spoofed.test | wrong ids | wrong ids |
/// | silent.test | nothing | nothing |
pub(crate) fn name_server(at: &str) {
    let at = (address(at), 53);
    let socket = UdpSocket::bind(at).expect("port 53");
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            if let Some(reply) = reply(&buffer[..count], true) {
                socket.send_to(&reply, from).expect("a datagram");
            }
        }
    });
    let listener = TcpListener::bind(at).expect("port 53");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
                    if stream.read_exact(&mut message).is_err() {
                        return;
                    }
                    if let Some(reply) = reply(&message, false) {
                        let whole = [&(reply.len() as u16).to_be_bytes()[..], &reply].concat();
                        // In two parts: a stream has no message boundaries.
                        let (start, rest) = whole.split_at(7);
                        let _ = stream.write_all(start).and_then(|()| stream.flush());
                        thread::yield_now();
                        let _ = stream.write_all(rest);
                    }
                }
            });
        }
    });
}

/// By hand, not with the library that the agent uses.
fn reply(question: &[u8], datagram: bool) -> Option<Vec<u8>> {
    let labels = &question[12..];
    let first = usize::from(labels[0]);
    let name = std::str::from_utf8(&labels[1..=first]).ok()?;
    let end = 12 + labels.iter().position(|b| *b == 0)? + 1;
    let v6 = question[end + 1] == 28;
    let (mut code, mut truncated, mut addresses) = (0, false, 1);
    match name {
        "web" => {}
        "big" => truncated = datagram,
        "missing" => code = 3,
        "empty" => addresses = 0,
        "broken" => code = 2,
        "half" if !v6 => {}
        "spoofed" => {}
        _ => return None,
    }
    if code != 0 || truncated {
        addresses = 0;
    }
    let id = if name == "spoofed" { question[0] ^ 1 } else { question[0] };
    let flags = [0x81 | u8::from(truncated) << 1, 0x80 | code];
    let mut message = [&[id, question[1]][..], &flags, &[0, 1, 0, addresses, 0, 0, 0, 0]].concat();
    message.extend(&question[12..end + 4]);
    if addresses == 1 {
        let ip = if v6 { address("::1") } else { address("127.0.0.1") };
        let bytes = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        message.extend([0xc0, 12, 0, question[end + 1], 0, 1, 0, 0, 0, 5, 0, bytes.len() as u8]);
        message.extend(bytes);
    }
    Some(message)
}
