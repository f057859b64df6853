//! DNS: as what is probed, and as the way to a name's address.

use std::io::Write;

use tempfile::NamedTempFile;
use verdikt_protocol::{
    Probe, ProbeResult,
    ProbeVerdict::{Allowed, Dropped, Error, Rejected},
    Transport,
};

use crate::{
    Test,
    lab::Lab,
    peers::{hold, name_server, tcp_peer},
    probe::{Agent, Server, named, numbered, question, tcp, udp},
    tests,
};

pub(crate) const TESTS: &[Test] = tests![
    an_answer_of_any_kind_is_allowed,
    no_answer_is_as_for_any_probe,
    half_an_answer_proves_nothing,
    names_are_resolved_by_the_pods_servers,
    names_that_do_not_resolve_are_errors,
    a_second_server_is_asked,
    without_servers_there_are_no_names,
];

const SERVER: &str = "127.0.0.53";

fn over_tcp(probe: Probe) -> Probe {
    Probe { transport: Transport::Tcp, ..probe }
}

fn resolv_conf(servers: &[&str]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    for server in servers {
        writeln!(file, "nameserver {server}").unwrap();
    }
    file
}

fn brief(result: &ProbeResult) -> (verdikt_protocol::ProbeVerdict, &str) {
    (result.verdict, result.detail.as_deref().unwrap_or_default())
}

fn an_answer_of_any_kind_is_allowed(_: &Lab) {
    name_server(SERVER);
    let mut agent = Agent::start();
    let cases = [
        ("web.test.", ""),
        ("big.test", ""),
        ("empty.test", ""),
        ("missing.test", "A: Non-Existent Domain, AAAA: Non-Existent Domain"),
        ("broken.test", "A: Server Failure, AAAA: Server Failure"),
    ];
    for (name, detail) in cases {
        for probe in [question(SERVER, name), over_tcp(question(SERVER, name))] {
            let result = agent.one(2000, probe);
            assert_eq!(brief(&result), (Allowed, detail), "{name}");
            assert!(result.rtt_us > 0);
        }
    }
    for bad in ["", "a..b", &"x".repeat(70)] {
        let result = agent.one(2000, question(SERVER, bad));
        assert_eq!(result.verdict, Error, "{bad:?}: {result:?}");
        assert!(brief(&result).1.contains("no domain name"), "{result:?}");
    }
}

fn no_answer_is_as_for_any_probe(_: &Lab) {
    name_server(SERVER);
    tcp_peer(54, |stream| {
        std::thread::spawn(|| hold(stream));
    });
    let mut agent = Agent::start();
    let silent = question(SERVER, "silent.test");
    let probes = [
        silent.clone(),
        question("10.9.1.1", "web.test"),
        over_tcp(question("10.9.1.1", "web.test")),
        question("127.0.0.1", "web.test"),
        over_tcp(question("127.0.0.1", "web.test")),
        over_tcp(Probe { port: 54, ..silent }),
    ];
    let results = agent.probe(400, numbered(probes));
    let expected = [
        (Dropped, ""),
        (Dropped, ""),
        (Dropped, ""),
        (Rejected, "ICMP port unreachable from 127.0.0.1"),
        (Rejected, "connection refused (RST)"),
        (Error, "connected, but no answer came on the connection"),
    ];
    assert_eq!(results.iter().map(brief).collect::<Vec<_>>(), expected);
}

fn half_an_answer_proves_nothing(_: &Lab) {
    name_server(SERVER);
    let probes = [question(SERVER, "half.test"), question(SERVER, "spoofed.test")];
    let results = Agent::start().probe(300, numbered(probes));
    let expected = [
        (Error, "the question for AAAA was not answered, another one was"),
        (Error, "an answer came, but not to this question"),
    ];
    assert_eq!(results.iter().map(brief).collect::<Vec<_>>(), expected);
}

fn names_are_resolved_by_the_pods_servers(_: &Lab) {
    name_server(SERVER);
    let _server = Server::start(&["--tcp", "80", "--udp", "80", "--identity", "x/a"]);
    let conf = resolv_conf(&[SERVER]);
    let mut agent = Agent::with_resolv_conf(conf.path());
    let names =
        ["web.test", "big.test."].into_iter().flat_map(|name| [named(name, 4, 80), named(name, 6, 80)]);
    let over_udp = Probe { transport: Transport::Udp, ..named("web.test", 6, 80) };
    let probes = names.chain([over_udp]).map(|probe| Probe { expect: vec!["x/a".into()], ..probe });
    for result in agent.probe(2000, numbered(probes)) {
        assert_eq!((brief(&result), result.sockets), ((Allowed, ""), 1));
    }
    let result = agent.one(2000, named("web.test", 4, 81));
    assert_eq!(brief(&result), (Rejected, "connection refused (RST)"));
}

fn names_that_do_not_resolve_are_errors(_: &Lab) {
    name_server(SERVER);
    let conf = resolv_conf(&[SERVER]);
    let mut agent = Agent::with_resolv_conf(conf.path());
    let cases = [
        ("missing.test", "resolution: 127.0.0.53 says that there is no such name (NXDOMAIN)"),
        ("empty.test", "resolution: 127.0.0.53 knows no A record of the name"),
        ("broken.test", "resolution: DNS query to 127.0.0.53 answered with: Server Failure"),
        ("silent.test", "resolution: DNS query to 127.0.0.53 unanswered"),
        ("spoofed.test", "resolution: DNS query to 127.0.0.53 unanswered"),
    ];
    for (name, detail) in cases {
        assert_eq!(brief(&agent.one(400, named(name, 4, 80))), (Error, detail));
    }
    let result = agent.one(400, named("not a name", 4, 80));
    assert_eq!(result.verdict, Error, "{result:?}");
    let result = agent.one(400, named("web.test", 5, 80));
    assert_eq!(brief(&result).0, Error, "{result:?}");
    let denied =
        [("127.0.0.1", "rejected: ICMP port unreachable from 127.0.0.1"), ("10.9.1.1", "unanswered")];
    for (server, how) in denied {
        let conf = resolv_conf(&[server]);
        let result = Agent::with_resolv_conf(conf.path()).one(400, named("web.test", 4, 80));
        assert_eq!(brief(&result), (Error, &*format!("resolution: DNS query to {server} {how}")));
    }
}

fn a_second_server_is_asked(_: &Lab) {
    name_server(SERVER);
    let _server = Server::start(&["--tcp", "80"]);
    for first in ["127.0.0.1", "10.9.1.1"] {
        let conf = resolv_conf(&[first, SERVER]);
        let result = Agent::with_resolv_conf(conf.path()).one(900, named("web.test", 4, 80));
        assert_eq!(brief(&result), (Allowed, ""), "{first}");
    }
}

fn without_servers_there_are_no_names(_: &Lab) {
    let _server = Server::start(&["--tcp", "80", "--udp", "80"]);
    let conf = resolv_conf(&[]);
    let mut agent = Agent::with_resolv_conf(conf.path());
    assert_eq!(
        brief(&agent.one(400, named("web.test", 4, 80))),
        (Error, "resolution: resolv.conf names no server")
    );
    let mut agent = Agent::with_resolv_conf("/nowhere/resolv.conf".as_ref());
    let result = agent.one(400, named("web.test", 4, 80));
    assert!(brief(&result).1.starts_with("resolution: /nowhere/resolv.conf cannot be read"), "{result:?}");
    let others = agent.probe(2000, numbered([tcp("127.0.0.1", 80), udp("::1", 80)]));
    assert!(others.iter().all(|result| result.verdict == Allowed), "{others:?}");
}
