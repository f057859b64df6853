//! ICMP echo.

use std::{fs, time::Duration};

use verdikt_protocol::{
    Probe,
    ProbeVerdict::{Allowed, Dropped, Error, Rejected},
    Reply, Task, Work,
};

use crate::{
    Test,
    lab::{Lab, address},
    netlink,
    probe::{Agent, command, icmp, numbered, run, sample},
    tests,
};

pub(crate) const TESTS: &[Test] = tests![
    an_echo_is_allowed,
    silence_and_refusals_are_told_apart,
    without_permission_it_is_an_error_that_says_what_helps,
    pings_may_go_on,
    a_ping_by_hand,
];

/// Lets group 0 of the lab send echo requests.
fn permit() {
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").expect("a namespace of our own");
}

fn an_echo_is_allowed(_: &Lab) {
    permit();
    let from = Some(address("10.0.0.22"));
    let probes = [
        icmp("127.0.0.1"),
        icmp("::1"),
        icmp("10.0.0.1"),
        icmp("fd00::1"),
        Probe { from, ..icmp("10.0.0.1") },
        // An echo has no identity.
        Probe { expect: vec!["x/a".into()], ..icmp("10.0.0.1") },
    ];
    let mut agent = Agent::start();
    agent.reach(&probes);
    for result in agent.probe(2000, numbered(probes)) {
        assert_eq!((result.verdict, result.sockets), (Allowed, 1), "{result:?}");
        assert!(result.rtt_us > 0 && result.source.is_none(), "{result:?}");
    }
}

fn silence_and_refusals_are_told_apart(lab: &Lab) {
    permit();
    let mut agent = Agent::start();
    for to in ["10.9.1.1", "fd00:9:1::1"] {
        let result = agent.one(400, icmp(to));
        assert_eq!((result.verdict, result.sockets), (Dropped, 2), "{result:?}");
    }
    let cases = [
        ("10.9.2.1", Rejected, "ICMP admin prohibited from 10.0.0.1"),
        ("fd00:9:2::1", Rejected, "ICMP admin prohibited from fd00::1"),
        ("10.9.3.1", Rejected, "ICMP host unreachable from 10.0.0.1"),
        ("192.0.2.1", Error, "no route from here"),
    ];
    for (to, verdict, why) in cases {
        let result = agent.one(10_000, icmp(to));
        assert_eq!(result.verdict, verdict, "{result:?}");
        assert!(result.detail.as_ref().is_some_and(|said| said.starts_with(why)), "{result:?}");
    }
    lab.in_router(netlink::drop_output).unwrap();
    assert_eq!(agent.one(300, icmp("10.0.0.1")).verdict, Dropped);
}

fn without_permission_it_is_an_error_that_says_what_helps(_: &Lab) {
    // A new namespace permits nobody.
    let mut agent = Agent::start();
    let result = agent.one(300, icmp("127.0.0.1"));
    assert_eq!(result.verdict, Error);
    assert!(result.detail.is_some_and(|why| why.contains("net.ipv4.ping_group_range")));
    for possible in [false, true] {
        agent.say(r#"{"op":"hello","version":2}"#);
        let Some(Reply::Hello { icmp, .. }) = agent.hear() else { panic!("no hello") };
        assert_eq!(icmp.is_ok(), possible, "{icmp:?}");
        permit();
    }
}

fn pings_may_go_on(lab: &Lab) {
    permit();
    let mut agent = Agent::start();
    agent.reach(&[icmp("10.0.0.1"), icmp("fd00::1")]);
    let hold = Work::Hold { interval_us: 5000, patience_ms: 100 };
    let held = |n, to| Task { probe: Probe { n, ..icmp(to) }, work: hold };
    agent.begin(1, vec![sample(icmp("10.0.0.1"), 5000, 100), held(1, "10.0.0.1"), held(2, "fd00::1")]);
    agent.look_until(1, |reports| reports.iter().all(|r| r.runs.first().is_some_and(|run| run.count > 10)));
    lab.in_router(netlink::drop_output).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    for report in agent.finish(1) {
        let verdicts: Vec<_> = report.runs.iter().map(|run| run.verdict).collect();
        assert_eq!(verdicts, [Allowed, Dropped], "{report:?}");
        assert_eq!(report.source_port, None);
    }
}

fn a_ping_by_hand(_: &Lab) {
    permit();
    for to in ["127.0.0.1", "::1", "[fd00::1]"] {
        let (code, said, _) = run(command(&["connect", to, "--protocol", "icmp"]));
        assert!(code == 0 && said.starts_with("allowed: echoed in "), "{said}");
    }
    let (code, _, said) = run(command(&["connect", "10.0.0.1:80", "--protocol", "icmp"]));
    assert!(code == 2 && said.contains("there is no port"), "{said}");
}
