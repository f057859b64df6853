//! `verdikt-probe agent`: requests on stdin, results on stdout, until the end of stdin.
//!
//! ```text
//! stdin ──► input: lines ──► Request ──► engine ──► batches: coalesced ──► output ──► stdout
//! ```

mod batches;
mod input;
mod output;

use std::{
    io,
    time::{Duration, Instant},
};

use nix::sys::epoll::EpollFlags;
use verdikt_protocol::{MAX_BATCH, Reply, Request, VERSION};

use self::{
    batches::Batches,
    input::{Input, Line},
    output::Output,
};
use crate::{
    Failure,
    arguments::{Arguments, unknown},
    engine::{EXTERNAL, Engine, Job},
    serve, system, talk,
};

/// Keys of the session's own descriptors.
const STDIN: u64 = EXTERNAL;
const STDOUT: u64 = EXTERNAL + 1;

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
    let engine = Engine::new(system::raise_descriptor_limit()).map_err(|e| fatal("cannot begin", &e))?;
    let mut session = Session {
        engine,
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
                self.batches.flush_at().into_iter().chain(self.end).min()
            };
            let ready = self.engine.turn(limit)?;
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
                && (self.batches.is_empty() && self.output.is_empty() || Instant::now() >= end)
            {
                return Ok(());
            }
        }
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
            Request::Begin { .. } | Request::Look { .. } | Request::End { .. } | Request::Finish => {
                return Err("not known".into());
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
