//! The probe engine: many probes in flight on one epoll instance.
//!
//! ```text
//! Job ──► waiting ──► Active (a plan in time) ──► Talk, Talk (sockets) ──► Heard ──► Finished
//! ```
//!
//! A verdict is never guessed: allowed needs an identified answer, rejected an error that came over the network,
//! dropped silence on two sockets; everything else is an error with its cause. A probe's clock starts when its
//! first socket is opened, and silence is concluded only after the sockets have been looked at *later* than the
//! deadline: an agent that the scheduler has left waiting finds the answers that came meanwhile.

mod decide;
mod outcome;
mod pace;
mod probe;
mod slab;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    time::Instant,
};

use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use verdikt_protocol::{ProbeVerdict, Target, Transport};

pub(crate) use self::outcome::{Finished, Job, Outcome};
use self::{
    pace::Pace,
    probe::{Active, Phase, Step},
    slab::{Key, Slab},
};
use crate::{
    resolv,
    system::Random,
    talk::{self, Again, Cause, PROBES, Question, SourcePorts, Speech, Talk},
};

/// Keys from here on belong to descriptors of who embeds the engine.
pub(crate) const EXTERNAL: u64 = 1 << 63;

/// Descriptors that are kept for everything that is no probe.
const RESERVED_DESCRIPTORS: usize = 64;

/// Most probes in flight.
const MOST_ACTIVE: usize = 4096;

/// Events that are taken at once.
const EVENTS: usize = 256;

/// Port of name servers.
const DNS_PORT: u16 = 53;

/// The engine.
pub(crate) struct Engine {
    epoll: Epoll,
    events: Vec<EpollEvent>,
    waiting: VecDeque<Job>,
    probes: Slab<Active>,
    talks: Slab<Talk>,
    /// (when, probe). An entry outlives its probe; then it does nothing.
    timers: BinaryHeap<Reverse<(Instant, Key)>>,
    most_active: usize,
    pace: Pace,
    ports: SourcePorts,
    random: Random,
    /// What has ended since the embedder last looked.
    pub(crate) finished: Vec<Finished>,
}

impl Engine {
    /// An engine that may use so many descriptors.
    pub(crate) fn new(descriptors: usize) -> io::Result<Self> {
        let mut random = Random::new();
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            events: vec![EpollEvent::empty(); EVENTS],
            waiting: VecDeque::new(),
            probes: Slab::new(),
            talks: Slab::new(),
            timers: BinaryHeap::new(),
            most_active: (descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2).clamp(1, MOST_ACTIVE),
            pace: Pace::new(),
            ports: SourcePorts::new(PROBES, random.next()),
            random,
            finished: Vec::new(),
        })
    }

    /// Takes a probe on.
    pub(crate) fn submit(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Probes that have not begun.
    pub(crate) fn backlog(&self) -> usize {
        self.waiting.len()
    }

    /// Has [`Self::turn`] report a descriptor of the embedder's, too. Regular files cannot be waited for (EPERM).
    pub(crate) fn watch(&self, fd: impl AsFd, events: EpollFlags, key: u64) -> nix::Result<()> {
        self.epoll.add(fd, EpollEvent::new(events, key))
    }

    /// Takes that back.
    pub(crate) fn unwatch(&self, fd: impl AsFd) -> nix::Result<()> {
        self.epoll.delete(fd)
    }

    /// Gets on with everything, waiting at most until `limit` for something to happen. Returns the embedder's
    /// descriptors that are ready.
    pub(crate) fn turn(&mut self, limit: Option<Instant>) -> io::Result<Vec<(u64, EpollFlags)>> {
        while self.has_room()
            && let Some(job) = self.waiting.pop_front()
        {
            self.start(job);
        }
        // Whatever arrived before this moment is among the events, unless there are more than fit.
        let looked = Instant::now();
        let patience = self.patience(looked, limit);
        let count = match self.epoll.wait(&mut self.events, patience) {
            Ok(count) => count,
            Err(Errno::EINTR) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        let mut ready = Vec::new();
        for i in 0..count {
            let (key, events) = (self.events[i].data(), self.events[i].events());
            if key >= EXTERNAL {
                ready.push((key, events));
            } else {
                self.listen(key, events);
            }
        }
        if count < EVENTS {
            self.keep_time(looked);
            self.pace.expire(looked, |key| {
                self.probes.get_mut(key).is_some_and(|active| std::mem::take(&mut active.paced))
            });
        }
        Ok(ready)
    }

    fn patience(&mut self, now: Instant, limit: Option<Instant>) -> EpollTimeout {
        if !self.finished.is_empty() {
            return EpollTimeout::ZERO;
        }
        while let Some(Reverse((_, key))) = self.timers.peek()
            && self.probes.get_mut(*key).is_none()
        {
            self.timers.pop();
        }
        let timer = self.timers.peek().map(|Reverse((when, _))| *when);
        let start = if self.waiting.is_empty() { None } else { self.pace.due() };
        let Some(until) = timer.into_iter().chain(start).chain(limit).min() else {
            return EpollTimeout::NONE;
        };
        // Rounded up: a wait that ends too early would have to be repeated.
        let left = until.saturating_duration_since(now).as_micros().div_ceil(1000);
        EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
    }

    fn has_room(&self) -> bool {
        self.pace.has_room() && self.probes.len() < self.most_active
    }

    fn start(&mut self, job: Job) {
        let now = Instant::now();
        let phase = match &job.probe.to {
            Target::Ip(ip) => Ok(Phase::Probing(SocketAddr::new(*ip, job.probe.port))),
            Target::Name { .. } => {
                self.name_servers().map(|servers| Phase::Resolving { servers, last: None })
            }
        };
        match phase {
            Ok(phase) => {
                let key = self.probes.insert(Active::new(job, phase, now));
                self.pace.started(key, now);
                self.begin(key, now);
            }
            Err(why) => {
                let outcome = Outcome::bare(ProbeVerdict::Error, Some(format!("resolution: {why}")));
                self.finished.push(Finished { batch: job.batch, n: job.probe.n, outcome });
            }
        }
    }

    fn name_servers(&self) -> Result<Vec<SocketAddr>, String> {
        let servers: Vec<_> =
            resolv::nameservers()?.into_iter().map(|ip| SocketAddr::new(ip, DNS_PORT)).collect();
        if servers.is_empty() { Err("resolv.conf names no server".into()) } else { Ok(servers) }
    }

    /// Begins a phase: its first socket and its first timer.
    fn begin(&mut self, key: Key, now: Instant) {
        self.open(key, now);
        if let Some(active) = self.probes.get_mut(key) {
            self.timers.push(Reverse((active.due(), key)));
        }
    }

    /// Opens the phase's next socket.
    fn open(&mut self, key: Key, now: Instant) {
        let Some(active) = self.probes.get_mut(key) else { return };
        let at = usize::from(active.sockets).min(1);
        active.sockets += 1;
        match self.converse(key, at, now) {
            Ok(()) => {}
            Err(cause) => self.decide(key, None, cause.into()),
        }
    }

    fn converse(&mut self, key: Key, at: usize, now: Instant) -> Result<(), Cause> {
        let Some(active) = self.probes.get_mut(key) else { return Ok(()) };
        let probe = &active.job.probe;
        let (ports, random) = (&mut self.ports, &mut self.random);
        let talk = match (&active.phase, &probe.to) {
            (Phase::Resolving { servers, .. }, Target::Name { name, family }) => {
                let to = servers[at % servers.len()];
                let questions = talk::of_family(name, *family, random).map_err(Cause::Failed)?;
                let socket = talk::datagram(to, None, ports, now)?;
                Talk::begin(key, (Transport::Udp, to), socket, now, Speech::dns(questions, false))?
            }
            (Phase::Resolving { .. }, Target::Ip(_)) => return Ok(()),
            (Phase::Probing(to), _) => Talk::open(key, probe, *to, ports, random, Again::Soon)?,
        };
        self.join(at, talk)
    }

    /// Asks a name server again over TCP, because its answer did not fit a datagram.
    fn ask_over_tcp(
        &mut self,
        key: Key,
        at: usize,
        to: SocketAddr,
        questions: Vec<Question>,
    ) -> Result<(), Cause> {
        let socket = talk::connection(to, None)?;
        let speech = Speech::dns(questions, true);
        self.join(at, Talk::begin(key, (Transport::Tcp, to), socket, Instant::now(), speech)?)
    }

    fn join(&mut self, at: usize, talk: Talk) -> Result<(), Cause> {
        let (probe, interest) = (talk.owner, talk.interest());
        let key = self.talks.insert(talk);
        if let (Some(active), Some(talk)) = (self.probes.get_mut(probe), self.talks.get_mut(key)) {
            active.talks[at] = Some(key);
            let added = self.epoll.add(&talk.socket, EpollEvent::new(interest, key));
            return added.map_err(|e| talk::local("epoll_ctl", &e.into()));
        }
        self.talks.remove(key);
        Ok(())
    }

    fn listen(&mut self, key: Key, events: EpollFlags) {
        if let Some(talk) = self.talks.get_mut(key) {
            let (probe, heard) = (talk.owner, talk.listen(events));
            self.decide(probe, Some(key), heard);
        }
    }

    /// Does what was due before `now`.
    fn keep_time(&mut self, now: Instant) {
        while let Some(Reverse((when, key))) = self.timers.peek().copied()
            && when <= now
        {
            self.timers.pop();
            while let Some(step) = self.probes.get_mut(key).and_then(|active| active.step(now)) {
                match step {
                    Step::Second => self.open(key, Instant::now()),
                    Step::Again(at) => self.again(key, at),
                    Step::End => {
                        self.end(key, now, now - when);
                        break;
                    }
                }
            }
            if let Some(active) = self.probes.get_mut(key) {
                self.timers.push(Reverse((active.due(), key)));
            }
        }
    }

    fn again(&mut self, key: Key, at: usize) {
        let talk = self.probes.get_mut(key).and_then(|active| active.talks[at]);
        if let Some(talk) = talk
            && let Some(heard) = self.talks.get_mut(talk).map(|t| t.again())
        {
            self.decide(key, Some(talk), heard);
        }
    }

    /// Whether this machine can make SCTP sockets; otherwise why not.
    pub(crate) fn sctp() -> Result<(), String> {
        use socket2::{Domain, Protocol, Socket, Type};
        match Socket::new(Domain::IPV4, Type::STREAM.cloexec(), Some(Protocol::SCTP)) {
            Ok(_) => Ok(()),
            Err(e) => match talk::local("socket", &e) {
                Cause::Failed(why) | Cause::Filtered(why) | Cause::Rejected(why) => Err(why),
                Cause::Nothing | Cause::GaveUp => Err(e.to_string()),
            },
        }
    }

    /// The name servers that names are resolved with, without the port.
    pub(crate) fn resolver_addresses() -> Vec<IpAddr> {
        resolv::nameservers().unwrap_or_default()
    }
}
