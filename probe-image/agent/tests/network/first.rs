//! What a pod tries from its first instant on, and what its servers do when they are asked to.

use std::{
    io::Read,
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use verdikt_protocol::{
    FIRST_GROUP, IDENTITY_VARIABLE,
    ProbeVerdict::{Allowed, Dropped, Error, Rejected},
    Reply, Request,
};

use crate::{
    Test,
    lab::Lab,
    netlink,
    probe::{Agent, Server, command, now_us, run, tcp, udp},
    tests,
};

pub(crate) const TESTS: &[Test] = tests![
    attempts_begin_with_the_process,
    a_change_is_seen_from_the_first_instant_on,
    without_first_or_servers_there_is_nothing_to_tell,
    servers_end_when_they_are_asked_to,
    other_agents_do_not_reach_them,
    a_server_may_linger,
    pid_1_ends_at_once,
    targets_are_explained,
];

fn as_pod(identity: &str, args: &[&str]) -> Command {
    let mut command = command(args);
    command.env(IDENTITY_VARIABLE, identity);
    command
}

fn attempts_begin_with_the_process(lab: &Lab) {
    let _server =
        lab.in_router(|| Ok(Server::start(&["--tcp", "80", "--udp", "80", "--identity", "y/b"]))).unwrap();
    Agent::start().reach(&[tcp("10.0.0.1", 80), tcp("fd00::1", 80)]);
    let targets = "10.0.0.1:80/tcp,y/b=[fd00::1]:80/udp,10.9.1.1:80/tcp,10.0.0.1:81/tcp";
    let before = now_us();
    let pod = as_pod("x/a", &["serve", "--tcp", "80", "--first", targets, "--first", "x/c=10.0.0.1:80/tcp"]);
    let _pod = Server::spawn(pod);
    let ready = now_us();
    let mut agent = Agent::spawn(as_pod("x/a", &["agent"]));
    let reports = agent.look_until(FIRST_GROUP, |reports| {
        reports.iter().all(|report| report.runs.iter().map(|run| run.count).sum::<u32>() > 50)
    });
    let verdicts: Vec<_> = reports.iter().map(|report| report.runs[0].verdict).collect();
    assert_eq!(verdicts, [Allowed, Allowed, Dropped, Rejected, Error], "{reports:?}");
    for report in &reports {
        assert!(report.began_us > before && report.began_us < ready, "{before} {ready} {report:?}");
        let first = report.runs[0].first_us;
        assert!(
            first >= report.began_us && first < ready,
            "the first attempt is before ports are bound: {report:?}"
        );
        assert_eq!(report.began_us, reports[0].began_us);
    }
    assert_eq!(agent.finish(FIRST_GROUP).len(), 5);
    agent.request(&Request::Look { group: FIRST_GROUP });
    assert!(agent.report(FIRST_GROUP).is_err(), "it has ended");
    // The servers go on.
    assert_eq!(agent.one(2000, tcp("127.0.0.1", 80)).verdict, Allowed);
}

fn a_change_is_seen_from_the_first_instant_on(lab: &Lab) {
    let _server = lab.in_router(|| Ok(Server::start(&["--udp", "80"]))).unwrap();
    Agent::start().reach(&[udp("10.0.0.1", 80)]);
    lab.in_router(netlink::drop_output).unwrap();
    let _pod = Server::spawn(as_pod("x/a", &["serve", "--first", "10.0.0.1:80/udp"]));
    std::thread::sleep(Duration::from_millis(300));
    let opening = now_us();
    lab.in_router(netlink::allow_output).unwrap();
    let open = now_us();
    let mut agent = Agent::spawn(as_pod("x/a", &["agent"]));
    let reports = agent.look_until(FIRST_GROUP, |reports| reports[0].runs.len() > 1);
    let runs = &reports[0].runs;
    assert_eq!((runs[0].verdict, runs[1].verdict), (Dropped, Allowed), "{runs:?}");
    assert!(
        runs[1].first_us + 5000 > opening && runs[1].first_us < open + 10_000,
        "{opening} {open} {runs:?}"
    );
}

fn without_first_or_servers_there_is_nothing_to_tell(_: &Lab) {
    let mut agent = Agent::spawn(as_pod("x/a", &["agent"]));
    let none = "no servers of x/a run in this network namespace";
    agent.request(&Request::Look { group: FIRST_GROUP });
    assert_eq!(agent.report(FIRST_GROUP), Err(none.into()));
    agent.request(&Request::Finish);
    assert_eq!(agent.hear(), Some(Reply::Finishing { done: Err(none.into()) }));
    let _pod = Server::spawn(as_pod("x/a", &["serve"]));
    agent.request(&Request::End { group: FIRST_GROUP });
    assert_eq!(agent.report(FIRST_GROUP), Err("the servers of this pod were started without --first".into()));
}

fn servers_end_when_they_are_asked_to(_: &Lab) {
    let mut pod = Server::spawn(as_pod("x/a", &["serve", "--tcp", "80", "--linger", "60s"]));
    let mut agent = Agent::spawn(as_pod("x/a", &["agent"]));
    agent.request(&Request::Finish);
    agent.request(&Request::Look { group: FIRST_GROUP });
    // The end of stdin does not take the answers away.
    agent.stdin = None;
    assert_eq!(agent.hear(), Some(Reply::Finishing { done: Ok(()) }));
    assert!(agent.report(FIRST_GROUP).is_err());
    assert_eq!(agent.end(), Some(0));
    assert_eq!(pod.child.wait().unwrap().code(), Some(0));
}

fn other_agents_do_not_reach_them(_: &Lab) {
    // Two pods in the network namespace of one node.
    let mut one = Server::spawn(as_pod("x/a", &["serve"]));
    let mut other = Server::spawn(as_pod("x/b", &["serve"]));
    let mut agent = Agent::spawn(as_pod("x/b", &["agent"]));
    agent.request(&Request::Finish);
    assert_eq!(agent.hear(), Some(Reply::Finishing { done: Ok(()) }));
    assert_eq!(other.child.wait().unwrap().code(), Some(0));
    assert!(one.child.try_wait().unwrap().is_none(), "it goes on");
    // A second server with the same identity says that it cannot be asked.
    let (_, said) = Server::spawn(as_pod("x/a", &["serve"])).end();
    assert!(said.contains("warning: other servers of x/a run in this network namespace"), "{said}");
}

fn a_server_may_linger(_: &Lab) {
    let mut pod = Server::start(&["--tcp", "80", "--linger", "700ms"]);
    let pid = Pid::from_raw(pod.child.id() as i32);
    let start = Instant::now();
    kill(pid, Signal::SIGTERM).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let mut stream = TcpStream::connect(("127.0.0.1", 80)).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 1, "it still serves");
    // Another one neither hastens nor delays the end.
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(pod.child.wait().unwrap().code(), Some(0));
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(700) && took < Duration::from_secs(5), "{took:?}");
}

/// As in a container: the kernel takes no signal to a PID 1 that has no handler for it.
fn pid_1_ends_at_once(_: &Lab) {
    for args in [&[][..], &["--tcp", "80"], &["--linger", "1ms"], &["--first", "10.9.1.1:80/tcp"]] {
        // A thread for each: what is unshared is for its children, and with its PID 1 a namespace has ended.
        let inside = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWPID).unwrap();
            let pod = Server::start(args);
            let start = Instant::now();
            assert_eq!(pod.end(), (Some(0), String::new()), "{args:?}");
            assert!(start.elapsed() < Duration::from_secs(2), "{args:?}");
        });
        inside.join().unwrap();
    }
}

fn targets_are_explained(_: &Lab) {
    let (code, _, said) = run(command(&["serve", "--first", "10.0.0.1:80"]));
    assert!(code == 2 && said.contains("--first: `10.0.0.1:80` is no target"), "{said}");
    let (code, _, said) = run(command(&["serve", "--linger", "20"]));
    assert!(code == 2 && said.contains("needs a unit"), "{said}");
}
