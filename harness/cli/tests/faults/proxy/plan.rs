//! Which request meets which fault: decided by the seed, the request, and how often it has been made before, so that
//! a seed gives the same faults however the requests interleave.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use super::http::Request;
use crate::dice::Dice;

/// What happens to a request that is neither a watch nor an exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// 429 with `Retry-After: 1` and plain text, as the API server's priority and fairness answers.
    TooMany,
    /// 429 and no word about when to come back.
    TooManyOpen,
    /// 429 as a Status that names its pause.
    TooManyStatus,
    /// 500 as a Status.
    Internal,
    /// 503 as a Status.
    Unavailable,
    /// 503 as a web page of something before the API server.
    Page,
    /// 502 without a word.
    BadGateway,
    /// 503 in JSON that is no Status.
    Foreign,
    /// The connection is reset before anything was done.
    Reset,
    /// The same, after the request was carried out.
    Lost,
    /// The same, in the middle of the answer.
    Half,
    /// Carried out late.
    Late,
    /// Never answered, and not carried out.
    Hung,
    /// Never answered, but carried out.
    HungDone,
}

/// What happens to a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watch {
    /// 410 as the answer.
    Gone,
    /// 410 as an event.
    GoneEvent,
    /// 503 as the answer.
    Unavailable,
    /// Ends without a word.
    Ended,
    /// Cut in the middle of an event or before it.
    Cut,
    /// Every event comes late.
    Late,
    /// Nothing comes.
    Stalled,
}

/// What happens to an exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exec {
    /// 500 as the kubelet's proxy answers.
    Internal,
    /// 503.
    Unavailable,
    /// 429.
    TooMany,
    /// Reset before there is a stream.
    Reset,
    /// What comes from the pod ends after so many bytes, the handshake's included.
    CutOut(usize),
    /// What goes to the pod ends after so many bytes.
    CutIn(usize),
    /// Both ways, nothing comes any more after so many bytes from the pod.
    Stalled(usize),
    /// The stream begins late.
    Late,
}

/// How often each fault was met, over all proxies of a test.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<Mutex<BTreeMap<String, u64>>>);

impl Counts {
    pub(crate) fn add(&self, what: &str) {
        *self.0.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap().clone()
    }
}

/// Length of a run's id.
const RUN_ID: usize = 7;

/// Faults by a seed.
pub(super) struct Plan {
    seed: u64,
    /// Of a thousand requests, those that meet a fault.
    calls: u64,
    watches: u64,
    execs: u64,
    seen: Mutex<HashMap<String, u32>>,
    counts: Counts,
}

const CALLS: [(u64, Call); 14] = [
    (4, Call::TooMany),
    (2, Call::TooManyOpen),
    (2, Call::TooManyStatus),
    (10, Call::Internal),
    (10, Call::Unavailable),
    (10, Call::Page),
    (10, Call::BadGateway),
    (6, Call::Foreign),
    (12, Call::Reset),
    (16, Call::Lost),
    (12, Call::Half),
    (12, Call::Late),
    (2, Call::Hung),
    (2, Call::HungDone),
];

const WATCHES: [(u64, Watch); 7] = [
    (2, Watch::Gone),
    (2, Watch::GoneEvent),
    (2, Watch::Unavailable),
    (2, Watch::Ended),
    (3, Watch::Cut),
    (2, Watch::Late),
    (1, Watch::Stalled),
];

impl Plan {
    pub(super) fn new(seed: u64, counts: Counts) -> Self {
        let mut dice = Dice::new(seed, "rates");
        let mut rate = || dice.weighed(&[(2, 0), (3, 30), (4, 80), (3, 160), (1, 300)]);
        let (calls, watches, execs) = (rate(), rate() * 6, rate() * 2);
        Self { seed, calls, watches: watches.min(800), execs: execs.min(400), seen: Mutex::default(), counts }
    }

    /// When the API server restarts, after the proxy's start, for how long it is away, and whether a load balancer
    /// stands before it, which takes connections and cuts them as long as there is nobody to pass them to.
    pub(super) fn restarts(&self) -> Vec<(Duration, Duration, bool)> {
        let mut dice = Dice::new(self.seed, "restarts");
        let times = dice.weighed(&[(7, 0), (2, 1), (1, 2)]);
        let mut all: Vec<_> = (0..times)
            .map(|_| {
                let (at, away) = (dice.below(3500), 50 + dice.below(750));
                (Duration::from_millis(at), Duration::from_millis(away), dice.below(2) == 0)
            })
            .collect();
        all.sort();
        all
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn call(&self, request: &Request) -> Option<Call> {
        let mut dice = self.dice(request);
        dice.permille(self.calls).then(|| self.met(request, "", dice.weighed(&CALLS)))
    }

    pub(super) fn watch(&self, request: &Request) -> Option<Watch> {
        let mut dice = self.dice(request);
        dice.permille(self.watches).then(|| self.met(request, "Watch", dice.weighed(&WATCHES)))
    }

    pub(super) fn exec(&self, request: &Request) -> Option<Exec> {
        let mut dice = self.dice(request);
        if !dice.permille(self.execs) {
            return None;
        }
        // Many cuts early, where each byte tells, and some late.
        let bytes = dice.below(110).pow(2) as usize;
        let fault = dice.weighed(&[
            (3, Exec::Internal),
            (3, Exec::Unavailable),
            (1, Exec::TooMany),
            (3, Exec::Reset),
            (12, Exec::CutOut(bytes)),
            (5, Exec::CutIn(bytes)),
            (2, Exec::Stalled(bytes)),
            (2, Exec::Late),
        ]);
        Some(self.met(request, "Exec", fault))
    }

    /// A pause for what is late.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_millis(20 + self.more(700))
    }

    /// A part of `whole`.
    pub(super) fn part(&self, whole: usize) -> usize {
        self.more(whole.max(1) as u64) as usize
    }

    fn more(&self, below: u64) -> u64 {
        self.dice_for("more").below(below)
    }

    fn met<F: std::fmt::Debug>(&self, request: &Request, of: &str, fault: F) -> F {
        let name = format!("{of}{fault:?}");
        crate::tell(|| format!("{name}: {} {}", request.method, request.target));
        self.counts.add(name.split('(').next().unwrap_or_default());
        fault
    }

    fn dice(&self, request: &Request) -> Dice {
        let (path, _) = request.target.split_once('?').unwrap_or((&request.target, ""));
        self.dice_for(&format!("{} {} {}", request.method, anonymous(path), request.watches()))
    }

    fn dice_for(&self, key: &str) -> Dice {
        let mut seen = self.seen.lock().unwrap();
        let times = seen.entry(key.to_owned()).or_default();
        *times += 1;
        Dice::new(self.seed, (key, *times))
    }
}

/// A path without the run's id, which is another in every run: `/api/v1/namespaces/f7-k3f9q0x1-x/pods`.
fn anonymous(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.split_once('-') {
        Some((prefix, rest)) if prefix.starts_with('f') => rest.get(RUN_ID..).unwrap_or(rest),
        _ => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}
