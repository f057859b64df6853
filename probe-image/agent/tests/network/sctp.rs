//! SCTP, where the kernel has it (`ci/vm.sh` brings a machine that has).

use std::{
    collections::HashSet,
    fs,
    io::{Read, Write},
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use verdikt_protocol::{
    Probe,
    ProbeVerdict::{Allowed, Dropped, Error, Rejected},
    Task, Transport, Work,
};

use crate::{
    Test,
    lab::Lab,
    netlink,
    probe::{Agent, Server, now_us, numbered, sample, tcp},
    tests,
};

pub(crate) const TESTS: &[Test] = tests![
    a_server_is_reached,
    a_closed_port_aborts,
    icmp_from_a_router_rejects_before_the_kernel_asks_again,
    a_dead_neighbour_has_not_refused,
    without_a_route_nothing_is_proved,
    silence_is_dropped,
    an_abort_after_the_handshake_rejects,
    no_source_port_comes_twice,
    an_association_has_one_address_at_each_end,
    an_attempt_of_a_sample_tells_of_its_own_moment,
    a_held_association_ends_with_an_abort,
];

/// Why there is no SCTP here.
pub(crate) fn missing() -> Option<String> {
    let made = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::SCTP));
    made.err().map(|e| format!("no SCTP in this kernel: {e}"))
}

fn sctp(to: &str, port: u16) -> Probe {
    Probe { transport: Transport::Sctp, ..tcp(to, port) }
}

/// Does this with each association of a port, and its peer's address, one after another.
fn peer(port: u16, mut talk: impl FnMut(Socket, SocketAddr) + Send + 'static) {
    let listener = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::SCTP)).expect("SCTP");
    listener.set_only_v6(false).expect("both families");
    listener.bind(&SocketAddr::from(([0; 8], port)).into()).expect("a free port");
    listener.listen(128).expect("a listener");
    thread::spawn(move || {
        while let Ok((socket, from)) = listener.accept() {
            talk(socket, from.as_socket().expect("an address"));
        }
    });
}

const GREETING: &[u8] = b"{\"id\":\"x/a\",\"client\":\"192.0.2.1:1\"}\n";

fn a_server_is_reached(lab: &Lab) {
    let _server = lab.in_router(|| Ok(Server::start(&["--sctp", "80,81", "--identity", "x/a"]))).unwrap();
    let mut agent = Agent::start();
    let targets = ["10.0.0.1", "fd00::1"].iter().flat_map(|to| [sctp(to, 80), sctp(to, 81)]);
    agent.reach(&targets.collect::<Vec<_>>());
}

fn a_closed_port_aborts(_: &Lab) {
    let mut agent = Agent::start();
    for to in ["127.0.0.1", "::1", "10.0.0.1", "fd00::1"] {
        let result = agent.one(5000, sctp(to, 80));
        assert_eq!(
            (result.verdict, result.detail.as_deref()),
            (Rejected, Some("connection refused (ABORT)")),
            "{to}"
        );
    }
}

/// Between namespaces of one host ICMP errors come while `connect` still holds the socket, and are lost.
fn icmp_from_a_router_rejects_before_the_kernel_asks_again(_: &Lab) {
    let mut agent = Agent::start();
    let cases = [
        ("10.9.2.1", "ICMP host unreachable or admin prohibited"),
        ("10.9.3.1", "ICMP host unreachable or admin prohibited"),
        ("fd00:9:2::1", "ICMP admin prohibited"),
        ("fd00:9:3::1", "ICMP network unreachable"),
    ];
    for (to, why) in cases {
        // The kernel sends its first INIT again after three seconds.
        let result = agent.one(2500, sctp(to, 80));
        assert_eq!((result.verdict, result.detail.as_deref()), (Rejected, Some(why)), "{to}");
    }
}

fn a_dead_neighbour_has_not_refused(_: &Lab) {
    let probes = numbered(["10.0.0.99", "fd00::99"].map(|to| sctp(to, 80)));
    for result in Agent::start().probe(15_000, probes) {
        let why = "no such neighbour (nothing answers for the address)";
        assert_eq!((result.verdict, result.detail.as_deref()), (Error, Some(why)), "{result:?}");
    }
}

fn without_a_route_nothing_is_proved(_: &Lab) {
    netlink::add_route(crate::lab::address("10.8.0.0"), 16, netlink::Route::Prohibit, None).unwrap();
    let from = |ip: &str, probe: Probe| Probe { from: Some(crate::lab::address(ip)), ..probe };
    let cases = [
        (sctp("192.0.2.1", 80), "no route from here"),
        (sctp("2001:db8::1", 80), "no route from here"),
        (sctp("10.8.0.1", 80), "prohibited by a route or rule of this host"),
        (from("192.0.2.7", sctp("10.0.0.1", 80)), "no such source address"),
    ];
    let mut agent = Agent::start();
    for (probe, why) in cases {
        let result = agent.one(2000, probe);
        assert_eq!(result.verdict, Error, "{result:?}");
        assert!(result.detail.as_deref().is_some_and(|said| said.starts_with(why)), "{result:?}");
    }
}

fn silence_is_dropped(_: &Lab) {
    for result in Agent::start().probe(300, numbered(["10.9.1.1", "fd00:9:1::1"].map(|to| sctp(to, 80)))) {
        assert_eq!((result.verdict, result.sockets), (Dropped, 2), "{result:?}");
    }
}

fn an_abort_after_the_handshake_rejects(_: &Lab) {
    peer(80, |socket, _| socket.set_linger(Some(Duration::ZERO)).unwrap());
    let result = Agent::start().one(5000, sctp("127.0.0.1", 80));
    assert_eq!((result.verdict, result.detail.as_deref()), (Rejected, Some("reset after connect (ABORT)")));
}

/// Connection tracking would let a new association from the port of an earlier one through every policy.
fn no_source_port_comes_twice(_: &Lab) {
    const COUNT: usize = 600;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    peer(80, move |mut socket, from| {
        log.lock().unwrap().push(from.port());
        let _ = socket.write_all(GREETING);
    });
    let mut agent = Agent::start();
    // More than the kernel's own choice gives without a repetition.
    for _ in 0..2 {
        agent.reach(&vec![sctp("10.0.0.2", 80); COUNT / 2]);
    }
    let seen = seen.lock().unwrap();
    assert!(seen.len() >= COUNT && seen.iter().all(|port| (32_768..=60_999).contains(port)), "{seen:?}");
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len(), "a port came twice");
    // Not by luck: they follow one another, but for those that were taken.
    let mut sorted = seen.clone();
    sorted.sort_unstable();
    let near = sorted.windows(2).filter(|pair| pair[1] - pair[0] <= 3).count();
    assert!(near >= seen.len() - 3, "{sorted:?}");
}

/// An association with more could go on over an address that the probe does not ask about.
fn an_association_has_one_address_at_each_end(lab: &Lab) {
    let _server = lab.in_router(|| Ok(Server::start(&["--sctp", "80"]))).unwrap();
    let mut agent = Agent::start();
    for to in ["10.0.0.1", "fd00::1"] {
        let probe = sctp(to, 80);
        agent.reach(std::slice::from_ref(&probe));
        agent.begin(1, vec![Task { probe, work: Work::Hold { interval_us: 10_000, patience_ms: 500 } }]);
        agent.look_until(1, |reports| reports[0].runs.iter().any(|run| run.verdict == Allowed));
        let read = || fs::read_to_string("/proc/thread-self/net/sctp/assocs");
        assert_eq!(ends(&read().unwrap()), (1, 1), "as the agent has it");
        let (_, far) = ends(&lab.in_router(read).unwrap());
        assert_eq!(far, 1, "as the server has it, which may have addresses that the agent never heard of");
        agent.finish(1);
    }
}

/// How many addresses the only association of /proc/net/sctp/assocs has here and there:
/// … LPORT RPORT LADDRS <-> RADDRS HBINT …, of which the primary one has a `*`.
fn ends(assocs: &str) -> (usize, usize) {
    let words: Vec<&str> = assocs.lines().nth(1).expect("an association").split_whitespace().collect();
    let at = words.iter().position(|word| *word == "<->").expect("two ends");
    let is_address = |word: &&&str| word.contains(['.', ':']);
    let near = words[..at].iter().rev().take_while(is_address).count();
    (near, words[at + 1..].iter().take_while(is_address).count())
}

fn an_attempt_of_a_sample_tells_of_its_own_moment(lab: &Lab) {
    let _server = lab.in_router(|| Ok(Server::start(&["--sctp", "80"]))).unwrap();
    let mut agent = Agent::start();
    agent.reach(&[sctp("10.0.0.1", 80)]);
    lab.in_router(netlink::drop_output).unwrap();
    agent.begin(1, vec![sample(sctp("10.0.0.1", 80), 5000, 1000)]);
    agent.look_until(1, |reports| reports[0].runs.first().is_some_and(|run| run.count > 20));
    let opening = now_us();
    lab.in_router(netlink::allow_output).unwrap();
    let reports = agent.look_until(1, |reports| {
        reports[0].runs.last().is_some_and(|run| run.verdict == Allowed && run.count > 20)
    });
    let first = reports[0].runs.iter().find(|run| run.verdict == Allowed).unwrap();
    // Its packet may be under way at that moment.
    assert!(first.first_us + 20_000 > opening, "{} µs too early: {reports:?}", opening - first.first_us);
}

fn a_held_association_ends_with_an_abort(_: &Lab) {
    peer(80, |mut socket, _| {
        socket.write_all(GREETING).unwrap();
        let mut line = [0; 17];
        for _ in 0..5 {
            socket.read_exact(&mut line).unwrap();
            socket.write_all(&line).unwrap();
        }
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    });
    let mut agent = Agent::start();
    agent.begin(
        1,
        vec![Task {
            probe: sctp("127.0.0.1", 80),
            work: Work::Hold { interval_us: 5000, patience_ms: 2000 },
        }],
    );
    let reports = agent.look_until(1, |reports| reports[0].runs.iter().any(|run| run.verdict != Allowed));
    let runs = &reports[0].runs;
    assert_eq!(runs.iter().map(|run| run.verdict).collect::<Vec<_>>(), [Allowed, Rejected], "{runs:?}");
    assert_eq!(runs[1].detail.as_deref(), Some("reset after connect (ABORT)"));
    assert!(reports[0].source_port.is_some_and(|port| (10_240..=29_999).contains(&port)), "{reports:?}");
    thread::sleep(Duration::from_millis(50));
    assert_eq!(agent.finish(1), reports, "nothing more comes");
}
