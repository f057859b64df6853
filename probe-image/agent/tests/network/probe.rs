//! The binary under test: servers, and sessions of the agent.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    time::ClockId,
    unistd::Pid,
};
use verdikt_protocol::{
    HttpRequest, Probe, ProbeResult, ProbeVerdict, Reply, Request, Target, Task, TaskReport, Transport, Work,
};

use crate::lab::address;

/// The binary with these arguments and a clean environment.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verdikt-probe"));
    command.args(args).env_clear();
    command
}

/// Runs it to its end: exit code, stdout, stderr.
pub(crate) fn run(mut command: Command) -> (i32, String, String) {
    let output = command.stdin(Stdio::null()).output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

/// A running `serve`.
pub(crate) struct Server {
    pub(crate) child: Child,
    /// Its first line.
    pub(crate) ready: String,
}

impl Server {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(command(&[&["serve"], args].concat()))
    }

    /// The same with a command of one's own.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a server");
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().expect("piped")).read_line(&mut ready).expect("a line");
        assert!(ready.starts_with("ready"), "{ready:?}");
        Self { child, ready }
    }

    /// Stops it; it has stopped when this returns.
    pub(crate) fn stop(&self) {
        stop(&self.child);
    }

    /// Lets it run again.
    pub(crate) fn resume(&self) {
        signal(&self.child, Signal::SIGCONT);
    }

    /// Ends it with SIGTERM: exit code and stderr.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        signal(&self.child, Signal::SIGTERM);
        let status = self.child.wait().expect("it ends");
        let mut said = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
        (status.code(), said)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A session of the agent.
pub(crate) struct Agent {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Agent {
    /// Starts it.
    pub(crate) fn start() -> Self {
        Self::spawn(command(&["agent"]))
    }

    /// Starts it with another resolv.conf.
    pub(crate) fn with_resolv_conf(path: &Path) -> Self {
        let mut command = command(&["agent"]);
        command.env(verdikt_protocol::RESOLV_CONF_VARIABLE, path);
        Self::spawn(command)
    }

    /// The same with a command of one's own.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("an agent");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self { stdin: child.stdin.take(), child, stdout }
    }

    /// Writes a line.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("still open");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("the agent reads");
    }

    /// Asks for a batch.
    pub(crate) fn ask(&mut self, batch: u64, deadline_ms: u32, probes: Vec<Probe>) {
        let request = Request::Probe { batch, deadline_ms, probes };
        self.say(&serde_json::to_string(&request).expect("JSON"));
    }

    /// The next reply; `None` at the end.
    pub(crate) fn hear(&mut self) -> Option<Reply> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("UTF-8");
        (!line.is_empty()).then(|| serde_json::from_str(&line).expect("a reply"))
    }

    /// The results of a batch, by number, when no other batch is in flight.
    pub(crate) fn results(&mut self, batch: u64) -> Vec<ProbeResult> {
        let mut all = Vec::new();
        loop {
            match self.hear().expect("more replies") {
                Reply::Results { batch: of, results } if of == batch => all.extend(results),
                Reply::Done { batch: of, count } if of == batch => {
                    assert_eq!(count as usize, all.len());
                    all.sort_by_key(|result| result.n);
                    return all;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Makes one batch.
    pub(crate) fn probe(&mut self, deadline_ms: u32, probes: Vec<Probe>) -> Vec<ProbeResult> {
        self.ask(1, deadline_ms, probes);
        self.results(1)
    }

    /// Makes one probe.
    pub(crate) fn one(&mut self, deadline_ms: u32, probe: Probe) -> ProbeResult {
        self.probe(deadline_ms, vec![probe]).remove(0)
    }

    /// Waits until all of these answer: a new link may lose the first packets.
    pub(crate) fn reach(&mut self, probes: &[Probe]) {
        let results = self.probe(20_000, numbered(probes.iter().cloned()));
        assert!(results.iter().all(|result| result.verdict == ProbeVerdict::Allowed), "{results:?}");
    }

    /// Begins a group of tasks.
    pub(crate) fn begin(&mut self, group: u64, tasks: Vec<Task>) {
        self.request(&Request::Begin { group, tasks });
    }

    /// Asks for something.
    pub(crate) fn request(&mut self, request: &Request) {
        self.say(&serde_json::to_string(request).expect("JSON"));
    }

    /// How a group stands, when nothing else is awaited.
    pub(crate) fn look(&mut self, group: u64) -> Vec<TaskReport> {
        self.request(&Request::Look { group });
        self.report(group).expect("a report")
    }

    /// Ends a group.
    pub(crate) fn finish(&mut self, group: u64) -> Vec<TaskReport> {
        self.request(&Request::End { group });
        self.report(group).expect("a report")
    }

    /// The next report.
    pub(crate) fn report(&mut self, group: u64) -> Result<Vec<TaskReport>, String> {
        match self.hear() {
            Some(Reply::Report { group: of, now_us, tasks }) if of == group => {
                assert!(now_us <= crate::probe::now_us());
                tasks
            }
            other => panic!("{other:?}"),
        }
    }

    /// Looks at a group until it is as wanted.
    pub(crate) fn look_until(
        &mut self,
        group: u64,
        wanted: impl Fn(&[TaskReport]) -> bool,
    ) -> Vec<TaskReport> {
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            let reports = self.look(group);
            if wanted(&reports) {
                return reports;
            }
            assert!(Instant::now() < end, "{reports:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the process; it has stopped when this returns.
    pub(crate) fn stop(&self) {
        stop(&self.child);
    }

    /// Lets it run again.
    pub(crate) fn resume(&self) {
        signal(&self.child, Signal::SIGCONT);
    }

    /// Closes stdin and waits: the exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        self.stdin = None;
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stop(child: &Child) {
    signal(child, Signal::SIGSTOP);
    let stat = format!("/proc/{}/stat", child.id());
    while !std::fs::read_to_string(&stat).expect("it exists").contains(") T ") {
        std::thread::yield_now();
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).expect("it runs");
}

/// `CLOCK_MONOTONIC` in microseconds.
pub(crate) fn now_us() -> u64 {
    let now = Duration::from(ClockId::CLOCK_MONOTONIC.now().expect("a clock"));
    now.as_micros() as u64
}

/// A sample of this.
pub(crate) fn sample(probe: Probe, interval_us: u32, patience_ms: u32) -> Task {
    Task { probe, work: Work::Sample { interval_us, patience_ms } }
}

/// A TCP probe of this address.
pub(crate) fn tcp(to: &str, port: u16) -> Probe {
    Probe {
        n: 0,
        to: Target::Ip(address(to)),
        port,
        transport: Transport::Tcp,
        from: None,
        expect: Vec::new(),
        query: None,
        http: None,
    }
}

/// A UDP probe.
pub(crate) fn udp(to: &str, port: u16) -> Probe {
    Probe { transport: Transport::Udp, ..tcp(to, port) }
}

/// A TCP probe of a name.
pub(crate) fn named(name: &str, family: u8, port: u16) -> Probe {
    Probe { to: Target::Name { name: name.into(), family }, ..tcp("::", port) }
}

/// A ping.
pub(crate) fn icmp(to: &str) -> Probe {
    Probe { transport: Transport::Icmp, ..tcp(to, 0) }
}

/// An HTTP probe.
pub(crate) fn http(to: &str, port: u16, path: &str) -> Probe {
    let request = HttpRequest { method: "GET".into(), path: path.into(), host: "web.test".into() };
    Probe { http: Some(request), ..tcp(to, port) }
}

/// A DNS probe over UDP.
pub(crate) fn question(server: &str, name: &str) -> Probe {
    Probe { query: Some(name.into()), ..udp(server, 53) }
}

/// Numbers probes in their order.
pub(crate) fn numbered(probes: impl IntoIterator<Item = Probe>) -> Vec<Probe> {
    (0..).zip(probes).map(|(n, probe)| Probe { n, ..probe }).collect()
}
