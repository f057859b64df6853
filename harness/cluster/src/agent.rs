//! The agent of one source pod: a session that is reopened when it is lost, with its questions asked again.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use verdikt_protocol::{Probe, ProbeResult, Serving};

use crate::{
    id::jitter,
    patience::Patience,
    session::{Hello, Session},
};

/// How often the questions of a lost session are asked again, unless its patience ends before.
const REOPENED: u32 = 3;
/// Pause before the first reopening; doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// Longest wait for a sign of life.
const CHECK_LIMIT: Duration = Duration::from_secs(5);

/// Opens a session.
pub type Opener = Box<dyn Fn() -> BoxFuture<'static, Result<Session, String>> + Send + Sync>;

/// The agent of one source pod.
pub struct Agent {
    open: Opener,
    patience: Patience,
    session: Mutex<Option<Arc<Session>>>,
}

impl Agent {
    /// An agent whose sessions are opened so. Nothing is opened yet.
    pub fn new(open: Opener, patience: Patience) -> Self {
        Self { open, patience, session: Mutex::new(None) }
    }

    /// What the agent says of itself; opens the session if need be.
    ///
    /// # Errors
    /// Why no session could be opened, after bounded retries.
    pub async fn hello(&self) -> Result<Hello, String> {
        let mut cause = String::new();
        let since = Instant::now();
        for attempt in 0..=REOPENED {
            if !self.pause(attempt, since).await {
                break;
            }
            match self.current().await {
                Ok(session) => return Ok(session.hello().clone()),
                Err(why) => cause = why,
            }
        }
        Err(cause)
    }

    /// Asks for probes, whose `n` must count up from 0. For each, `sink` gets one answer, as soon as it is there:
    /// its index and a result, or why there is none after a lost session was reopened `REOPENED` times.
    pub async fn probe(
        &self,
        probes: Vec<Probe>,
        deadline: Duration,
        sink: &mut (dyn FnMut(usize, Result<ProbeResult, &str>) + Send),
    ) {
        // All probes of a batch run at once; names are resolved before, which takes a few tries of its own.
        let limit = deadline * 4 + self.patience.answer;
        let mut answered = vec![false; probes.len()];
        let mut asked = probes;
        // `map[n]` is the index of the probe that is asked as `n`.
        let mut map: Vec<usize> = (0..asked.len()).collect();
        let mut cause = String::new();
        let since = Instant::now();
        for attempt in 0..=REOPENED {
            if !self.pause(attempt, since).await {
                break;
            }
            let session = match self.current().await {
                Ok(session) => session,
                Err(why) => {
                    cause = why;
                    continue;
                }
            };
            let mut take = |result: ProbeResult| {
                let index = map[result.n as usize];
                answered[index] = true;
                sink(index, Ok(result));
            };
            let Err(why) = session.probe(&asked, deadline, limit, &mut take).await else { return };
            cause = why;
            self.forget(&session).await;
            let left = asked.into_iter().zip(map).filter(|(_, index)| !answered[*index]);
            (asked, map) =
                left.enumerate().map(|(n, (probe, index))| (Probe { n: n as u32, ..probe }, index)).unzip();
        }
        for (index, _) in answered.iter().enumerate().filter(|(_, answered)| !**answered) {
            sink(index, Err(&cause));
        }
    }

    /// Makes sure that the agent answers, and so that its pod lives; a lost session is reopened for it.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn check(&self) -> Result<(), String> {
        let mut cause = String::new();
        let since = Instant::now();
        for attempt in 0..=REOPENED {
            if !self.pause(attempt, since).await {
                break;
            }
            let session = match self.current().await {
                Ok(session) => session,
                Err(why) => {
                    cause = why;
                    continue;
                }
            };
            // An empty batch is done at once.
            match session
                .probe(&[], Duration::from_secs(1), CHECK_LIMIT.min(self.patience.answer), &mut |_| {})
                .await
            {
                Ok(()) => return Ok(()),
                Err(why) => cause = why,
            }
            self.forget(&session).await;
        }
        Err(cause)
    }

    /// Makes sure that the pod's servers live: the loop that answers probes answers its agent within `patience`. Gives
    /// where they listen.
    ///
    /// # Errors
    /// Why nobody can tell that they do, for people.
    pub async fn alive(&self, patience: Duration) -> Result<Serving, String> {
        let mut cause = String::new();
        let since = Instant::now();
        for attempt in 0..=REOPENED {
            if !self.pause(attempt, since).await {
                break;
            }
            let session = match self.current().await {
                Ok(session) => session,
                Err(why) => {
                    cause = why;
                    continue;
                }
            };
            match session.alive(patience, CHECK_LIMIT.min(self.patience.answer)).await {
                Ok(servers) => return servers,
                Err(why) => cause = why,
            }
            self.forget(&session).await;
        }
        Err(cause)
    }

    /// A session, reopened if need be, for what cannot be asked again when it is lost.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, String> {
        self.hello().await?;
        self.current().await
    }

    /// How long an answer may take.
    pub(crate) const fn answer_limit(&self) -> Duration {
        self.patience.answer
    }

    /// Ends the session, if there is one.
    pub async fn quit(&self) {
        if let Some(session) = self.session.lock().await.take() {
            session.quit().await;
        }
    }

    /// Pauses before another attempt; `false` when what began then has been tried for too long.
    async fn pause(&self, attempt: u32, since: Instant) -> bool {
        if attempt == 0 {
            return true;
        }
        sleep(jitter(PAUSE * 2_u32.pow(attempt - 1))).await;
        since.elapsed() < self.patience.lost
    }

    async fn current(&self) -> Result<Arc<Session>, String> {
        let mut slot = self.session.lock().await;
        match &*slot {
            Some(session) if session.over().is_none() => Ok(Arc::clone(session)),
            _ => {
                let session = Arc::new((self.open)().await?);
                *slot = Some(Arc::clone(&session));
                Ok(session)
            }
        }
    }

    async fn forget(&self, lost: &Arc<Session>) {
        let mut slot = self.session.lock().await;
        if slot.as_ref().is_some_and(|session| Arc::ptr_eq(session, lost)) {
            *slot = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, duplex, split};
    use verdikt_protocol::{ProbeVerdict, Reply, Request, Target, Transport, VERSION};

    use super::*;

    fn probes(n: u32) -> Vec<Probe> {
        (0..n)
            .map(|n| Probe {
                n,
                to: Target::Ip("10.0.0.1".parse().unwrap()),
                port: 1000 + n as u16,
                transport: Transport::Tcp,
                from: None,
                expect: vec![],
                query: None,
                http: None,
            })
            .collect()
    }

    /// An agent that dies after `answered` results of each of its first `deaths` sessions. The round-trip time of
    /// a result is the port that was probed, so that mixed-up answers show.
    fn mortal(deaths: u32, answered: usize, sessions: Arc<AtomicU32>) -> Agent {
        let open = Box::new(move || -> BoxFuture<'static, Result<Session, String>> {
            let mortal = sessions.fetch_add(1, Ordering::SeqCst) < deaths;
            Box::pin(async move {
                let (ours, theirs) = duplex(1 << 16);
                tokio::spawn(async move {
                    let (reader, mut writer) = split(theirs);
                    let mut lines = BufReader::new(reader).lines();
                    while let Ok(Some(line)) = lines.next_line().await {
                        let replies = match serde_json::from_str(&line).unwrap() {
                            Request::Hello { .. } => vec![Reply::Hello {
                                version: VERSION,
                                identity: "x/a".into(),
                                sctp: Ok(()),
                                icmp: Ok(()),
                                nameservers: vec![],
                            }],
                            Request::Probe { batch, probes, .. } => {
                                let keep = if mortal { answered } else { probes.len() };
                                let results: Vec<_> = probes
                                    .iter()
                                    .take(keep)
                                    .map(|p| ProbeResult {
                                        n: p.n,
                                        verdict: ProbeVerdict::Allowed,
                                        rtt_us: u32::from(p.port),
                                        sockets: 1,
                                        detail: None,
                                        source: None,
                                        status: None,
                                    })
                                    .collect();
                                let count = probes.len() as u32;
                                vec![Reply::Results { batch, results }, Reply::Done { batch, count }]
                            }
                            Request::Begin { .. }
                            | Request::Look { .. }
                            | Request::End { .. }
                            | Request::Finish => vec![],
                            Request::Alive { question, .. } if mortal => {
                                vec![Reply::Alive { question: question + 1, servers: Err("?".into()) }]
                            }
                            Request::Alive { question, .. } => {
                                vec![Reply::Alive { question, servers: Err("they sleep".into()) }]
                            }
                            Request::Quit => return,
                        };
                        for reply in &replies {
                            if mortal && matches!(reply, Reply::Done { .. }) {
                                return;
                            }
                            let line = serde_json::to_string(reply).unwrap() + "\n";
                            writer.write_all(line.as_bytes()).await.unwrap();
                        }
                    }
                });
                let (reader, writer) = split(ours);
                Session::open(reader, writer, Box::pin(std::future::pending())).await
            })
        });
        Agent::new(open, Patience::default())
    }

    /// Asks for ten probes; each answer as the port that was probed, or why there is none.
    async fn ask(agent: &Agent) -> Vec<Result<u32, String>> {
        let mut answers = vec![None; 10];
        let mut sink = |index: usize, answer: Result<ProbeResult, &str>| {
            let answer = answer.map(|result| result.rtt_us).map_err(str::to_owned);
            assert_eq!(answers[index].replace(answer), None, "answered twice");
        };
        agent.probe(probes(10), Duration::from_secs(1), &mut sink).await;
        answers.into_iter().map(|answer| answer.expect("every probe is answered")).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_session_is_reopened_and_only_unanswered_probes_are_asked_again() {
        let sessions = Arc::new(AtomicU32::new(0));
        let agent = mortal(2, 3, Arc::clone(&sessions));
        let answers = ask(&agent).await;
        let ports: Vec<u32> = answers.into_iter().map(|a| a.unwrap()).collect();
        assert_eq!(ports, (1000..1010).collect::<Vec<_>>());
        assert_eq!(sessions.load(Ordering::SeqCst), 3);
        assert_eq!(agent.check().await, Ok(()));
        assert_eq!(sessions.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_outlives_a_lost_session_and_what_the_agent_says_of_the_servers_stands() {
        let sessions = Arc::new(AtomicU32::new(0));
        let agent = mortal(2, 0, Arc::clone(&sessions));
        assert_eq!(agent.alive(Duration::from_millis(300)).await, Err("they sleep".into()));
        assert_eq!(sessions.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_reopening_is_bounded_and_the_rest_has_its_cause() {
        let sessions = Arc::new(AtomicU32::new(0));
        let agent = mortal(u32::MAX, 1, Arc::clone(&sessions));
        let answers = ask(&agent).await;
        assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 4);
        assert!(answers[9].as_ref().unwrap_err().contains("stream ended"), "{answers:?}");
        assert_eq!(sessions.load(Ordering::SeqCst), REOPENED + 1);
        assert!(agent.check().await.is_err());
    }
}
