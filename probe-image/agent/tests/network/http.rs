//! HTTP: what is served, and what is probed.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use socket2::SockRef;
use verdikt_protocol::{
    HttpRequest, Probe,
    ProbeVerdict::{Allowed, Dropped, Error, Rejected},
};

use crate::{
    Test,
    lab::Lab,
    peers::{hold, tcp_peer},
    probe::{Agent, Server, http, numbered, tcp},
    tests,
};

pub(crate) const TESTS: &[Test] = tests![
    an_answer_names_who_gave_it,
    requests_follow_one_another,
    bad_requests_are_told_so,
    any_answer_is_allowed_but_another_identity_is_not,
    no_answer_is_as_for_any_connection,
];

/// Says this, then nothing more; what is answered until the server closes.
fn talk(said: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", 80)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(said).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn an_answer_names_who_gave_it(_: &Lab) {
    let server = Server::start(&["--http", "80", "--identity", "x/a"]);
    assert_eq!(server.ready, "ready: identity x/a http 80\n");
    let mut stream = TcpStream::connect(("127.0.0.1", 80)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(stream.read(&mut [0]).is_err(), "no greeting before the request");
    let own = stream.local_addr().unwrap();
    stream.write_all(b"GET /a?b HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let expected = format!(
        "HTTP/1.1 200 OK\r\nserver: verdikt-probe\r\nx-verdikt-id: x/a\r\nx-verdikt-client: {own}\r\n\
         content-type: text/plain; charset=utf-8\r\ncontent-length: 15\r\nconnection: close\r\n\r\nx/a: GET /a?b\n"
    );
    assert_eq!(answer, expected.replace("15", &"x/a: GET /a?b\n".len().to_string()));
    let head = talk(b"HEAD / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
    assert!(head.contains("content-length: 12\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

fn requests_follow_one_another(_: &Lab) {
    let _server = Server::start(&["--http", "80", "--identity", "x/a"]);
    let mut stream = TcpStream::connect(("127.0.0.1", 80)).unwrap();
    SockRef::from(&stream).set_tcp_nodelay(true).unwrap();
    // Bodies are skipped, however the bytes are cut.
    let body = vec![b'G'; 100_000];
    let put = format!("PUT /1 HTTP/1.1\r\nhost: web\r\ncontent-length: {}\r\n\r\n", body.len());
    for piece in put.as_bytes().chunks(7) {
        stream.write_all(piece).unwrap();
    }
    stream.write_all(&body).unwrap();
    stream.write_all(b"GET /2 HTTP/1.1\r\nhost: web\r\n\r\nGET /3 HTTP/1.1\r\nhost: web\r\n").unwrap();
    stream.write_all(b"connection: close\r\n\r\nGET /4 HTTP/1.1\r\nhost: web\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let bodies: Vec<&str> = answer.lines().filter(|line| line.starts_with("x/a: ")).collect();
    assert_eq!(bodies, ["x/a: PUT /1", "x/a: GET /2", "x/a: GET /3"]);
}

fn bad_requests_are_told_so(_: &Lab) {
    let _server = Server::start(&["--http", "80"]);
    let long = [&b"GET / HTTP/1.1\r\nx: "[..], &vec![b'y'; 100_000]].concat();
    let cases = [(&b"hello\r\n\r\n"[..], "400"), (b"GET / HTTP/1.1\r\n\r\n", "400"), (&long, "431")];
    for (said, status) in cases {
        assert!(talk(said).starts_with(&format!("HTTP/1.1 {status} ")), "{status}");
    }
    // Half a request, and gone: nothing to answer.
    let mut stream = TcpStream::connect(("127.0.0.1", 80)).unwrap();
    stream.write_all(b"GET / HT").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

fn any_answer_is_allowed_but_another_identity_is_not(_: &Lab) {
    let _server = Server::start(&["--http", "80", "--identity", "x/a"]);
    tcp_peer(81, |mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nserver: other\r\n\r\n").unwrap();
        hold(stream);
    });
    let mut agent = Agent::start();
    let expect = |id: &str, probe: Probe| Probe { expect: vec![id.into()], ..probe };
    let probes = [
        http("127.0.0.1", 80, "/"),
        expect("x/a", http("::1", 80, "/x")),
        expect("x/a", http("127.0.0.1", 81, "/")),
        expect("y/b", http("127.0.0.1", 80, "/")),
    ];
    let results = agent.probe(2000, numbered(probes));
    let brief: Vec<_> = results.iter().map(|r| (r.verdict, r.status, r.detail.as_deref())).collect();
    let expected = [
        (Allowed, Some(200), None),
        (Allowed, Some(200), None),
        (Allowed, Some(404), None),
        (Error, Some(200), Some("answered by x/a, not y/b")),
    ];
    assert_eq!(brief, expected);
    assert!(results.iter().all(|result| result.rtt_us > 0 && result.sockets == 1), "{results:?}");
}

fn no_answer_is_as_for_any_connection(_: &Lab) {
    // A server that greets is none that speaks HTTP.
    let _server = Server::start(&["--tcp", "80"]);
    tcp_peer(81, |mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    tcp_peer(82, |stream| {
        std::thread::spawn(|| hold(stream));
    });
    let smuggled = HttpRequest { method: "GET".into(), path: "/ HTTP/1.1\r\n".into(), host: "x".into() };
    let mut agent = Agent::start();
    let probes = [
        http("127.0.0.1", 80, "/"),
        http("127.0.0.1", 81, "/"),
        http("127.0.0.1", 82, "/"),
        http("127.0.0.1", 83, "/"),
        http("10.9.1.1", 80, "/"),
        http("10.9.2.1", 80, "/"),
        Probe { http: Some(smuggled), ..tcp("127.0.0.1", 80) },
    ];
    let start = Instant::now();
    let results = agent.probe(400, numbered(probes));
    let brief: Vec<_> =
        results.iter().map(|r| (r.verdict, r.sockets, r.detail.as_deref().unwrap_or_default())).collect();
    let expected = [
        (Error, 1, "answered by something that does not speak HTTP"),
        (Rejected, 1, "reset after connect (RST)"),
        (Error, 2, "connected, but no answer came on the connection"),
        (Rejected, 1, "connection refused (RST)"),
        (Dropped, 2, ""),
        (Rejected, 1, "ICMP admin prohibited from 10.0.0.1"),
    ];
    assert_eq!(brief[..6], expected);
    assert!(brief[6].0 == Error && brief[6].2.contains("visible ASCII"), "{:?}", brief[6]);
    assert!(start.elapsed() < Duration::from_secs(10));
}
