//! Tasks that go on: samples, held connections, transfers.
//!
//! ```text
//! Begin ──► check ──► Running: sample | stream, datagram (hold) | transfer ──► Runs ──► Report
//!                        ▲                     ▲
//!                  timerfd (µs)            sockets          all in one epoll instance
//! ```
//!
//! The instance is itself a descriptor that its embedder waits for: the session beside its probes, a server in a
//! thread. Nothing is concluded from silence before the sockets have been looked at later than its end.

mod check;
mod datagram;
mod deadlines;
mod hearing;
mod questions;
mod room;
mod runs;
mod sample;
mod stream;
mod tools;
mod transfer;

use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    errno::Errno,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
};
use verdikt_protocol::{Reply, Run, Task, TaskReport, Work};

use self::{
    check::destination, datagram::Datagram, room::Room, sample::Sample, stream::Stream, tools::Tools,
    transfer::Transfer,
};
use crate::system::now_us;

/// Events that are taken at once.
const EVENTS: usize = 256;

/// How often that is done before others get their turn.
const ROUNDS: usize = 8;

/// Key of the timer: no task has it.
const TIMER: u64 = u64::MAX;

/// Low bits of a key: the attempt within its task. At one each millisecond they last for 30 years.
const ATTEMPT_BITS: u32 = 40;

/// Ids of tasks are below this.
const LAST_ID: u64 = 1 << 23;

/// A task at work.
trait Running: Send {
    /// When it wants [`Self::keep_time`]; `None` when it only waits for its sockets, or is over.
    fn due(&mut self) -> Option<u64>;

    /// Something happened on the socket of an attempt.
    fn hear(&mut self, attempt: u64, events: EpollFlags, tools: &mut Tools);

    /// Does what was due at `looked`; all that came before then has been heard.
    fn keep_time(&mut self, looked: u64, tools: &mut Tools);

    /// What has become of it.
    fn runs(&self) -> &[Run];

    /// Bytes that came back.
    fn bytes(&self) -> u64 {
        0
    }

    /// Source port of a held connection.
    fn source_port(&self) -> Option<u16> {
        None
    }
}

/// All groups of tasks of a process.
pub(crate) struct Watch {
    tools: Tools,
    timer: TimerFd,
    groups: BTreeMap<u64, Vec<u64>>,
    tasks: BTreeMap<u64, Entry>,
    next_id: u64,
}

struct Entry {
    n: u32,
    began: u64,
    running: Box<dyn Running>,
}

impl Watch {
    /// Nothing to do. At most `sockets` are open at a time.
    pub(crate) fn new(sockets: usize) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        let tools = Tools::new(epoll, Room::new(sockets));
        Ok(Self { tools, timer, groups: BTreeMap::new(), tasks: BTreeMap::new(), next_id: 0 })
    }

    /// Begins a group. All of it or, with a reason, nothing.
    pub(crate) fn begin(&mut self, group: u64, tasks: Vec<Task>) -> Result<(), String> {
        self.begin_since(group, tasks, now_us(), None)
    }

    /// The same, for tasks that have been wanted since `began`, with no new attempts after `until`.
    pub(crate) fn begin_since(
        &mut self,
        group: u64,
        tasks: Vec<Task>,
        began: u64,
        until: Option<u64>,
    ) -> Result<(), String> {
        check::group(&tasks)?;
        if self.groups.contains_key(&group) {
            return Err("these connections are watched already".into());
        }
        if self.next_id + tasks.len() as u64 > LAST_ID {
            return Err("too many connections have been watched in this session".into());
        }
        let mut ids = Vec::with_capacity(tasks.len());
        for Task { probe, work } in tasks {
            let (id, n, to) = (self.next_id, probe.n, destination(&probe)?);
            let key = id << ATTEMPT_BITS;
            let tools = &mut self.tools;
            let mut running: Box<dyn Running> = match work {
                Work::Sample { interval_us, patience_ms } => {
                    Box::new(Sample::new(key, probe, to, began, interval_us, patience_ms, until))
                }
                Work::Hold { interval_us, patience_ms } if check::is_stream(&probe) => {
                    Box::new(Stream::begin(key, probe, to, interval_us, patience_ms, tools))
                }
                Work::Hold { interval_us, patience_ms } => {
                    Box::new(Datagram::begin(key, probe, to, interval_us, patience_ms, tools))
                }
                Work::Transfer { bytes, patience_ms } => {
                    Box::new(Transfer::begin(key, probe, to, bytes, patience_ms, tools))
                }
            };
            running.keep_time(now_us(), tools);
            self.tasks.insert(id, Entry { n, began, running });
            self.next_id += 1;
            ids.push(id);
        }
        self.groups.insert(group, ids);
        self.arm();
        Ok(())
    }

    /// How a group stands.
    pub(crate) fn look(&mut self, group: u64) -> Reply {
        self.turn();
        let tasks = self.groups.get(&group).map(|ids| self.reports(ids));
        let tasks = tasks.ok_or_else(|| "nothing of this kind is watched".to_owned());
        Reply::Report { group, now_us: now_us(), tasks }
    }

    /// Ends a group and says how it stood.
    pub(crate) fn end(&mut self, group: u64) -> Reply {
        let report = self.look(group);
        for id in self.groups.remove(&group).unwrap_or_default() {
            self.tasks.remove(&id);
        }
        report
    }

    /// Whether anything is still due, or could still be heard.
    pub(crate) fn is_over(&mut self) -> bool {
        self.tasks.values_mut().all(|task| task.running.due().is_none())
    }

    /// Gets on with everything, without waiting.
    pub(crate) fn turn(&mut self) {
        let mut events = [EpollEvent::empty(); EVENTS];
        for _ in 0..ROUNDS {
            // Whatever arrived before this moment is among the events, once there are no more than fit.
            let looked = now_us();
            let count = match self.tools.epoll.wait(&mut events, EpollTimeout::ZERO) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                // Only wrong arguments could be the cause.
                Err(_) => 0,
            };
            for event in &events[..count] {
                let (id, attempt) = (event.data() >> ATTEMPT_BITS, event.data() & ((1 << ATTEMPT_BITS) - 1));
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.running.hear(attempt, event.events(), &mut self.tools);
                }
            }
            if count < EVENTS {
                self.keep_time(looked);
                break;
            }
        }
        // What is still due sets it off at once.
        self.arm();
    }

    fn keep_time(&mut self, looked: u64) {
        for task in self.tasks.values_mut() {
            if task.running.due().is_some_and(|due| due <= looked) {
                task.running.keep_time(looked, &mut self.tools);
            }
        }
    }

    /// Has the timer go off when something is due.
    fn arm(&mut self) {
        // Without anything due it is silenced. Neither call fails for a timer of ours.
        let _ = match self.tasks.values_mut().filter_map(|task| task.running.due()).min() {
            Some(due) => {
                let due = due.max(1);
                let at = TimeSpec::new((due / 1_000_000) as i64, (due % 1_000_000 * 1000) as i64);
                self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
            None => self.timer.unset(),
        };
    }

    fn reports(&self, ids: &[u64]) -> Vec<TaskReport> {
        let tasks = ids.iter().filter_map(|id| self.tasks.get(id));
        let mut reports: Vec<TaskReport> = tasks
            .map(|task| TaskReport {
                n: task.n,
                began_us: task.began,
                runs: task.running.runs().to_vec(),
                bytes: task.running.bytes(),
                source_port: task.running.source_port(),
            })
            .collect();
        reports.sort_by_key(|report| report.n);
        reports
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tools.epoll.0.as_fd()
    }
}
