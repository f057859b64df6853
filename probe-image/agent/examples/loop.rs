//! What the agent costs: the same questions on loopback, once by a bare loop of connect and read, once by agents,
//! in one run.
//!
//! ```text
//! cargo run --release -p verdikt-probe --example loop -- [udp] [AGENTS] [CELLS of each] [ROUNDS] [SERVERS]
//! ```
//!
//! Prints the times and their ratio; ends with code 1 when an answer was not "allowed".

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Child, Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;
use verdikt_protocol::{Probe, ProbeVerdict, Reply, Request, Target, Transport, udp_request};

const DEADLINE_MS: u32 = 1000;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).peekable();
    if args.peek().is_some_and(|verb| verb == "serve" || verb == "agent") {
        return ExitCode::from(verdikt_probe::main(args));
    }
    let udp = args.next_if(|word| word == "udp").is_some();
    let numbers: Vec<usize> =
        args.map(|a| a.to_str().and_then(|a| a.parse().ok()).expect("a number")).collect();
    let number = |at: usize, default: usize| numbers.get(at).copied().unwrap_or(default);
    let (agents, cells, rounds, servers) = (number(0, 20), number(1, 200), number(2, 5), number(3, 20));

    let mut children: Vec<Child> = Vec::new();
    let targets: Vec<SocketAddr> = (0..servers)
        .map(|n| {
            let (address, child) = server(n);
            children.push(child);
            address
        })
        .collect();
    let mut sessions: Vec<Session> = (0..agents).map(|_| Session::open()).collect();
    let mut all_allowed = true;
    for round in 0..rounds {
        let bare = bare_loop(udp, agents * cells, &targets);
        let start = Instant::now();
        for session in &mut sessions {
            session.ask(round as u64, udp, cells, &targets);
        }
        let results: Vec<_> = sessions.iter_mut().map(|session| session.answers(round as u64)).collect();
        let took = start.elapsed();
        let allowed = results.iter().map(|r| r.allowed).sum::<usize>();
        let slowest = results.iter().map(|r| r.slowest).max().unwrap_or_default();
        all_allowed &= allowed == agents * cells;
        println!(
            "{} questions: bare loop {bare:.2?}, {agents} agents {took:.2?}, ratio {:.2}; allowed {allowed}, slowest \
             {slowest} µs",
            agents * cells,
            took.as_secs_f64() / bare.as_secs_f64(),
        );
    }
    drop(sessions);
    for child in &mut children {
        // Only servers that this process has started.
        let _ = child.kill();
        let _ = child.wait();
    }
    ExitCode::from(u8::from(!all_allowed))
}

fn myself(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(args).stdout(Stdio::piped());
    command
}

fn server(n: usize) -> (SocketAddr, Child) {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a free port");
    let port = free.port().to_string();
    let mut child = myself(&["serve", "--tcp", &port, "--udp", &port, "--identity", &format!("x/{n}")])
        .spawn()
        .expect("a server");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its first line");
    assert!(line.starts_with("ready"), "{line}");
    (free, child)
}

/// One question after another, with as many threads as there are processors.
fn bare_loop(udp: bool, questions: usize, targets: &[SocketAddr]) -> Duration {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let start = Instant::now();
    thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for n in (thread..questions).step_by(threads) {
                    let (to, mut buffer) = (targets[n % targets.len()], [0; 512]);
                    let count = if udp {
                        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
                        socket.connect(to).expect("a route");
                        socket.send(&udp_request(n as u64)).expect("a datagram");
                        socket.recv(&mut buffer).expect("a greeting")
                    } else {
                        let mut stream = TcpStream::connect(to).expect("a connection");
                        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
                        stream.read(&mut buffer).expect("a greeting")
                    };
                    assert!(count > 0);
                }
            });
        }
    });
    start.elapsed()
}

struct Session {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

struct Answers {
    allowed: usize,
    slowest: u32,
}

impl Session {
    fn open() -> Self {
        let mut child = myself(&["agent"]).stdin(Stdio::piped()).spawn().expect("an agent");
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut session = Self { child, lines };
        session.say(&Request::Hello { version: verdikt_protocol::VERSION });
        assert!(matches!(session.hear(), Reply::Hello { .. }));
        session
    }

    fn say(&mut self, request: &Request) {
        let line = serde_json::to_string(request).expect("JSON") + "\n";
        self.child.stdin.as_mut().expect("piped").write_all(line.as_bytes()).expect("the agent reads");
    }

    fn hear(&mut self) -> Reply {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("the agent writes");
        serde_json::from_str(&line).expect("a reply")
    }

    fn ask(&mut self, batch: u64, udp: bool, cells: usize, targets: &[SocketAddr]) {
        let probe = |n: usize| Probe {
            n: n as u32,
            to: Target::Ip(targets[n % targets.len()].ip()),
            port: targets[n % targets.len()].port(),
            transport: if udp { Transport::Udp } else { Transport::Tcp },
            from: None,
            expect: vec![format!("x/{}", n % targets.len())],
            query: None,
            http: None,
        };
        self.say(&Request::Probe {
            batch,
            deadline_ms: DEADLINE_MS,
            probes: (0..cells).map(probe).collect(),
        });
    }

    fn answers(&mut self, batch: u64) -> Answers {
        let mut answers = Answers { allowed: 0, slowest: 0 };
        loop {
            match self.hear() {
                Reply::Results { results, .. } => {
                    for result in results {
                        answers.allowed += usize::from(result.verdict == ProbeVerdict::Allowed);
                        answers.slowest = answers.slowest.max(result.rtt_us);
                    }
                }
                Reply::Done { batch: done, .. } if done == batch => return answers,
                other => panic!("{other:?}"),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
