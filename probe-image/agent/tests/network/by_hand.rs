//! `connect` and `query`.

use std::io::Write;

use verdikt_protocol::{ProbeResult, ProbeVerdict, RESOLV_CONF_VARIABLE};

use crate::{
    Test,
    lab::Lab,
    peers::name_server,
    probe::{Server, command, run},
    tests,
};

pub(crate) const TESTS: &[Test] =
    tests![connect_says_what_came_of_it, connect_takes_names, query_says_what_was_answered];

fn said(args: &[&str]) -> (i32, String) {
    let (code, out, error) = run(command(args));
    assert_eq!(error, "", "{args:?}");
    (code, out.trim_end().to_owned())
}

fn connect_says_what_came_of_it(_: &Lab) {
    let _server = Server::start(&["--tcp", "80", "--udp", "80", "--identity", "x/a"]);
    for protocol in ["tcp", "UDP"] {
        let (code, text) = said(&["connect", "10.0.0.2:80", "--protocol", protocol, "--from", "10.0.0.22"]);
        assert!(text.starts_with("allowed: answered by x/a in "), "{text}");
        assert!(code == 0 && text.contains(" ms (saw 10.0.0.22:"), "{text}");
    }
    let (code, text) = said(&["connect", "[fd00::2]:80", "-6", "--expect", "x/a"]);
    assert!(code == 0 && text.contains("saw [fd00::2]:"), "{text}");
    let cases: [(&[&str], i32, &str); 4] = [
        (&["10.9.1.1:80", "--deadline", "300ms"], 1, "dropped: silence on 2 sockets for 300 ms"),
        (&["127.0.0.1:81"], 1, "rejected: connection refused (RST)"),
        (&["10.9.2.1:80", "--protocol=udp"], 1, "rejected: ICMP admin prohibited from 10.0.0.1"),
        (&["127.0.0.1:80", "--expect", "y/b"], 3, "error: answered by x/a, not y/b"),
    ];
    for (args, code, text) in cases {
        assert_eq!(said(&[&["connect"], args].concat()), (code, text.to_owned()));
    }
    let (code, text) = said(&["connect", "127.0.0.1:80", "-o", "json"]);
    let result: ProbeResult = serde_json::from_str(&text).unwrap();
    assert_eq!((code, result.verdict), (0, ProbeVerdict::Allowed));
}

fn connect_takes_names(_: &Lab) {
    name_server("127.0.0.53");
    let _server = Server::start(&["--tcp", "80", "--identity", "x/a"]);
    let mut conf = tempfile::NamedTempFile::new().unwrap();
    conf.write_all(b"nameserver 127.0.0.53\n").unwrap();
    for (family, seen) in [("-4", "saw 127.0.0.1:"), ("-6", "saw [::1]:")] {
        let mut connect = command(&["connect", "web.test:80", family]);
        connect.env(RESOLV_CONF_VARIABLE, conf.path());
        let (code, text, _) = run(connect);
        assert!(code == 0 && text.contains(seen), "{text}");
    }
}

fn query_says_what_was_answered(_: &Lab) {
    name_server("127.0.0.53");
    for protocol in ["udp", "tcp"] {
        let query = |name| said(&["query", name, "--server", "127.0.0.53", "--protocol", protocol]);
        let (code, text) = query("web.test");
        assert!(code == 0 && text.starts_with("allowed: answered by 127.0.0.53:53 in "), "{text}");
        assert!(text.ends_with(": A 127.0.0.1; AAAA ::1"), "{text}");
        let (code, text) = query("missing.test");
        assert!(code == 0 && text.ends_with(": A Non-Existent Domain; AAAA Non-Existent Domain"), "{text}");
        let (code, text) = query("empty.test");
        assert!(code == 0 && text.ends_with(": A none; AAAA none"), "{text}");
    }
    let silent = said(&["query", "silent.test", "--server", "127.0.0.53:53", "--deadline", "200ms"]);
    assert_eq!(silent, (1, "dropped: silence on 2 sockets for 200 ms".into()));
    let refused = said(&["query", "web.test", "--server", "[::1]:53"]);
    assert_eq!(refused, (1, "rejected: ICMP port unreachable from ::1".into()));
}
