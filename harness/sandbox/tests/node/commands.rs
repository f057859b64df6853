//! Commands of this test's own, which pods of the lab can run beside the probe's: `verdikt-probe VERB …`.

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr, UdpSocket},
    process::ExitCode,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use verdikt_protocol::udp_request;

/// `ADDRESS`: one echo request by an unprivileged ping socket.
pub(crate) const PING: &str = "test-ping";
/// `FROM TO MILLISECONDS`: one UDP request from a chosen port.
pub(crate) const TALK: &str = "test-talk";

/// Runs such a command, when this process was started for one: it succeeds when there was an answer.
pub(crate) fn stand_in() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        [PING, address] => ping(address.parse().ok()?),
        [TALK, from, to, patience] => talk(from.parse().ok()?, to.parse().ok()?, patience.parse().ok()?),
        _ => return None,
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{args:?}: {error}");
            ExitCode::FAILURE
        }
    })
}

fn ping(address: IpAddr) -> io::Result<()> {
    let (protocol, request, reply) =
        if address.is_ipv6() { (Protocol::ICMPV6, 128, 129) } else { (Protocol::ICMPV4, 8, 0) };
    let address = SocketAddr::new(address, 0);
    let mut socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(protocol))?;
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    socket.connect(&address.into())?;
    // Type, code, checksum and identifier (the kernel fills both in), sequence, data.
    socket.send(&[request, 0, 0, 0, 0, 0, 0, 1, b'v'])?;
    let mut answer = [0; 64];
    let length = socket.read(&mut answer)?;
    if length == 9 && answer[0] == reply && answer[8] == b'v' {
        Ok(())
    } else {
        Err(io::Error::other(format!("answered by {:?}", &answer[..length])))
    }
}

fn talk(from: SocketAddr, to: SocketAddr, patience: u64) -> io::Result<()> {
    let socket = UdpSocket::bind(from)?;
    socket.set_read_timeout(Some(Duration::from_millis(patience)))?;
    socket.send_to(&udp_request(7), to)?;
    socket.recv_from(&mut [0; 512]).map(drop)
}
