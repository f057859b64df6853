//! What is observed, and what is said about it.

use std::{
    io::Write,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use socket2::SockRef;
use verdikt_protocol::{
    Greeting, HttpRequest, Probe, ProbeResult,
    ProbeVerdict::{Allowed, Dropped, Error, Rejected},
    Reply, Task, Transport, Work, udp_nonce,
};

use crate::{
    Test,
    lab::{Lab, address},
    netlink,
    peers::{hold, tcp_peer, udp_peer},
    probe::{Agent, Server, named, numbered, tcp, udp},
    tests,
};

pub(crate) const TESTS: &[Test] = tests![
    a_server_is_reached,
    a_closed_port_rejects,
    icmp_from_a_router_rejects,
    silence_is_dropped,
    silence_needs_two_sockets,
    an_answer_to_the_second_socket_counts,
    time_in_which_the_agent_did_not_run_is_no_silence,
    another_identity_is_an_error,
    peers_that_are_no_servers_prove_nothing,
    a_reset_after_the_handshake_rejects,
    a_greeting_may_come_in_parts,
    only_our_nonce_counts,
    failures_on_this_host_are_errors,
    a_filter_on_this_host_rejects_or_drops,
    one_refusal_by_a_filter_of_this_host_proves_nothing,
    a_source_address_is_kept,
    a_source_that_was_rewritten_is_told,
    sctp_is_served_or_explained,
];

fn detail(result: &ProbeResult) -> &str {
    result.detail.as_deref().unwrap_or_default()
}

fn a_server_is_reached(_: &Lab) {
    let _server = Server::start(&["--tcp", "80,81", "--udp", "80", "--identity", "x/a"]);
    let mut agent = Agent::start();
    let targets = ["127.0.0.1", "127.0.0.9", "10.0.0.2", "10.0.0.22", "::1", "fd00::2"];
    let probes = targets.iter().flat_map(|to| [tcp(to, 80), tcp(to, 81), udp(to, 80)]);
    let probes = probes.map(|probe| Probe { expect: vec!["y/b".into(), "x/a".into()], ..probe });
    for result in agent.probe(2000, numbered(probes)) {
        assert_eq!((result.verdict, result.sockets, &result.detail), (Allowed, 1, &None), "{result:?}");
        assert!(result.rtt_us > 0 && result.rtt_us < 2_000_000, "{result:?}");
    }
}

fn a_closed_port_rejects(lab: &Lab) {
    let mut agent = Agent::start();
    let probes = [tcp("127.0.0.1", 80), tcp("::1", 80), tcp("10.0.0.1", 80), tcp("fd00::1", 80)];
    for result in agent.probe(5000, numbered(probes)) {
        assert_eq!((result.verdict, detail(&result)), (Rejected, "connection refused (RST)"));
    }
    for to in ["127.0.0.1", "::1", "10.0.0.1", "fd00::1"] {
        let result = agent.one(5000, udp(to, 80));
        assert_eq!(
            (result.verdict, detail(&result)),
            (Rejected, &*format!("ICMP port unreachable from {to}")),
            "{result:?}"
        );
    }
    // The closed port of a host that another one has open: no verdict is remembered.
    let _server = lab.in_router(|| Ok(Server::start(&["--tcp", "80", "--udp", "80"]))).unwrap();
    let again = agent.probe(5000, numbered([tcp("10.0.0.1", 80), udp("fd00::1", 80)]));
    assert!(again.iter().all(|result| result.verdict == Allowed), "{again:?}");
}

/// Between namespaces of one host ICMP errors come while `connect` still holds the socket.
fn icmp_from_a_router_rejects(_: &Lab) {
    let mut agent = Agent::start();
    let cases = [
        ("10.9.2.1", "ICMP admin prohibited from 10.0.0.1"),
        ("10.9.3.1", "ICMP host unreachable from 10.0.0.1"),
        ("fd00:9:2::1", "ICMP admin prohibited from fd00::1"),
        ("fd00:9:3::1", "ICMP network unreachable from fd00::1"),
    ];
    for (to, why) in cases {
        for probe in [tcp(to, 80), udp(to, 80)] {
            let start = Instant::now();
            let result = agent.one(20_000, probe);
            assert_eq!((result.verdict, detail(&result)), (Rejected, why));
            assert!(start.elapsed() < Duration::from_secs(10), "it was decided by the deadline");
        }
    }
}

fn silence_is_dropped(_: &Lab) {
    let mut agent = Agent::start();
    let targets = ["10.9.1.1", "fd00:9:1::1"];
    let start = Instant::now();
    let probes = numbered(targets.iter().flat_map(|to| [tcp(to, 80), udp(to, 80)]));
    for result in agent.probe(300, probes) {
        assert_eq!((result.verdict, result.sockets, result.rtt_us), (Dropped, 2, 0), "{result:?}");
    }
    assert!(start.elapsed() >= Duration::from_millis(300));
}

fn silence_needs_two_sockets(_: &Lab) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    udp_peer(80, move |_, request, from| {
        let nonce = udp_nonce(request).expect("a request").to_owned();
        log.lock().unwrap().push((Instant::now(), from.port(), nonce, request.len()));
        Vec::new()
    });
    let start = Instant::now();
    let result = Agent::start().one(600, udp("127.0.0.1", 80));
    assert_eq!((result.verdict, result.sockets), (Dropped, 2));
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 4, "each socket asks twice: {heard:?}");
    let (first, second) = (&heard[0], &heard[1]);
    assert_ne!((first.1, &first.2), (second.1, &second.2), "the sockets are independent: {heard:?}");
    for other in &heard[2..] {
        assert!([first, second].iter().any(|one| (one.1, &one.2) == (other.1, &other.2)), "{heard:?}");
    }
    assert!(heard.iter().all(|(_, port, _, length)| (32_768..=60_999).contains(port) && *length == 512));
    let stagger = second.0 - first.0;
    assert!(stagger >= Duration::from_millis(150), "{stagger:?}");
    assert!(start.elapsed() >= Duration::from_millis(600));
}

fn an_answer_to_the_second_socket_counts(_: &Lab) {
    let first = Mutex::new(None);
    udp_peer(80, move |_, request, from| {
        let mut first = first.lock().unwrap();
        let first = *first.get_or_insert(from.port());
        let nonce = udp_nonce(request).expect("a request").to_owned();
        if from.port() == first { Vec::new() } else { vec![greeting("x/a", &nonce)] }
    });
    let result = Agent::start().one(900, udp("127.0.0.1", 80));
    assert_eq!((result.verdict, result.sockets), (Allowed, 2), "{result:?}");
}

/// Stopped across its deadline, as on a machine that is overloaded.
fn time_in_which_the_agent_did_not_run_is_no_silence(_: &Lab) {
    for answer_while_stopped in [true, false] {
        let port = 80 + u16::from(answer_while_stopped);
        let (asked, was_asked) = mpsc::channel();
        let (answer, may_answer) = mpsc::channel::<()>();
        udp_peer(port, move |n, request, _| {
            // The second request is the second socket's.
            if n == 1 {
                asked.send(()).unwrap();
                may_answer.recv().unwrap();
            }
            if n == 0 || n == 1 && !answer_while_stopped {
                return Vec::new();
            }
            vec![greeting("x/a", udp_nonce(request).expect("a request"))]
        });
        let mut agent = Agent::start();
        agent.ask(1, 500, vec![udp("127.0.0.1", port)]);
        was_asked.recv().unwrap();
        let asked = Instant::now();
        agent.stop();
        answer.send(()).unwrap();
        while asked.elapsed() < Duration::from_millis(800) {
            std::thread::sleep(Duration::from_millis(20));
        }
        agent.resume();
        let result = &agent.results(1)[0];
        assert_eq!(result.verdict, Allowed, "{result:?}, answered while stopped: {answer_while_stopped}");
    }
}

fn greeting(id: &str, nonce: &str) -> Vec<u8> {
    serde_json::to_vec(&Greeting { id: id.into(), client: "192.0.2.1:1".into(), nonce: nonce.into() })
        .unwrap()
}

fn another_identity_is_an_error(_: &Lab) {
    let _server = Server::start(&["--tcp", "80", "--udp", "80", "--identity", "y/b"]);
    let mut agent = Agent::start();
    for probe in [tcp("127.0.0.1", 80), udp("127.0.0.1", 80)] {
        let result = agent.one(2000, Probe { expect: vec!["x/a".into()], ..probe });
        assert_eq!((result.verdict, detail(&result)), (Error, "answered by y/b, not x/a"));
    }
}

fn peers_that_are_no_servers_prove_nothing(_: &Lab) {
    const NOT_OURS: &str = "answered by something that is no verdikt server";
    tcp_peer(1, |mut stream| {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        hold(stream);
    });
    tcp_peer(2, |mut stream| {
        stream.write_all(b"{\"id\": 7}\n").unwrap();
        hold(stream);
    });
    tcp_peer(3, |mut stream| {
        stream.write_all(&[b'{'; 5000]).unwrap();
        hold(stream);
    });
    tcp_peer(4, drop);
    tcp_peer(5, |mut stream| stream.write_all(b"{\"id\":\"x/a\",").unwrap());
    tcp_peer(6, hold);
    udp_peer(7, |_, _, _| vec![b"hello".to_vec()]);
    let mut agent = Agent::start();
    let probes = (1..=6).map(|port| tcp("127.0.0.1", port)).chain([udp("127.0.0.1", 7)]);
    let results = agent.probe(300, numbered(probes));
    assert!(results.iter().all(|result| result.verdict == Error), "{results:?}");
    let expected = [
        NOT_OURS,
        NOT_OURS,
        NOT_OURS,
        "the connection was closed without an answer",
        "the connection was closed without an answer",
        "connected, but no answer came on the connection",
        NOT_OURS,
    ];
    assert_eq!(results.iter().map(detail).collect::<Vec<_>>(), expected);
}

fn a_reset_after_the_handshake_rejects(_: &Lab) {
    tcp_peer(80, |stream| SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap());
    let result = Agent::start().one(2000, tcp("127.0.0.1", 80));
    assert_eq!((result.verdict, detail(&result)), (Rejected, "reset after connect (RST)"));
}

fn a_greeting_may_come_in_parts(_: &Lab) {
    tcp_peer(80, |mut stream| {
        let line = [greeting("x/a", ""), b"\n".to_vec()].concat();
        SockRef::from(&stream).set_tcp_nodelay(true).unwrap();
        for byte in line {
            stream.write_all(&[byte]).unwrap();
            std::thread::yield_now();
        }
        hold(stream);
    });
    let result = Agent::start().one(2000, tcp("127.0.0.1", 80));
    assert_eq!(result.verdict, Allowed, "{result:?}");
}

fn only_our_nonce_counts(_: &Lab) {
    udp_peer(80, |_, request, _| {
        let nonce = udp_nonce(request).expect("a request").to_owned();
        vec![greeting("evil/one", "0000000000000000"), b"{}".to_vec(), greeting("x/a", &nonce)]
    });
    udp_peer(81, |_, _, _| vec![greeting("x/a", "0123456789abcdef")]);
    let mut agent = Agent::start();
    let result = agent.one(2000, Probe { expect: vec!["x/a".into()], ..udp("127.0.0.1", 80) });
    assert_eq!(result.verdict, Allowed, "{result:?}");
    let result = agent.one(300, udp("127.0.0.1", 81));
    assert_eq!(
        (result.verdict, detail(&result)),
        (Error, "an answer came, but to another request (wrong nonce)")
    );
}

fn failures_on_this_host_are_errors(_: &Lab) {
    let mut agent = Agent::start();
    let from = |ip: &str, probe: Probe| Probe { from: Some(address(ip)), ..probe };
    let cases = [
        (tcp("192.0.2.1", 80), "no route from here"),
        (udp("192.0.2.1", 80), "no route from here"),
        (udp("2001:db8::1", 80), "no route from here"),
        (from("192.0.2.7", tcp("10.0.0.1", 80)), "no such source address"),
        (from("192.0.2.7", udp("10.0.0.1", 80)), "no such source address"),
        (from("::1", tcp("10.0.0.1", 80)), "different IP families"),
    ];
    for (probe, why) in cases {
        let result = agent.one(2000, probe);
        assert_eq!(result.verdict, Error, "{result:?}");
        assert!(detail(&result).contains(why), "{result:?}");
    }
    // A route of this host that prohibits, in contrast to one of a router.
    netlink::add_route(address("10.8.0.0"), 16, netlink::Route::Prohibit, None).unwrap();
    let result = agent.one(2000, tcp("10.8.0.1", 80));
    assert_eq!(result.verdict, Error, "{result:?}");
    assert!(detail(&result).starts_with("prohibited by a route or rule of this host"), "{result:?}");
}

fn a_filter_on_this_host_rejects_or_drops(_: &Lab) {
    netlink::drop_output().expect("nf_tables");
    let mut agent = Agent::start();
    for probe in [udp("10.0.0.1", 80), udp("fd00::1", 80)] {
        let result = agent.one(300, probe);
        assert_eq!((result.verdict, detail(&result)), (Rejected, "operation not permitted (local filter)"));
        assert_eq!(result.sockets, 2, "one socket alone proves nothing: {result:?}");
    }
    let result = agent.one(300, tcp("10.0.0.1", 80));
    assert_eq!((result.verdict, result.sockets), (Dropped, 2), "TCP sends again by itself: {result:?}");
}

/// A full table of connection tracking looks like a filter, too, and has room again a moment later.
fn one_refusal_by_a_filter_of_this_host_proves_nothing(_: &Lab) {
    let mut conf = tempfile::NamedTempFile::new().unwrap();
    conf.write_all(b"nameserver 10.9.1.1\n").unwrap();
    let _server = Server::start(&["--udp", "80"]);
    let mut agent = Agent::with_resolv_conf(conf.path());
    netlink::drop_output().expect("nf_tables");
    let work = Work::Hold { interval_us: 1_500_000, patience_ms: 200 };
    agent.begin(1, vec![Task { probe: udp("127.0.0.1", 80), work }]);
    let probes = [udp("127.0.0.1", 80), udp("10.9.1.1", 80), named("web.test", 4, 80), udp("192.0.2.1", 80)];
    agent.ask(1, 3000, numbered(probes));
    let Some(Reply::Results { results, .. }) = agent.hear() else { panic!("no results") };
    // The last of them has its end at once: every first socket has been refused.
    assert_eq!((results.len(), results[0].n, results[0].verdict), (1, 3, Error), "{results:?}");
    netlink::allow_output().expect("nf_tables");
    let mut results = Vec::new();
    while results.len() < 3 {
        match agent.hear() {
            Some(Reply::Results { results: more, .. }) => results.extend(more),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(agent.hear(), Some(Reply::Done { .. })));
    results.sort_by_key(|result| result.n);
    assert_eq!((results[0].verdict, results[0].sockets), (Allowed, 2), "{results:?}");
    for (result, why) in
        results[1..].iter().zip(["refused one socket, and the other one heard nothing", "failed once"])
    {
        assert_eq!(result.verdict, Error, "{result:?}");
        assert!(detail(result).contains(why), "{result:?}");
    }
    // The same of a held socket: its first question was one without an answer, and no refusal.
    let reports = agent.look_until(1, |reports| reports[0].runs.len() > 1);
    let runs: Vec<_> = reports[0].runs.iter().map(|run| run.verdict).collect();
    assert_eq!(runs, [Dropped, Allowed], "{reports:?}");
}

fn a_source_address_is_kept(_: &Lab) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    udp_peer(80, move |_, request, from| {
        log.lock().unwrap().push(from.ip());
        vec![greeting("x/a", udp_nonce(request).expect("a request"))]
    });
    let log = seen.clone();
    tcp_peer(80, move |mut stream| {
        log.lock().unwrap().push(stream.peer_addr().unwrap().ip());
        stream.write_all(&[greeting("x/a", ""), b"\n".to_vec()].concat()).unwrap();
        hold(stream);
    });
    let from = Some(address("10.0.0.22"));
    let probes = [tcp("10.0.0.2", 80), udp("10.0.0.2", 80)].map(|probe| Probe { from, ..probe });
    let results = Agent::start().probe(2000, numbered(probes));
    assert!(results.iter().all(|result| result.verdict == Allowed), "{results:?}");
    assert_eq!(*seen.lock().unwrap(), [address("10.0.0.22"); 2]);
}

fn a_source_that_was_rewritten_is_told(lab: &Lab) {
    let _server =
        lab.in_router(|| Ok(Server::start(&["--tcp", "80", "--udp", "80", "--http", "81"]))).unwrap();
    let web = HttpRequest { method: "GET".into(), path: "/".into(), host: "web".into() };
    let from = Some(address("10.0.0.22"));
    let all = [tcp("10.0.0.1", 80), udp("10.0.0.1", 80), Probe { http: Some(web), ..tcp("10.0.0.1", 81) }];
    let probes = numbered(all.map(|probe| Probe { from, ..probe }));
    let mut agent = Agent::start();
    let results = agent.probe(2000, probes.clone());
    assert!(results.iter().all(|r| r.verdict == Allowed && r.source.is_none()), "{results:?}");
    // Kernels without NAT: a server that says so will do.
    match netlink::masquerade() {
        Ok(()) => {
            for result in agent.probe(2000, probes) {
                assert_eq!(
                    (result.verdict, result.source),
                    (Allowed, Some(address("10.0.0.2"))),
                    "{result:?}"
                );
            }
        }
        Err(_) => {
            tcp_peer(80, |mut stream| {
                stream.write_all(&[greeting("x/a", ""), b"\n".to_vec()].concat()).unwrap();
                hold(stream);
            });
            let result = agent.one(2000, tcp("127.0.0.1", 80));
            assert_eq!((result.verdict, result.source), (Allowed, Some(address("192.0.2.1"))), "{result:?}");
        }
    }
}

fn sctp_is_served_or_explained(_: &Lab) {
    let server = Server::start(&["--sctp", "80", "--identity", "x/a"]);
    let result = Agent::start().one(2000, Probe { transport: Transport::Sctp, ..tcp("127.0.0.1", 80) });
    if server.ready.contains("sctp 80") {
        assert_eq!(result.verdict, Allowed, "{result:?}");
    } else {
        assert_eq!((result.verdict, detail(&result)), (Error, "no SCTP in this kernel (errno 93)"));
        let (_, said) = server.end();
        assert!(said.contains("warning") && said.contains("errno 93"), "{said}");
    }
}
