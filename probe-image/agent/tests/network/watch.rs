//! Tasks that go on.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::mpsc,
    time::Duration,
};

use socket2::SockRef;
use verdikt_protocol::{
    Greeting, MAX_TASKS, Probe, ProbeVerdict,
    ProbeVerdict::{Allowed, Dropped, Error, Rejected},
    Reply, Task, TaskReport, Work,
};

use crate::{
    Test,
    lab::Lab,
    netlink,
    peers::tcp_peer,
    probe::{Agent, Server, http, now_us, sample, tcp, udp},
    tests,
};

pub(crate) const TESTS: &[Test] = tests![
    a_sample_sees_a_drop_begin_and_end,
    a_sample_tells_all_ends_apart,
    a_sample_keeps_its_pace,
    time_in_which_the_agent_did_not_run_is_no_drop,
    a_sample_has_as_many_sockets_as_there_are,
    a_connection_is_held,
    a_held_connection_ends_with_a_reset,
    a_held_connection_may_be_cut_off_for_a_while,
    eight_mebibytes_there_and_back,
    a_transfer_stalls_or_fails,
    groups_are_checked,
];

const MILLISECOND: u64 = 1000;

fn hold(probe: Probe, interval_us: u32, patience_ms: u32) -> Task {
    Task { probe, work: Work::Hold { interval_us, patience_ms } }
}

fn transfer(probe: Probe, bytes: u64, patience_ms: u32) -> Task {
    Task { probe, work: Work::Transfer { bytes, patience_ms } }
}

fn n(n: u32, probe: Probe) -> Probe {
    Probe { n, ..probe }
}

fn verdicts(report: &TaskReport) -> Vec<ProbeVerdict> {
    report.runs.iter().map(|run| run.verdict).collect()
}

fn count(report: &TaskReport, verdict: ProbeVerdict) -> u32 {
    report.runs.iter().filter(|run| run.verdict == verdict).map(|run| run.count).sum()
}

/// All reports have so many attempts with this end.
fn all(verdict: ProbeVerdict, least: u32) -> impl Fn(&[TaskReport]) -> bool {
    move |reports| reports.iter().all(|report| count(report, verdict) >= least)
}

fn a_sample_sees_a_drop_begin_and_end(lab: &Lab) {
    let _server =
        lab.in_router(|| Ok(Server::start(&["--tcp", "80", "--udp", "80", "--http", "81"]))).unwrap();
    let mut agent = Agent::start();
    let probes = [tcp("10.0.0.1", 80), udp("10.0.0.1", 80), tcp("fd00::1", 80), http("10.0.0.1", 81, "/")];
    agent.reach(&probes);
    let tasks = (0..).zip(probes).map(|(at, probe)| sample(n(at, probe), 2000, 150)).collect();
    agent.begin(7, tasks);
    agent.look_until(7, all(Allowed, 100));
    let before = now_us();
    lab.in_router(netlink::drop_output).unwrap();
    let closed = now_us();
    std::thread::sleep(Duration::from_millis(400));
    let opening = now_us();
    lab.in_router(netlink::allow_output).unwrap();
    let open = now_us();
    let reports = agent.look_until(7, |reports| {
        reports.iter().all(|r| r.runs.last().is_some_and(|run| run.verdict == Allowed && run.last_us > open))
    });
    for report in reports {
        let silent: Vec<_> = report.runs.iter().filter(|run| run.verdict == Dropped).collect();
        let (first, last) = (silent[0].first_us, silent[silent.len() - 1].last_us);
        // An attempt that is under way when the drop begins may still be cut off.
        assert!(first + 20 * MILLISECOND > before, "{report:?}");
        // None that begins after it is allowed, however late the next one is on a busy machine.
        assert!(report.runs[0].verdict == Allowed && report.runs[0].last_us < closed, "{report:?}");
        // And one that begins before the end finds it open when its packets are sent again.
        assert!(last < open && last + 250 * MILLISECOND > opening, "{report:?}");
        // Nothing but a connection that stood when the drop began.
        assert!(count(&report, Error) <= 2 && count(&report, Rejected) == 0, "{report:?}");
        assert!(report.runs[0].first_us >= report.began_us, "{report:?}");
    }
    agent.request(&verdikt_protocol::Request::End { group: 7 });
    assert!(agent.report(7).is_ok());
    agent.request(&verdikt_protocol::Request::Look { group: 7 });
    assert_eq!(agent.report(7), Err("nothing of this kind is watched".into()));
}

fn a_sample_tells_all_ends_apart(_: &Lab) {
    let _server = Server::start(&["--tcp", "80", "--udp", "80", "--identity", "x/a"]);
    let other = |probe| Probe { expect: vec!["y/b".into()], ..probe };
    let cases = [
        (udp("127.0.0.1", 80), Allowed, ""),
        (tcp("127.0.0.1", 81), Rejected, "connection refused (RST)"),
        (udp("127.0.0.1", 81), Rejected, "ICMP port unreachable from 127.0.0.1"),
        (tcp("10.9.1.1", 80), Dropped, ""),
        (other(tcp("127.0.0.1", 80)), Error, "answered by x/a, not y/b"),
        (other(udp("127.0.0.1", 80)), Error, "answered by x/a, not y/b"),
    ];
    let mut agent = Agent::start();
    let tasks =
        (0..).zip(&cases).map(|(at, (probe, ..))| sample(n(at, probe.clone()), 10_000, 1000)).collect();
    agent.begin(1, tasks);
    agent.look_until(1, |reports| reports.iter().all(|r| r.runs.first().is_some_and(|run| run.count >= 5)));
    for (report, (probe, verdict, detail)) in agent.finish(1).iter().zip(cases) {
        assert_eq!(verdicts(report), [verdict], "{probe:?}: {report:?}");
        assert_eq!(report.runs[0].detail.as_deref().unwrap_or_default(), detail);
    }
}

fn a_sample_keeps_its_pace(_: &Lab) {
    let mut agent = Agent::start();
    let start = now_us();
    agent
        .begin(1, vec![sample(udp("127.0.0.1", 9), 1000, 200), sample(n(1, tcp("10.9.1.1", 80)), 1000, 200)]);
    std::thread::sleep(Duration::from_millis(800));
    let reports = agent.finish(1);
    let ended = now_us();
    for report in reports {
        let run = &report.runs[0];
        let expected = (run.last_us - run.first_us) / MILLISECOND + 1;
        assert!(u64::from(run.count) <= expected + 1, "{report:?}");
        // Other tests share the machine, and what it misses is not made up for.
        assert!(u64::from(run.count) >= expected / 5, "{report:?}");
        assert!(run.first_us >= start && run.last_us <= ended, "{report:?}");
    }
}

fn time_in_which_the_agent_did_not_run_is_no_drop(_: &Lab) {
    let _server = Server::start(&["--tcp", "80", "--udp", "80"]);
    let mut agent = Agent::start();
    let held = hold(n(2, udp("127.0.0.1", 80)), 2000, 300);
    let held_tcp = hold(n(3, tcp("127.0.0.1", 80)), 2000, 300);
    let tasks = vec![
        sample(udp("127.0.0.1", 80), 2000, 300),
        sample(n(1, tcp("127.0.0.1", 80)), 2000, 300),
        held,
        held_tcp,
    ];
    agent.begin(1, tasks);
    agent.look_until(1, all(Allowed, 20));
    for _ in 0..2 {
        agent.stop();
        std::thread::sleep(Duration::from_millis(600));
        agent.resume();
        std::thread::sleep(Duration::from_millis(20));
    }
    let seen = now_us();
    let reports = agent.look_until(1, |reports| {
        reports.iter().all(|report| report.runs.last().is_some_and(|run| run.last_us > seen))
    });
    for report in reports {
        assert_eq!(verdicts(&report), [Allowed], "{report:?}");
    }
}

fn a_sample_has_as_many_sockets_as_there_are(_: &Lab) {
    let mut limited = std::process::Command::new("/bin/sh");
    limited.args(["-c", &format!("ulimit -n 80 && exec {} agent", env!("CARGO_BIN_EXE_verdikt-probe"))]);
    let mut agent = Agent::spawn(limited);
    agent.begin(1, vec![sample(tcp("10.9.1.1", 80), 1000, 200)]);
    let reports =
        agent.look_until(1, |reports| count(&reports[0], Error) > 20 && count(&reports[0], Dropped) > 7);
    let error = reports[0].runs.iter().find(|run| run.verdict == Error).unwrap();
    assert!(error.detail.as_ref().is_some_and(|why| why.starts_with("out of descriptors")), "{error:?}");
}

fn a_connection_is_held(lab: &Lab) {
    let _server = lab.in_router(|| Ok(Server::start(&["--tcp", "80", "--udp", "80"]))).unwrap();
    let mut agent = Agent::start();
    let probes = [tcp("10.0.0.1", 80), udp("10.0.0.1", 80), tcp("fd00::1", 80), udp("fd00::1", 80)];
    agent.reach(&probes);
    agent.begin(1, (0..).zip(probes).map(|(at, probe)| hold(n(at, probe), 2000, 500)).collect());
    agent.look_until(1, all(Allowed, 100));
    for report in agent.finish(1) {
        assert_eq!(verdicts(&report), [Allowed], "{report:?}");
        assert!(report.source_port.is_some_and(|port| port > 1024), "{report:?}");
    }
    let other = |probe| Probe { expect: vec!["y/b".into()], ..probe };
    let tasks = vec![
        hold(n(0, tcp("10.0.0.1", 81)), 2000, 100),
        hold(n(1, tcp("10.9.1.1", 80)), 2000, 50),
        hold(n(2, udp("10.9.2.1", 80)), 2000, 50),
        hold(n(3, other(tcp("10.0.0.1", 80))), 2000, 500),
        hold(n(4, other(udp("10.0.0.1", 80))), 2000, 500),
    ];
    agent.begin(2, tasks);
    let reports = agent.look_until(2, |reports| reports.iter().all(|report| !report.runs.is_empty()));
    // Of the router's ICMP errors the kernel sends five, and then one a second.
    let firsts: Vec<_> = reports.iter().map(|report| report.runs[0].verdict).collect();
    assert_eq!(firsts, [Rejected, Dropped, Rejected, Error, Error], "{reports:?}");
}

/// Greets, and echoes lines until it is told to stop.
fn echo(mut stream: TcpStream, mut wanted: impl FnMut(&str) -> bool) -> TcpStream {
    let greeting = Greeting { id: "x/a".into(), client: "192.0.2.1:1".into(), nonce: String::new() };
    stream.write_all((serde_json::to_string(&greeting).unwrap() + "\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|count| count > 0) && wanted(&line) {
        stream.write_all(line.as_bytes()).unwrap();
        line.clear();
    }
    stream
}

fn a_held_connection_ends_with_a_reset(_: &Lab) {
    let mut lines = 0;
    let answers = move |_: &str| {
        lines += 1;
        lines < 20
    };
    tcp_peer(80, move |stream| {
        SockRef::from(&echo(stream, answers)).set_linger(Some(Duration::ZERO)).unwrap();
    });
    tcp_peer(81, move |stream| drop(echo(stream, answers)));
    tcp_peer(82, |mut stream| stream.write_all(b"{\"id\":\"x/a\",\"client\":\"\"}\nnonsense\n").unwrap());
    let mut agent = Agent::start();
    let tasks = (0..3).map(|at| hold(n(at, tcp("127.0.0.1", 80 + at as u16)), 1000, 2000)).collect();
    agent.begin(1, tasks);
    let ended = |report: &TaskReport| report.runs.iter().any(|run| run.verdict != Allowed);
    let reports = agent.look_until(1, |reports| reports.iter().all(ended));
    assert_eq!(verdicts(&reports[0]), [Allowed, Rejected], "{reports:?}");
    // The greeting and 19 lines.
    assert_eq!(reports[0].runs[0].count, 20, "{reports:?}");
    assert_eq!(reports[0].runs[1].detail.as_deref(), Some("reset after connect (RST)"));
    assert!(reports[0].source_port.is_some());
    assert_eq!(verdicts(&reports[1]), [Allowed, Rejected], "{:?}", reports[1]);
    assert_eq!(verdicts(&reports[2]), [Allowed, Error], "{:?}", reports[2]);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(agent.finish(1), reports, "nothing more comes");
}

fn a_held_connection_may_be_cut_off_for_a_while(lab: &Lab) {
    let _server = lab.in_router(|| Ok(Server::start(&["--tcp", "80", "--udp", "80"]))).unwrap();
    let mut agent = Agent::start();
    agent.reach(&[tcp("10.0.0.1", 80)]);
    agent.begin(1, vec![hold(tcp("10.0.0.1", 80), 5000, 100), hold(n(1, udp("10.0.0.1", 80)), 5000, 100)]);
    agent.look_until(1, all(Allowed, 40));
    let before = now_us();
    lab.in_router(netlink::drop_output).unwrap();
    let closed = now_us();
    // Longer than 128 questions, the most that may be open on a connection.
    std::thread::sleep(Duration::from_millis(900));
    for report in agent.look(1) {
        assert_eq!(verdicts(&report), [Allowed, Dropped], "{report:?}");
        let first = report.runs[1].first_us;
        assert!(first + 20 * MILLISECOND > before && first < closed + 20 * MILLISECOND, "{report:?}");
        assert!(report.runs[1].count <= 180, "{report:?}");
    }
    let opening = now_us();
    lab.in_router(netlink::allow_output).unwrap();
    let reports = agent.look_until(1, |reports| {
        reports
            .iter()
            .all(|r| r.runs.last().is_some_and(|run| run.verdict == Allowed && run.last_us > opening))
    });
    for report in reports {
        // What TCP sends again comes in pieces: around the end, answers in time and late ones alternate.
        let (runs, verdicts) = (&report.runs, verdicts(&report));
        assert_eq!(verdicts[..2], [Allowed, Dropped], "{report:?}");
        assert!(verdicts.iter().all(|verdict| matches!(verdict, Allowed | Dropped)), "{report:?}");
        assert!(runs[1].last_us + 120 * MILLISECOND > opening || report.n == 0, "{report:?}");
        assert!(runs[2].first_us + 400 * MILLISECOND > opening, "{report:?}");
    }
}

fn eight_mebibytes_there_and_back(lab: &Lab) {
    const BYTES: u64 = 8 << 20;
    let _server = lab.in_router(|| Ok(Server::start(&["--tcp", "80", "--identity", "x/a"]))).unwrap();
    let mut agent = Agent::start();
    let expect = |id: &str, probe: Probe| Probe { expect: vec![id.into()], ..probe };
    let sizes = [1, 2, 4095, 4096, 4097, 65_537, BYTES];
    let mut tasks: Vec<Task> = (0..)
        .zip(sizes)
        .map(|(at, bytes)| transfer(n(at, expect("x/a", tcp("10.0.0.1", 80))), bytes, 2000))
        .collect();
    tasks.push(transfer(n(7, expect("y/b", tcp("fd00::1", 80))), BYTES, 2000));
    agent.begin(1, tasks);
    let mut reports = agent.look_until(1, |reports| reports.iter().all(|report| !report.runs.is_empty()));
    let other = reports.pop().unwrap();
    for (report, bytes) in reports.iter().zip(sizes) {
        assert_eq!((verdicts(report), report.bytes, report.runs[0].count), (vec![Allowed], bytes, 1));
    }
    assert_eq!((verdicts(&other), other.bytes), (vec![Error], 0));
    assert_eq!(other.runs[0].detail.as_deref(), Some("answered by x/a, not y/b"));
}

fn a_transfer_stalls_or_fails(lab: &Lab) {
    let _server = lab.in_router(|| Ok(Server::start(&["--tcp", "80"]))).unwrap();
    tcp_peer(80, |stream| drop(echo(stream, |_| false)));
    tcp_peer(81, |stream| {
        let mut stream = echo(stream, |_| false);
        let _ = stream.write_all(b"something else\n");
        while stream.read(&mut [0; 1 << 16]).is_ok_and(|count| count > 0) {}
    });
    let (started, has_started) = mpsc::channel();
    tcp_peer(82, move |stream| {
        let mut stream = echo(stream, |_| {
            started.send(()).unwrap();
            false
        });
        while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
    });
    let mut agent = Agent::start();
    let targets = [tcp("10.9.1.1", 80), tcp("10.0.0.1", 81), tcp("127.0.0.1", 80), tcp("127.0.0.1", 81)];
    let mut tasks: Vec<Task> =
        (0..).zip(targets).map(|(at, probe)| transfer(n(at, probe), 1 << 20, 300)).collect();
    tasks.push(transfer(n(4, tcp("127.0.0.1", 82)), 1 << 20, 300));
    agent.begin(1, tasks);
    has_started.recv().unwrap();
    let reports = agent.look_until(1, |reports| reports.iter().all(|report| !report.runs.is_empty()));
    let firsts: Vec<_> = reports.iter().map(|report| report.runs[0].verdict).collect();
    assert_eq!(firsts[..2], [Dropped, Rejected], "{reports:?}");
    // Closed with bytes unread: the kernel resets.
    assert!(matches!(firsts[2], Error | Rejected), "{reports:?}");
    assert_eq!(firsts[3..], [Error, Dropped], "{reports:?}");
    assert!(reports[4].runs[0].detail.as_ref().is_some_and(|why| why.starts_with("stalled")), "{reports:?}");
}

fn groups_are_checked(_: &Lab) {
    let mut agent = Agent::start();
    let one = || vec![sample(udp("127.0.0.1", 9), 1000, 100)];
    let many = (0..=MAX_TASKS as u32).map(|at| sample(n(at, udp("127.0.0.1", 9)), 1000, 100)).collect();
    agent.begin(1, one());
    for (group, tasks, why) in [
        (0, one(), "group 0 is that of the pod's servers"),
        (1, one(), "these connections are watched already"),
        (2, many, "at most 256"),
        (2, vec![transfer(udp("127.0.0.1", 9), 1, 100)], "over TCP"),
    ] {
        agent.begin(group, tasks);
        match agent.hear() {
            Some(Reply::Refused { why: said }) => assert!(said.contains(why), "{said}"),
            other => panic!("{other:?}"),
        }
    }
    agent.request(&verdikt_protocol::Request::Look { group: 2 });
    assert!(agent.report(2).is_err(), "nothing of it was begun");
    // Tasks do not keep a session alive.
    assert_eq!(agent.end(), Some(0));
}
