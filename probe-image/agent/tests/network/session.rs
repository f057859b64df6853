//! Sessions of the agent.

use std::{
    collections::HashMap,
    fs::File,
    io::{Seek, Write},
    time::Instant,
};

use verdikt_protocol::{
    MAX_BATCH,
    ProbeVerdict::{Allowed, Dropped},
    Reply, Request, Serving, VERSION,
};

use crate::{
    Test,
    lab::{Lab, address},
    probe::{Agent, Server, command, numbered, run, tcp, udp},
    tests,
};

pub(crate) const TESTS: &[Test] = tests![
    hello_tells_what_is_there,
    bad_lines_are_refused_and_do_no_harm,
    batches_do_not_wait_for_each_other,
    a_thousand_probes_in_a_batch,
    a_reader_that_lags_gets_everything,
    the_end_of_stdin_ends_it_after_its_work,
    quit_ends_it_at_once,
    stdin_may_be_a_file,
    few_descriptors_are_enough,
    servers_that_hang_are_told_from_servers_that_live,
];

fn hello_tells_what_is_there(_: &Lab) {
    let mut conf = tempfile::NamedTempFile::new().unwrap();
    conf.write_all(b"nameserver 10.96.0.10\nnameserver fd00::a\n").unwrap();
    let mut agent = Agent::with_resolv_conf(conf.path());
    agent.say(r#"{"op":"hello","version":1}"#);
    let Some(Reply::Hello { version, identity, sctp, icmp: _, nameservers }) = agent.hear() else {
        panic!("no hello")
    };
    assert_eq!((version, identity.is_empty()), (VERSION, false));
    assert_eq!(nameservers, [address("10.96.0.10"), address("fd00::a")]);
    assert!(sctp.is_ok() || sctp.is_err_and(|why| why.contains("errno")));
    assert_eq!(agent.end(), Some(0));
}

fn servers_that_hang_are_told_from_servers_that_live(_: &Lab) {
    let mut agent = Agent::start();
    let mut question = 0;
    let mut alive = |patience_ms| {
        question += 1;
        agent.request(&Request::Alive { question, patience_ms });
        match agent.hear() {
            Some(Reply::Alive { question: of, servers }) if of == question => servers,
            other => panic!("{other:?}"),
        }
    };
    assert!(alive(2000).is_err_and(|why| why.starts_with("no servers of")));
    let server = Server::start(&["--tcp", "80", "--udp", "81,82", "--http", "8080"]);
    let serving = Serving { tcp: vec![80, 8080], udp: vec![81, 82], sctp: Vec::new() };
    assert_eq!(alive(10_000), Ok(serving.clone()));
    server.stop();
    // A patience that is over while it is asked again.
    assert_eq!(alive(20), Err("the servers do not answer".into()));
    assert_eq!(alive(20), Err("the servers do not answer".into()));
    server.resume();
    // Its answers to the questions before are for nobody.
    assert_eq!(alive(10_000), Ok(serving));
    // A sidecar has the pod's identity, too: both must live, and the ports of both are the pod's, whoever was first.
    let sidecar = Server::start(&["--tcp", "90", "--sidecar"]);
    let both = Serving { tcp: vec![90, 80, 8080], udp: vec![81, 82], sctp: Vec::new() };
    let sorted = |mut serving: Serving| {
        serving.tcp.sort_unstable();
        serving
    };
    assert_eq!(alive(10_000).map(sorted), Ok(sorted(both)));
    sidecar.stop();
    assert_eq!(alive(20), Err("the servers do not answer".into()));
    sidecar.resume();
    assert!(alive(10_000).is_ok_and(|serving| serving.tcp.contains(&90)));
    assert_eq!(server.end().0, Some(0));
    assert!(alive(2000).is_err());
    assert_eq!(sidecar.end().0, Some(0));
}

fn bad_lines_are_refused_and_do_no_harm(_: &Lab) {
    let _server = Server::start(&["--tcp", "80"]);
    let mut agent = Agent::start();
    let long = "x".repeat(5 << 20);
    let probe = serde_json::to_string(&tcp("127.0.0.1", 80)).unwrap();
    let many = vec![probe.as_str(); MAX_BATCH + 1].join(",");
    let bad = [
        ("rubbish".to_owned(), "expected value"),
        ("{\"op\":\"dance\"}".to_owned(), "unknown variant `dance`"),
        ("{\"op\":\"probe\",\"batch\":1}".to_owned(), "missing field"),
        ("\u{0}\u{1}".to_owned(), "expected value"),
        ("[".repeat(10_000), "expected variant identifier"),
        (format!("{{\"op\":\"quit\",\"x\":{}", "[".repeat(10_000)), "recursion limit"),
        (long, "longer than"),
        (format!("{{\"op\":\"probe\",\"batch\":1,\"deadlineMs\":9,\"probes\":[{many}]}}"), "at most 1024"),
        (format!("{{\"op\":\"probe\",\"batch\":1,\"deadlineMs\":0,\"probes\":[{probe}]}}"), "no deadline"),
    ];
    for (line, reason) in bad {
        agent.say(&line);
        match agent.hear() {
            Some(Reply::Refused { why }) => assert!(why.contains(reason), "{why}"),
            other => panic!("{other:?} for {reason}"),
        }
    }
    agent.say("");
    assert_eq!(agent.one(2000, tcp("127.0.0.1", 80)).verdict, Allowed);
    agent.ask(5, 300, vec![tcp("10.9.1.1", 80)]);
    agent.ask(5, 300, vec![tcp("10.9.1.1", 80)]);
    assert!(matches!(agent.hear(), Some(Reply::Refused { why }) if why.contains("batch 5 is not done")));
    assert_eq!(agent.results(5).len(), 1);
    agent.ask(5, 300, Vec::new());
    assert_eq!(agent.results(5), []);
}

fn batches_do_not_wait_for_each_other(_: &Lab) {
    let _server = Server::start(&["--tcp", "80", "--udp", "80"]);
    let mut agent = Agent::start();
    agent.ask(1, 1500, numbered(vec![tcp("10.9.1.1", 80); 300]));
    for batch in 2..=20 {
        agent.ask(batch, 1500, numbered([tcp("127.0.0.1", 80), udp("::1", 80), udp("10.9.1.1", 80)]));
    }
    let (mut order, mut counts) = (Vec::new(), HashMap::new());
    while order.len() < 20 {
        match agent.hear() {
            Some(Reply::Results { batch, results }) => {
                for result in results {
                    let verdict = if batch > 1 && result.n < 2 { Allowed } else { Dropped };
                    assert_eq!(result.verdict, verdict, "batch {batch}: {result:?}");
                    assert!(!order.contains(&batch), "no result comes after Done");
                    *counts.entry(batch).or_insert(0) += 1;
                }
            }
            Some(Reply::Done { batch, count }) => {
                assert_eq!(counts[&batch], count);
                order.push(batch);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((counts[&1], counts[&20]), (300, 3));
}

fn a_thousand_probes_in_a_batch(_: &Lab) {
    let _server = Server::start(&["--tcp", "80", "--udp", "80", "--identity", "x/a"]);
    let mut agent = Agent::start();
    let kinds = [tcp("127.0.0.1", 80), udp("127.0.0.1", 80), tcp("::1", 80), udp("fd00::2", 80)];
    let probes = numbered(kinds.iter().cycle().take(1000).cloned());
    agent.ask(1, 10_000, probes);
    let (mut seen, mut lines) = (vec![false; 1000], 0);
    loop {
        match agent.hear() {
            Some(Reply::Results { results, .. }) => {
                lines += 1;
                for result in results {
                    assert_eq!(result.verdict, Allowed, "{result:?}");
                    assert!(!std::mem::replace(&mut seen[result.n as usize], true), "twice: {result:?}");
                }
            }
            Some(Reply::Done { count, .. }) => break assert_eq!(count, 1000),
            other => panic!("{other:?}"),
        }
    }
    assert!(seen.iter().all(|seen| *seen));
    assert!(lines < 500, "results are gathered: {lines} lines");
    // Denied ones take their deadline once, not one after another.
    let start = Instant::now();
    let results = agent.probe(500, numbered(vec![udp("10.9.1.1", 80); 1000]));
    assert!(results.iter().all(|result| (result.verdict, result.sockets) == (Dropped, 2)));
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

fn a_reader_that_lags_gets_everything(_: &Lab) {
    let mut agent = Agent::start();
    // More results than any pipe holds, before the first one is read.
    for batch in 0..40 {
        agent.ask(batch, 5000, numbered(vec![tcp("127.0.0.1", 80); 500]));
    }
    let (mut results, mut done) = (0, 0);
    while done < 40 {
        match agent.hear() {
            Some(Reply::Results { results: some, .. }) => results += some.len(),
            Some(Reply::Done { .. }) => done += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(results, 40 * 500);
}

fn the_end_of_stdin_ends_it_after_its_work(_: &Lab) {
    let mut agent = Agent::start();
    agent.ask(1, 300, vec![tcp("10.9.1.1", 80)]);
    agent.stdin = None;
    assert_eq!(agent.results(1)[0].verdict, Dropped);
    assert!(agent.hear().is_none());
    assert_eq!(agent.end(), Some(0));
}

fn quit_ends_it_at_once(_: &Lab) {
    let mut agent = Agent::start();
    agent.ask(1, 60_000, vec![tcp("10.9.1.1", 80)]);
    agent.say(r#"{"op":"quit"}"#);
    assert!(agent.hear().is_none());
    assert_eq!(agent.end(), Some(0));
}

fn stdin_may_be_a_file(_: &Lab) {
    let mut file: File = tempfile::tempfile().unwrap();
    let probe = serde_json::to_string(&tcp("127.0.0.1", 80)).unwrap();
    // The last line has no end.
    write!(file, "rubbish\n{{\"op\":\"probe\",\"batch\":1,\"deadlineMs\":900,\"probes\":[{probe}]}}")
        .unwrap();
    file.rewind().unwrap();
    let mut with_file = command(&["agent"]);
    with_file.stdin(file);
    let output = with_file.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        said.contains("refused") && said.ends_with("{\"op\":\"done\",\"batch\":1,\"count\":1}\n"),
        "{said}"
    );
    // And stdin may be closed from the start.
    assert_eq!(run(command(&["agent"])), (0, String::new(), String::new()));
}

fn few_descriptors_are_enough(_: &Lab) {
    let _server = Server::start(&["--tcp", "80"]);
    let mut limited = std::process::Command::new("/bin/sh");
    limited.args(["-c", &format!("ulimit -n 80 && exec {} agent", env!("CARGO_BIN_EXE_verdikt-probe"))]);
    let mut agent = Agent::spawn(limited);
    let denied = numbered(vec![tcp("10.9.1.1", 80); 20]);
    assert!(agent.probe(100, denied).iter().all(|result| result.verdict == Dropped));
    let allowed = numbered(vec![tcp("127.0.0.1", 80); 500]);
    assert!(agent.probe(5000, allowed).iter().all(|result| result.verdict == Allowed));
}
