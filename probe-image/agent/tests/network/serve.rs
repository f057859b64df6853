//! The servers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpStream, UdpSocket},
    time::Duration,
};

use verdikt_protocol::{Greeting, IDENTITY_VARIABLE, udp_request};

use crate::{
    Test,
    lab::Lab,
    probe::{Server, command, run},
    tests,
};

pub(crate) const TESTS: &[Test] = tests![
    it_says_what_it_serves,
    a_greeting_names_pod_and_client,
    lines_come_back,
    what_a_client_does_not_read_yet_waits,
    udp_never_amplifies,
    a_port_in_use_is_named,
    it_ends_at_once_on_sigterm,
    connections_wait_when_there_is_no_room,
    bad_usage_is_explained,
];

fn it_says_what_it_serves(_: &Lab) {
    let server = Server::start(&["--tcp", "80,81", "--udp=80", "--identity", "x/a"]);
    assert_eq!(server.ready, "ready: identity x/a tcp 80,81 udp 80\n");
    let mut other = command(&["serve"]);
    other.env(IDENTITY_VARIABLE, "y/b");
    assert_eq!(Server::spawn(other).ready, "ready: identity y/b\n");
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    assert_eq!(Server::start(&["--tcp", "82"]).ready, format!("ready: identity {host} tcp 82\n"));
}

fn a_greeting_names_pod_and_client(_: &Lab) {
    let _server = Server::start(&["--tcp", "80", "--udp", "80", "--identity", "x/\"a\""]);
    for to in ["127.0.0.1", "::1"] {
        let stream = TcpStream::connect((to, 80)).unwrap();
        let own = stream.local_addr().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        let greeting: Greeting = serde_json::from_str(&line).unwrap();
        assert_eq!((greeting.id.as_str(), greeting.client), ("x/\"a\"", own.to_string()));

        let socket = UdpSocket::bind((to, 0)).unwrap();
        socket.connect((to, 80)).unwrap();
        socket.send(&udp_request(7)).unwrap();
        let mut buffer = [0; 600];
        let count = socket.recv(&mut buffer).unwrap();
        let greeting: Greeting = serde_json::from_slice(&buffer[..count]).unwrap();
        let expected = (socket.local_addr().unwrap().to_string(), "0000000000000007".to_owned());
        assert_eq!((greeting.client, greeting.nonce), expected);
    }
}

fn lines_come_back(_: &Lab) {
    let _server = Server::start(&["--tcp", "80"]);
    let mut stream = TcpStream::connect(("127.0.0.1", 80)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    lines.next().unwrap().unwrap();
    stream.write_all(b"one\ntwo\nthr").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    assert_eq!(lines.next().unwrap().unwrap(), "two");
    stream.write_all(b"ee\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "three");
    // A line without an end is not gathered for ever.
    let _ = stream.write_all(&[b'x'; 20_000]);
    assert!(lines.next().is_none_or(|line| line.is_err()), "the connection is closed");
}

fn what_a_client_does_not_read_yet_waits(_: &Lab) {
    // More than all buffers in between take.
    const LINES: usize = 16 << 10;
    let _server = Server::start(&["--tcp", "80"]);
    let mut stream = TcpStream::connect(("127.0.0.1", 80)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let writer = std::thread::spawn(move || {
        for n in 0..LINES {
            stream.write_all(format!("{n:01023}\n").as_bytes()).unwrap();
        }
    });
    std::thread::sleep(Duration::from_millis(200));
    assert!(!writer.is_finished(), "the server does not read on for ever");
    let mut lines = reader.by_ref().lines().skip(1);
    for n in 0..LINES {
        assert_eq!(lines.next().unwrap().unwrap().parse::<usize>().unwrap(), n);
    }
    writer.join().unwrap();
}

fn udp_never_amplifies(_: &Lab) {
    let _server = Server::start(&["--udp", "80", "--identity", "x/a"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:80").unwrap();
    let request = udp_request(1);
    // Foreign bytes, and requests that are shorter than their answer would be.
    for bytes in [b"", &b"hello"[..], &request[..16], &request[..32], &request[1..], &[0; 512]] {
        socket.send(bytes).unwrap();
    }
    socket.send(&udp_request(2)).unwrap();
    let mut buffer = [0; 600];
    let count = socket.recv(&mut buffer).unwrap();
    assert!(count <= request.len());
    let greeting: Greeting = serde_json::from_slice(&buffer[..count]).unwrap();
    assert_eq!(greeting.nonce, "0000000000000002", "the first answer is to the first whole request");
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut buffer).is_err(), "there is one answer");
}

fn a_port_in_use_is_named(_: &Lab) {
    let _server = Server::start(&["--tcp", "80", "--udp", "81"]);
    let (code, out, said) = run(command(&["serve", "--tcp", "90,80"]));
    assert_eq!((code, out.as_str()), (3, ""));
    assert_eq!(said, "verdikt-probe: cannot listen on TCP port 80: it is in use by another process\n");
    let (code, _, said) = run(command(&["serve", "--udp", "81"]));
    assert!(code == 3 && said.contains("UDP port 81"), "{said}");
}

fn it_ends_at_once_on_sigterm(_: &Lab) {
    let server = Server::start(&["--tcp", "80", "--udp", "80"]);
    let _open = TcpStream::connect(("127.0.0.1", 80)).unwrap();
    assert_eq!(server.end(), (Some(0), String::new()));
}

fn connections_wait_when_there_is_no_room(_: &Lab) {
    // With few descriptors; a shell sets the limit, as a container runtime would.
    let mut limited = std::process::Command::new("/bin/sh");
    let binary = env!("CARGO_BIN_EXE_verdikt-probe");
    limited.args(["-c", &format!("ulimit -n 80 && exec {binary} serve --tcp 80 --identity x/a")]);
    let _server = Server::spawn(limited);
    let clients: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(("127.0.0.1", 80)).unwrap()).collect();
    let greeted = |mut client: &TcpStream| {
        client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        client.read(&mut [0; 100]).is_ok_and(|count| count > 0)
    };
    let (early, late) = clients.split_at(16);
    assert!(early.iter().all(greeted), "there is room for some");
    assert!(!greeted(&late[43]), "and not for all");
    let (mut waiting, mut rounds) = (clients, 0);
    while !waiting.is_empty() {
        // Closing those that were greeted lets the others in.
        waiting.drain(..waiting.len().min(16));
        if let Some(next) = waiting.first() {
            assert!(greeted(next), "round {rounds}");
        }
        rounds += 1;
    }
}

fn bad_usage_is_explained(_: &Lab) {
    let cases: [(&[&str], &str); 8] = [
        (&[], "a verb is missing"),
        (&["dance"], "there is no verb `dance`"),
        (&["serve", "--tcp", "http"], "`http` is no port"),
        (&["serve", "--tcp"], "--tcp needs a value"),
        (&["serve", "80"], "serve does not know `80`"),
        (&["connect", "10.0.0.1"], "`10.0.0.1` is no HOST:PORT"),
        (&["connect", "fd00::1:80"], "[fd00::1]:80"),
        (&["query", "x", "--protocol", "sctp"], "udp or tcp"),
    ];
    for (args, why) in cases {
        let (code, out, said) = run(command(args));
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}");
        assert!(said.contains(why) && said.contains("verdikt-probe help"), "{args:?}: {said}");
    }
}
