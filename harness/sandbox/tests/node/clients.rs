//! Clients that `verdikt-probe` does not have, run in pods in its name: this program is the only one there.

use std::{
    io::{BufRead, BufReader, Write},
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr, TcpStream},
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use socket2::{Domain, Protocol, Socket, Type};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_millis(250);
/// Time between two lines.
const PACE: Duration = Duration::from_millis(2);

/// Plays a client, if this process is to.
pub(crate) fn play() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["verdikt-probe", "test-hold", to, millis, mark] => {
            hold(to.parse().unwrap(), Duration::from_millis(millis.parse().unwrap()), mark);
        }
        ["verdikt-probe", "test-echo", to] => println!("{}", ping(to.parse().unwrap())),
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

/// Holds a connection open, makes a file of this name, and has lines echoed all the time. Says when the last came back, and when the first was sent
/// that did not (or would have been, if all did), in microseconds since 1970.
fn hold(to: SocketAddr, time: Duration, mark: &str) {
    let mut stream = TcpStream::connect_timeout(&to, 4 * PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let end = Instant::now() + time;
    let mut last = SystemTime::now();
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    std::fs::write(mark, "").unwrap();
    let mut sent = SystemTime::now();
    while Instant::now() < end {
        sent = SystemTime::now();
        if stream.write_all(b"x\n").is_err() {
            break;
        }
        line.clear();
        if !lines.read_line(&mut line).is_ok_and(|count| count > 0) {
            break;
        }
        last = SystemTime::now();
        std::thread::sleep(PACE);
    }
    for time in [last, sent] {
        println!("{}", time.duration_since(UNIX_EPOCH).unwrap().as_micros());
    }
}

/// Whether an ICMP echo is answered.
fn ping(to: IpAddr) -> &'static str {
    let (domain, protocol, request, reply) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8, 0),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // Another one each time, or connection tracking would know the exchange already.
    let [high, low] = (std::process::id() as u16).to_be_bytes();
    let mut packet = [request, 0, 0, 0, high, low, 0, 1];
    if to.is_ipv4() {
        let sum: u32 = packet.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        packet[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    }
    socket.send_to(&packet, &SocketAddr::new(to, 0).into()).unwrap();
    let end = Instant::now() + PATIENCE;
    let mut buffer = [MaybeUninit::uninit(); 128];
    while Instant::now() < end {
        let Ok((count, _)) = socket.recv_from(&mut buffer) else { break };
        // IPv4 comes with its header.
        let at = if to.is_ipv4() { 20 } else { 0 };
        // SAFETY: the kernel has written so many bytes.
        if count > at && unsafe { buffer[at].assume_init() } == reply {
            return "allowed";
        }
    }
    "dropped"
}
