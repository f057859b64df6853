//! The few netlink messages that the lab needs.

use std::{io, net::IpAddr, os::fd::AsRawFd};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

const REQUEST_ACK: u16 = 0x1 | 0x4;
const CREATE: u16 = 0x400;

/// Kinds of routes (rtm_type).
#[derive(Clone, Copy)]
pub(crate) enum Route {
    Unicast = 1,
    Blackhole = 6,
    Unreachable = 7,
    Prohibit = 8,
}

/// Index of both ends of the veth pair.
pub(crate) const LINK: u32 = 10;

/// Brings a link up.
pub(crate) fn up(link: u32) -> io::Result<()> {
    route(message(
        16,
        0,
        &[&[0; 4][..], &link.to_ne_bytes(), &1u32.to_ne_bytes(), &1u32.to_ne_bytes()].concat(),
        &[],
    ))
}

/// A veth pair, the other end in the namespace with this descriptor.
pub(crate) fn veth(other: i32) -> io::Result<()> {
    let header = [&[0; 4][..], &LINK.to_ne_bytes(), &[0; 8]].concat();
    let peer = [header.clone(), attribute(3, b"r0\0"), attribute(28, &other.to_ne_bytes())].concat();
    let data = attribute(2, &attribute(1, &peer));
    let info = attribute(18, &[attribute(1, b"veth"), data].concat());
    route(message(16, CREATE, &header, &[attribute(3, b"c0\0"), info]))
}

/// An address that is usable at once.
pub(crate) fn address(link: u32, ip: IpAddr, bits: u8) -> io::Result<()> {
    const NODAD: u8 = 2;
    let header = [&[family(ip), bits, NODAD, 0][..], &link.to_ne_bytes()].concat();
    let bytes = octets(ip);
    route(message(20, CREATE, &header, &[attribute(1, &bytes), attribute(2, &bytes)]))
}

/// A route of the main table.
pub(crate) fn add_route(to: IpAddr, bits: u8, kind: Route, gateway: Option<IpAddr>) -> io::Result<()> {
    let header = [family(to), bits, 0, 0, 254, 4, 0, kind as u8, 0, 0, 0, 0];
    let mut attributes = vec![attribute(1, &octets(to))];
    attributes.extend(gateway.map(|ip| attribute(5, &octets(ip))));
    route(message(24, CREATE, &header, &attributes))
}

/// Netfilter's families.
const INET: u8 = 1;
const IPV4: u8 = 2;

/// Has netfilter drop everything that is sent from this namespace.
pub(crate) fn drop_output() -> io::Result<()> {
    const HOOK_OUTPUT: u32 = 3;
    let chain = chain(HOOK_OUTPUT, 0, 0, b"filter\0");
    netfilter(&[nft(INET, 0, &[attribute(1, b"t\0")]), nft(INET, 3, &chain)])
}

/// Takes that back.
pub(crate) fn allow_output() -> io::Result<()> {
    netfilter(&[nft(INET, 2, &[attribute(1, b"t\0")])])
}

/// Has netfilter give everything that leaves this namespace over IPv4 the main address of its link.
pub(crate) fn masquerade() -> io::Result<()> {
    const HOOK_POSTROUTING: u32 = 4;
    let chain = chain(HOOK_POSTROUTING, 100, 1, b"nat\0");
    let expression = attribute(1 | NESTED, &attribute(1, b"masq\0"));
    let rule = [attribute(1, b"n\0"), attribute(2, b"c\0"), attribute(4 | NESTED, &expression)];
    let named = |mut attributes: Vec<Vec<u8>>| {
        attributes[0] = attribute(1, b"n\0");
        attributes
    };
    let table = nft(IPV4, 0, &[attribute(1, b"n\0")]);
    netfilter(&[table, nft(IPV4, 3, &named(chain)), nft(IPV4, 6, &rule)])
}

const NESTED: u16 = 0x8000;

/// The chain `c` of the table `t`.
fn chain(hook: u32, priority: u32, policy: u32, kind: &[u8]) -> Vec<Vec<u8>> {
    let hook = [attribute(1, &hook.to_be_bytes()), attribute(2, &priority.to_be_bytes())].concat();
    vec![
        attribute(1, b"t\0"),
        attribute(3, b"c\0"),
        attribute(4 | NESTED, &hook),
        attribute(5, &policy.to_be_bytes()),
        attribute(7, kind),
    ]
}

fn nft(family: u8, kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
    message(10 << 8 | kind, CREATE, &[family, 0, 0, 0], attributes)
}

fn netfilter(messages: &[Vec<u8>]) -> io::Result<()> {
    let batch = |kind| message(kind, 0, &[0, 0, 0, 10], &[]);
    let all = [batch(16), messages.concat(), batch(17)].concat();
    exchange(SockProtocol::NetlinkNetFilter, &all, messages.len())
}

fn route(message: Vec<u8>) -> io::Result<()> {
    exchange(SockProtocol::NetlinkRoute, &message, 1)
}

/// Sends messages and waits for so many acknowledgements.
fn exchange(protocol: SockProtocol, messages: &[u8], mut acknowledgements: usize) -> io::Result<()> {
    let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
    send(fd.as_raw_fd(), messages, MsgFlags::empty())?;
    while acknowledgements > 0 {
        let mut buffer = [0; 8192];
        let count = recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = &buffer[..count];
        while rest.len() >= 20 {
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            let code = i32::from_ne_bytes(rest[16..20].try_into().unwrap());
            if code != 0 {
                return Err(io::Error::from_raw_os_error(-code));
            }
            acknowledgements = acknowledgements.saturating_sub(1);
            rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        }
    }
    Ok(())
}

fn message(kind: u16, flags: u16, header: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
    // The marks of a batch are not acknowledged.
    let flags = if kind == 16 && header.len() == 4 || kind == 17 { 1 } else { flags | REQUEST_ACK };
    let body = [header.to_vec(), attributes.concat()].concat();
    let length = 16 + body.len() as u32;
    [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[0; 8], &body].concat()
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut bytes = [&(length as u16).to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

fn family(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 2 } else { 10 }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
