//! The server: sockets of the kube-dns pod, questions to answers.

use std::{
    borrow::Cow,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::PoisonError,
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        Name, RData, Record, RecordType,
        rdata::{CNAME, SOA, SRV},
    },
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::oneshot,
};

use super::{
    super::errors::note,
    SharedZone, Zone,
    zone::{Answer, DOMAIN, Records},
};

const PORT: u16 = 53;
/// As CoreDNS has it.
const TTL: u32 = 5;
/// Longest answer over UDP without EDNS.
const PLAIN: usize = 512;
/// Longest answer over UDP with it, as CoreDNS has it.
const LARGE: u16 = 1232;
/// After which an idle connection is closed.
const IDLE: Duration = Duration::from_secs(10);

/// A running server.
pub(crate) struct DnsServer {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl DnsServer {
    /// Ends it and waits until its sockets are closed.
    pub(crate) fn stop(self) {
        // It can only have ended already.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// Starts a server in the calling thread's network namespace, on all addresses there. It answers when this returns.
pub(crate) fn start(zone: &SharedZone) -> io::Result<DnsServer> {
    let mut udp = vec![bind(Ipv4Addr::UNSPECIFIED.into(), Type::DGRAM)?];
    let mut tcp = vec![bind(Ipv4Addr::UNSPECIFIED.into(), Type::STREAM)?];
    match bind(Ipv6Addr::UNSPECIFIED.into(), Type::DGRAM) {
        Ok(socket) => {
            udp.push(socket);
            tcp.push(bind(Ipv6Addr::UNSPECIFIED.into(), Type::STREAM)?);
        }
        // Without IPv6 in the kernel there is one family.
        Err(error) if is_without_family(&error) => {}
        Err(error) => return Err(error),
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let zone = SharedZone::clone(zone);
    let thread = std::thread::Builder::new().name("kube-dns".into()).spawn(move || {
        runtime.block_on(async move {
            for socket in udp {
                match UdpSocket::from_std(socket.into()) {
                    Ok(socket) => drop(tokio::spawn(serve_udp(socket, SharedZone::clone(&zone)))),
                    Err(error) => note(format_args!("kube-dns: {error}")),
                }
            }
            for socket in tcp {
                match TcpListener::from_std(socket.into()) {
                    Ok(listener) => drop(tokio::spawn(serve_tcp(listener, SharedZone::clone(&zone)))),
                    Err(error) => note(format_args!("kube-dns: {error}")),
                }
            }
            let _ = stopped.await;
        });
    })?;
    Ok(DnsServer { stop, thread })
}

fn is_without_family(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL | Errno::EPROTONOSUPPORT))
}

fn bind(address: IpAddr, kind: Type) -> io::Result<Socket> {
    let address = SocketAddr::new(address, PORT);
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if kind == Type::STREAM {
        socket.listen(1024)?;
    } else {
        // Hundreds of pods may ask at once; the kernel gives what it may.
        let _ = socket.set_recv_buffer_size(4 << 20);
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

async fn serve_udp(socket: UdpSocket, zone: SharedZone) {
    let mut buffer = vec![0; 4096];
    loop {
        // An error here belongs to an earlier answer that could not be delivered.
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        if let Some(answer) = answer(&buffer[..length], &current(&zone), true) {
            let _ = socket.send_to(&answer, client).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, zone: SharedZone) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve_connection(stream, SharedZone::clone(&zone)))),
            // Too many open files, most likely: some will be closed.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve_connection(mut stream: TcpStream, zone: SharedZone) -> Option<()> {
    loop {
        let length = tokio::time::timeout(IDLE, stream.read_u16()).await.ok()?.ok()?;
        let mut question = vec![0; usize::from(length)];
        tokio::time::timeout(IDLE, stream.read_exact(&mut question)).await.ok()?.ok()?;
        let reply = answer(&question, &current(&zone), false)?;
        let mut frame = u16::try_from(reply.len()).ok()?.to_be_bytes().to_vec();
        frame.extend(reply);
        tokio::time::timeout(IDLE, stream.write_all(&frame)).await.ok()?.ok()?;
    }
}

fn current(zone: &SharedZone) -> std::sync::Arc<Zone> {
    zone.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The answer to a question, or nothing to what is none.
fn answer(question: &[u8], zone: &Zone, udp: bool) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).ok()?;
    if question.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    reply.add_queries(question.queries.iter().cloned());
    if question.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(LARGE);
        reply.set_edns(edns);
    }
    match question.queries.as_slice() {
        [query] if question.metadata.op_code == OpCode::Query => fill(&mut reply, query, zone),
        _ => reply.metadata.response_code = ResponseCode::NotImp,
    }
    let bytes = reply.to_vec().ok()?;
    let limit = match &question.edns {
        Some(edns) => usize::from(edns.max_payload().clamp(PLAIN as u16, LARGE)),
        None => PLAIN,
    };
    if udp && bytes.len() > limit { reply.truncate().to_vec().ok() } else { Some(bytes) }
}

fn fill(reply: &mut Message, query: &Query, zone: &Zone) {
    let name = query.name.to_lowercase().to_ascii();
    let found = zone.look(name.trim_end_matches('.'));
    reply.metadata.authoritative = found != Answer::NotOurs;
    match found {
        Answer::NotOurs => reply.metadata.response_code = ResponseCode::Refused,
        Answer::Unknown => reply.metadata.response_code = ResponseCode::NXDomain,
        Answer::Empty => {}
        Answer::Records(records) => add(reply, query.query_type, &query.name, &records, zone),
    }
    if reply.answers.is_empty() && reply.metadata.authoritative {
        // How long to remember that there is nothing (RFC 2308).
        if let (Ok(domain), Ok(server), Ok(who)) = (
            Name::from_ascii(format!("{DOMAIN}.")),
            Name::from_ascii(format!("ns.dns.{DOMAIN}.")),
            Name::from_ascii(format!("hostmaster.{DOMAIN}.")),
        ) {
            let soa = SOA::new(server, who, 1, 7200, 1800, 86400, TTL);
            reply.add_authority(Record::from_rdata(domain, TTL, RData::SOA(soa)));
        }
    }
}

/// Longest chain of aliases that is followed.
const ALIASES: usize = 8;

/// Adds what is asked for; an alias is followed as long as it stays in the zone.
fn add(reply: &mut Message, kind: RecordType, name: &Name, records: &Records, zone: &Zone) {
    let wants = |other| kind == other || kind == RecordType::ANY;
    let mut owner = name.clone();
    let mut records = Cow::Borrowed(records);
    for _ in 0..ALIASES {
        let Some(alias) = &records.alias else { break };
        let Ok(target) = Name::from_ascii(format!("{alias}.")) else { return };
        reply.add_answer(Record::from_rdata(owner, TTL, RData::CNAME(CNAME(target.clone()))));
        if kind == RecordType::CNAME {
            return;
        }
        let Answer::Records(next) = zone.look(alias) else { return };
        (owner, records) = (target, Cow::Owned(next.into_owned()));
    }
    let mut add = |data: RData| {
        reply.add_answer(Record::from_rdata(owner.clone(), TTL, data));
    };
    for address in &records.addresses {
        match address {
            IpAddr::V4(address) if wants(RecordType::A) => add(RData::A((*address).into())),
            IpAddr::V6(address) if wants(RecordType::AAAA) => add(RData::AAAA((*address).into())),
            _ => {}
        }
    }
    if wants(RecordType::SRV) {
        for (port, host) in &records.services {
            if let Ok(host) = Name::from_ascii(format!("{host}.")) {
                add(RData::SRV(SRV::new(0, 100, *port, host)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::wire::{ServiceState, State};

    fn ask(name: &str, kind: RecordType, addresses: usize) -> Message {
        let service = ServiceState {
            namespace: "x".into(),
            name: "h".into(),
            selector: BTreeMap::new(),
            cluster_ips: vec![],
            external_name: None,
            hostnames: BTreeMap::new(),
            pod_ips: (0..addresses).map(|n| Ipv4Addr::new(10, 244, 0, n as u8).into()).collect(),
            ports: vec![],
            local: false,
        };
        let alias = |name: &str, target: &str| ServiceState {
            name: name.into(),
            external_name: Some(target.into()),
            pod_ips: vec![],
            ..service.clone()
        };
        let (inside, outside) = (alias("in", "h.x.svc.cluster.local"), alias("out", "example.com"));
        let circle = alias("circle", "circle.x.svc.cluster.local");
        let services = vec![service.clone(), inside, outside, circle];
        let zone = Zone::new(&State { services, ..State::default() });
        let mut question = Message::new(7, MessageType::Query, OpCode::Query);
        question.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        Message::from_vec(&answer(&question.to_vec().unwrap(), &zone, true).unwrap()).unwrap()
    }

    #[test]
    fn answers_holes_and_strangers() {
        let reply = ask("H.x.svc.Cluster.local.", RecordType::A, 3);
        assert_eq!((reply.answers.len(), reply.metadata.response_code), (3, ResponseCode::NoError));
        assert!(reply.metadata.authoritative);
        let reply = ask("h.x.svc.cluster.local.", RecordType::AAAA, 3);
        assert_eq!((reply.answers.len(), reply.metadata.response_code), (0, ResponseCode::NoError));
        assert_eq!(reply.authorities.len(), 1);
        let reply = ask("i.x.svc.cluster.local.", RecordType::A, 3);
        assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
        let reply = ask("example.com.", RecordType::A, 3);
        assert_eq!(reply.metadata.response_code, ResponseCode::Refused);
    }

    #[test]
    fn aliases_are_followed_inside_of_the_zone() {
        let kinds = |name: &str, kind| -> Vec<RecordType> {
            let reply = ask(name, kind, 2);
            assert_eq!(reply.metadata.response_code, ResponseCode::NoError);
            reply.answers.iter().map(Record::record_type).collect()
        };
        let (name, cname, a) = ("in.x.svc.cluster.local.", RecordType::CNAME, RecordType::A);
        assert_eq!(kinds(name, a), [cname, a, a]);
        assert_eq!(kinds(name, RecordType::AAAA), [cname]);
        assert_eq!(kinds(name, cname), [cname]);
        assert_eq!(kinds("out.x.svc.cluster.local.", a), [cname]);
        assert_eq!(kinds("circle.x.svc.cluster.local.", a).len(), ALIASES);
    }

    #[test]
    fn what_does_not_fit_is_cut_and_marked() {
        let reply = ask("h.x.svc.cluster.local.", RecordType::A, 100);
        assert!(reply.metadata.truncation);
        assert!(reply.answers.is_empty());
    }
}
