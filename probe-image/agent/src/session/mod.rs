//! `verdikt-probe agent`: requests on stdin, results on stdout, until the end of stdin.
//!
//! ```text
//! stdin ──► input: lines ──► Request ──► engine ──► batches: coalesced ──► output ──► stdout
//!                               ├──────► watch: tasks that go on ────────────►
//!                               └──────► servers: those of the pod ──────────►
//! ```

mod batches;
mod input;
mod output;
mod servers;

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, Instant},
};

use nix::sys::epoll::EpollFlags;
use verdikt_protocol::{FIRST_GROUP, MAX_BATCH, Reply, Request, Serving, VERSION};

use self::{
    batches::Batches,
    input::{Input, Line},
    output::Output,
    servers::Servers,
};
use crate::{
    Failure,
    arguments::{Arguments, unknown},
    control::Of,
    engine::{EXTERNAL, Engine, Job},
    serve, system, talk,
    watch::Watch,
};

/// Keys of the session's own descriptors.
const STDIN: u64 = EXTERNAL;
const STDOUT: u64 = EXTERNAL + 1;
const WATCH: u64 = EXTERNAL + 2;
const SERVERS: [u64; 2] = [EXTERNAL + 3, EXTERNAL + 4];

/// Descriptors that are kept for everything that is neither a probe nor a task.
const RESERVED_DESCRIPTORS: usize = 64;

/// Nothing more is read while so many bytes wait to be written,
const OUTPUT_BOUND: usize = 1 << 20;

/// or so many probes to be started.
const BACKLOG_BOUND: usize = 64 * MAX_BATCH;

/// How long a session whose stdin has ended still works on what it was asked.
const LAST_WORK: Duration = Duration::from_secs(5);

/// Runs the verb.
pub(crate) fn run(mut args: Arguments) -> Result<u8, Failure> {
    if let Some(arg) = args.next()? {
        return Err(unknown("agent", &arg));
    }
    let descriptors = system::raise_descriptor_limit();
    let tasks = descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2;
    let broken = |e| fatal("cannot begin", &e);
    let watch = Watch::new(tasks).map_err(broken)?;
    let engine = Engine::new(descriptors - tasks).map_err(broken)?;
    engine.watch(&watch, EpollFlags::EPOLLIN, WATCH).map_err(|e| broken(e.into()))?;
    let mut session = Session {
        engine,
        watch,
        servers: [None, None],
        joined: BTreeMap::new(),
        input: Input::new(),
        output: Output::new(),
        batches: Batches::new(),
        reading: false,
        writing: false,
        end: None,
    };
    session.work().map_err(|e| fatal("the session broke", &e))?;
    Ok(0)
}

struct Session {
    engine: Engine,
    watch: Watch,
    /// Of the main container, and of the sidecar.
    servers: [Option<Servers>; 2],
    /// Questions whether servers live that both have been asked, with the first answer, once it is there.
    joined: BTreeMap<u64, Option<Result<Serving, String>>>,
    input: Input,
    output: Output,
    batches: Batches,
    /// Whether stdin is being waited for.
    reading: bool,
    /// Whether stdout is being waited for.
    writing: bool,
    /// When a session without stdin ends at the latest.
    end: Option<Instant>,
}

impl Session {
    fn work(&mut self) -> io::Result<()> {
        loop {
            self.wait_for_input()?;
            let limit = if self.input.is_always_ready() && self.has_room() && self.end.is_none() {
                Some(Instant::now())
            } else {
                let servers = self.servers.iter().flatten().filter_map(Servers::due).min();
                self.batches.flush_at().into_iter().chain(self.end).chain(servers).min()
            };
            // Whatever arrived before this moment is heard in this turn.
            let looked = Instant::now();
            let ready = self.engine.turn(limit)?;
            if ready.iter().any(|(key, _)| *key == WATCH) {
                self.watch.turn();
            }
            for of in Of::ALL {
                if ready.iter().any(|(key, _)| *key == SERVERS[of as usize]) {
                    self.hear_servers(of);
                }
                let late = self.servers[of as usize].as_mut().map(|servers| servers.expire(looked));
                late.into_iter().flatten().for_each(|reply| self.pass_on(reply));
            }
            let readable = ready.iter().any(|(key, _)| *key == STDIN) || self.input.is_always_ready();
            if readable && self.end.is_none() && self.has_room() && !self.read()? {
                self.write()?;
                return Ok(());
            }
            for done in self.engine.finished.drain(..) {
                self.batches.add(done.batch, done.outcome.result(done.n), &mut self.output);
            }
            self.batches.flush(&mut self.output);
            self.write()?;
            if let Some(end) = self.end
                && (self.is_done() || Instant::now() >= end)
            {
                return Ok(());
            }
        }
    }

    /// Whether all that was asked is answered.
    fn is_done(&self) -> bool {
        self.batches.is_empty()
            && self.output.is_empty()
            && self.servers.iter().flatten().all(Servers::is_idle)
    }

    fn has_room(&self) -> bool {
        self.output.len() < OUTPUT_BOUND && self.engine.backlog() < BACKLOG_BOUND
    }

    /// Has stdin waited for while there is room for more, and only then.
    fn wait_for_input(&mut self) -> io::Result<()> {
        let wanted = self.has_room() && self.end.is_none() && !self.input.is_always_ready();
        if wanted && !self.reading {
            match self.engine.watch(io::stdin(), EpollFlags::EPOLLIN, STDIN) {
                Ok(()) => self.reading = true,
                // A regular file, which never makes anybody wait.
                Err(nix::errno::Errno::EPERM) => self.input.set_always_ready(),
                Err(e) => return Err(e.into()),
            }
        } else if !wanted && self.reading {
            self.engine.unwatch(io::stdin())?;
            self.reading = false;
        }
        Ok(())
    }

    /// Reads once and does what it is told. `false` when the session shall end at once.
    fn read(&mut self) -> io::Result<bool> {
        if !self.input.read()? {
            self.end = Some(Instant::now() + LAST_WORK);
        }
        while let Some(line) = self.input.line() {
            let request = match line {
                Line::TooLong => Err(format!("a line is longer than {} bytes", input::LONGEST_LINE)),
                Line::Whole(line) if line.iter().all(u8::is_ascii_whitespace) => continue,
                Line::Whole(line) => serde_json::from_slice(&line).map_err(|e| format!("no request: {e}")),
            };
            match request.and_then(|request| self.obey(request)) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(why) => self.output.say(&Reply::Refused { why }),
            }
        }
        Ok(true)
    }

    /// Does what a request asks for. `Ok(false)` when the session shall end.
    fn obey(&mut self, request: Request) -> Result<bool, String> {
        match request {
            Request::Hello { .. } => self.output.say(&Reply::Hello {
                version: VERSION,
                identity: serve::own_identity(),
                sctp: Engine::sctp(),
                icmp: talk::icmp_available(),
                nameservers: Engine::resolver_addresses(),
            }),
            Request::Quit => return Ok(false),
            Request::Begin { group: FIRST_GROUP, .. } => {
                return Err(format!("group {FIRST_GROUP} is that of the pod's servers"));
            }
            Request::Look { group: FIRST_GROUP } | Request::End { group: FIRST_GROUP } | Request::Finish => {
                if let Err(why) = self.ask_servers(Of::Main, &request) {
                    self.output.say(&servers::failure(&request, why));
                }
            }
            Request::Alive { question, .. } => {
                // A pod without a sidecar has nobody to be asked there. One whose sidecar has ended has nobody either, and
                // then nobody says of its ports that he listens there.
                if self.ask_servers(Of::Sidecar, &request).is_ok() {
                    self.joined.insert(question, None);
                }
                if let Err(why) = self.ask_servers(Of::Main, &request) {
                    self.pass_on(servers::failure(&request, why));
                }
            }
            Request::Begin { group, tasks } => self.watch.begin(group, tasks)?,
            Request::Look { group } => {
                let report = self.watch.look(group);
                self.output.say(&report);
            }
            Request::End { group } => {
                let report = self.watch.end(group);
                self.output.say(&report);
            }
            Request::Probe { batch, deadline_ms, probes } => {
                if probes.len() > MAX_BATCH {
                    return Err(format!(
                        "batch {batch} has {} probes; at most {MAX_BATCH} fit",
                        probes.len()
                    ));
                }
                if deadline_ms == 0 {
                    return Err(format!("batch {batch} has no deadline"));
                }
                self.batches.begin(batch, probes.len() as u32, &mut self.output)?;
                let deadline = Duration::from_millis(deadline_ms.into());
                for probe in probes {
                    self.engine.submit(Job { batch, probe, deadline });
                }
            }
        }
        Ok(true)
    }

    fn ask_servers(&mut self, of: Of, request: &Request) -> Result<(), String> {
        let servers = match &mut self.servers[of as usize] {
            Some(servers) => servers,
            none => {
                let servers = Servers::connect(of)?;
                let watched = self.engine.watch(&servers, EpollFlags::EPOLLIN, SERVERS[of as usize]);
                watched.map_err(|e| format!("the servers cannot be waited for: {e}"))?;
                none.insert(servers)
            }
        };
        let asked = servers.ask(request.clone());
        if asked.is_err() {
            // They have gone, perhaps not without having answered what was asked before.
            self.hear_servers(of);
        }
        asked
    }

    /// Passes on what the pod's servers have answered; those that have gone can be looked for again.
    fn hear_servers(&mut self, of: Of) {
        let servers = &mut self.servers[of as usize];
        let Some(open) = servers else { return };
        let mut replies = Vec::new();
        if !open.read(&mut replies)
            && let Some(gone) = servers.take()
        {
            replies.extend(gone.failures());
        }
        replies.into_iter().for_each(|reply| self.pass_on(reply));
    }

    /// Says what servers have answered. Where the sidecar's were asked as well, what both say is one answer: all of their
    /// ports, or why one of them does not answer.
    fn pass_on(&mut self, reply: Reply) {
        let Reply::Alive { question, servers } = reply else { return self.output.say(&reply) };
        let servers = match self.joined.remove(&question) {
            None => servers,
            Some(None) => {
                self.joined.insert(question, Some(servers));
                return;
            }
            Some(Some(other)) => other.and_then(|other| servers.map(|servers| other.and(servers))),
        };
        self.output.say(&Reply::Alive { question, servers });
    }

    /// Writes what stdout takes now, and has it waited for when it does not take all.
    fn write(&mut self) -> io::Result<()> {
        let done = self.output.write()?;
        if done == self.writing {
            if done {
                self.engine.unwatch(io::stdout())?;
            } else {
                self.engine.watch(io::stdout(), EpollFlags::EPOLLOUT, STDOUT)?;
            }
            self.writing = !done;
        }
        Ok(())
    }
}

fn fatal(what: &str, error: &io::Error) -> Failure {
    Failure::Fatal(format!("{what}: {error}"))
}
