//! One agent session: JSON lines over a pair of streams, many batches in flight, every result counted.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::timeout,
};
use verdikt_protocol::{Probe, ProbeResult, Reply, Request, Serving, Task, TaskReport, VERSION};

/// How long what has come already may take to be read when the connection is over.
const REST: Duration = Duration::from_millis(100);
/// Requests that wait to be written.
const QUEUE: usize = 4;
/// Longest line that is believed: a whole batch of results with details stays far below.
const MAX_LINE: usize = 8 << 20;

/// What an agent said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The pod's identity.
    pub identity: String,
    /// Why SCTP sockets cannot be made there; `None` when they can.
    pub no_sctp: Option<String>,
    /// Why ICMP echo requests cannot be sent from there; `None` when they can.
    pub no_icmp: Option<String>,
    /// The pod's name servers.
    pub nameservers: Vec<IpAddr>,
}

/// The end of a connection and its cause, told by whoever keeps it.
pub type Epitaph = std::pin::Pin<Box<dyn Future<Output = Option<String>> + Send>>;

/// An open session. Dropping it ends it.
pub struct Session {
    hello: Hello,
    lines: mpsc::Sender<Vec<u8>>,
    pending: Arc<Mutex<Table>>,
    next: AtomicU64,
    tasks: [AbortHandle; 2],
}

#[derive(Default)]
struct Table {
    /// Why the session is over, once it is.
    over: Option<String>,
    batches: HashMap<u64, Batch>,
    /// Who waits for reports of a group, in the order in which they asked.
    groups: HashMap<u64, VecDeque<oneshot::Sender<Result<Told, String>>>>,
    /// Who waits for the end of the servers.
    finishing: VecDeque<oneshot::Sender<Result<(), String>>>,
    /// Who waits for a sign of life of the servers, by question.
    alive: HashMap<u64, oneshot::Sender<Result<Servers, String>>>,
}

/// Where a pod's servers listen, or why nobody can tell that they live.
pub(crate) type Servers = Result<Serving, String>;

/// What a report of a group tells: the pod's clock, and its tasks or why there is nothing to tell.
pub(crate) type Told = (u64, Result<Vec<TaskReport>, String>);

struct Batch {
    asked: usize,
    answered: Vec<bool>,
    count: usize,
    out: mpsc::UnboundedSender<Message>,
}

/// What the reader tells the one who waits for a batch.
enum Message {
    /// Some results, each from a complete line and counted.
    Results(Vec<ProbeResult>),
    /// All have come.
    Done,
    /// The session is over before that.
    Lost(String),
}

impl Session {
    /// Opens a session on these streams: says hello and waits for the answer, for as long as the caller does. `epitaph`
    /// resolves when the connection is over, whether the stream says so or not, and tells why; it also keeps alive
    /// whatever must live as long as the session.
    ///
    /// # Errors
    /// No or a wrong answer: another protocol version, or an agent that could not start.
    pub async fn open<R, W>(reader: R, writer: W, epitaph: Epitaph) -> Result<Self, String>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let pending = Arc::new(Mutex::new(Table::default()));
        let (hello_tx, hello_rx) = oneshot::channel();
        let (lines, queue) = mpsc::channel(QUEUE);
        let writing = tokio::spawn(write(writer, queue));
        let reading = tokio::spawn(read(reader, Arc::clone(&pending), hello_tx, epitaph));
        let tasks = [writing.abort_handle(), reading.abort_handle()];
        let mut session = Self {
            hello: Hello { identity: String::new(), no_sctp: None, no_icmp: None, nameservers: Vec::new() },
            lines,
            pending,
            next: AtomicU64::new(1),
            tasks,
        };
        let ended = |session: &Self| session.over().unwrap_or_else(|| "the stream ended".into());
        if session.lines.send(line(&Request::Hello { version: VERSION })).await.is_err() {
            return Err(ended(&session));
        }
        let Ok(hello) = hello_rx.await else { return Err(ended(&session)) };
        let Reply::Hello { version, identity, sctp, icmp, nameservers } = hello else {
            return Err("the agent's first answer is no hello".into());
        };
        if version != VERSION {
            return Err(format!(
                "the agent speaks protocol version {version}, verdikt {VERSION}; use the probe image of this release"
            ));
        }
        session.hello = Hello { identity, no_sctp: sctp.err(), no_icmp: icmp.err(), nameservers };
        Ok(session)
    }

    /// What the agent said of itself.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Why the session is over; `None` while it is open.
    pub fn over(&self) -> Option<String> {
        self.pending.lock().expect("no holder of the lock panics").over.clone()
    }

    /// Asks for a batch of probes, whose `n` must count up from 0, and waits at most `limit` for all of them. Each
    /// result goes to `sink` as soon as it comes, and never twice.
    ///
    /// # Errors
    /// Why the session ended, or what nonsense it answered; then it is over for good. What was in `sink` until then
    /// is good.
    pub async fn probe(
        &self,
        probes: &[Probe],
        deadline: Duration,
        limit: Duration,
        sink: &mut (dyn FnMut(ProbeResult) + Send),
    ) -> Result<(), String> {
        let batch = self.next.fetch_add(1, Ordering::Relaxed);
        let asked = probes.len();
        debug_assert!(probes.iter().enumerate().all(|(i, p)| p.n as usize == i));
        let deadline_ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX).max(1);
        let request = line(&Ask { op: "probe", batch, deadline_ms, probes });
        let (out, mut messages) = mpsc::unbounded_channel();
        {
            let mut table = self.pending.lock().expect("no holder of the lock panics");
            if let Some(cause) = &table.over {
                return Err(cause.clone());
            }
            table.batches.insert(batch, Batch { asked, answered: vec![false; asked], count: 0, out });
        }
        let answer = async {
            // A closed queue means that the writer is gone; the reader then tells why.
            let _ = self.lines.send(request).await;
            loop {
                match messages.recv().await {
                    Some(Message::Results(results)) => results.into_iter().for_each(&mut *sink),
                    Some(Message::Done) => return Ok(()),
                    Some(Message::Lost(cause)) => return Err(cause),
                    None => return Err("the session was closed".to_owned()),
                }
            }
        };
        match timeout(limit, answer).await {
            Ok(ended) => ended,
            Err(_) => {
                let cause = format!("no answer to {asked} probes within {} s", limit.as_secs());
                let mut table = self.pending.lock().expect("no holder of the lock panics");
                table.batches.remove(&batch);
                table.end(&cause);
                Err(cause)
            }
        }
    }

    /// Begins a group of tasks; gives its id.
    ///
    /// # Errors
    /// Why the session is over.
    pub(crate) async fn begin(&self, tasks: Vec<Task>) -> Result<u64, String> {
        let group = self.next.fetch_add(1, Ordering::Relaxed);
        self.send(&Request::Begin { group, tasks }).await?;
        Ok(group)
    }

    /// Asks how a group stands, or has it end.
    ///
    /// # Errors
    /// Why the session is over, or that no answer came in time.
    pub(crate) async fn group(&self, group: u64, request: &Request, limit: Duration) -> Result<Told, String> {
        let (tell, told) = oneshot::channel();
        self.pending
            .lock()
            .expect("no holder of the lock panics")
            .groups
            .entry(group)
            .or_default()
            .push_back(tell);
        self.answer(request, told, limit).await?
    }

    /// Has the pod's servers end.
    ///
    /// # Errors
    /// Why they could not be asked.
    pub(crate) async fn finish(&self, limit: Duration) -> Result<(), String> {
        let (tell, told) = oneshot::channel();
        self.pending.lock().expect("no holder of the lock panics").finishing.push_back(tell);
        self.answer(&Request::Finish, told, limit).await?
    }

    /// Asks whether the pod's servers live; they may take so long as `patience`.
    ///
    /// # Errors
    /// Why the agent could not be asked, whatever became of the servers.
    pub(crate) async fn alive(&self, patience: Duration, limit: Duration) -> Result<Servers, String> {
        let question = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        self.pending.lock().expect("no holder of the lock panics").alive.insert(question, tell);
        let patience_ms = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX).max(1);
        self.answer(&Request::Alive { question, patience_ms }, told, patience + limit).await?
    }

    /// Sends a request and waits for what the reader hands on.
    async fn answer<T>(
        &self,
        request: &Request,
        told: oneshot::Receiver<T>,
        limit: Duration,
    ) -> Result<T, String> {
        self.send(request).await?;
        match timeout(limit, told).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(self.over().unwrap_or_else(|| "the session was closed".to_owned())),
            Err(_) => {
                let cause = format!("no answer of the agent within {} s", limit.as_secs());
                self.pending.lock().expect("no holder of the lock panics").end(&cause);
                Err(cause)
            }
        }
    }

    async fn send(&self, request: &Request) -> Result<(), String> {
        if let Some(cause) = self.over() {
            return Err(cause);
        }
        // A closed queue means that the writer is gone; the reader then tells why.
        let _ = self.lines.send(line(request)).await;
        Ok(())
    }

    /// Asks the agent to end. The stream is not closed for it: on older exec protocols that would cut everything.
    pub async fn quit(&self) {
        let _ = timeout(Duration::from_secs(1), self.lines.send(line(&Request::Quit))).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Table {
    /// Ends the session: every batch in flight is lost.
    fn end(&mut self, cause: &str) {
        self.over.get_or_insert_with(|| cause.to_owned());
        for (_, batch) in self.batches.drain() {
            let _ = batch.out.send(Message::Lost(cause.to_owned()));
        }
        for waiting in self.groups.drain().flat_map(|(_, waiting)| waiting) {
            let _ = waiting.send(Err(cause.to_owned()));
        }
        for waiting in self.finishing.drain(..) {
            let _ = waiting.send(Err(cause.to_owned()));
        }
        for (_, waiting) in self.alive.drain() {
            let _ = waiting.send(Err(cause.to_owned()));
        }
    }

    /// Hands a group's report to who asked first.
    fn report(&mut self, group: u64, told: Told) -> Result<(), String> {
        let asked = self.groups.get_mut(&group).and_then(VecDeque::pop_front);
        let asked = asked.ok_or("the agent reports what nobody has asked for")?;
        // Who gave up waiting does not want to know any more.
        let _ = asked.send(Ok(told));
        Ok(())
    }

    fn finished(&mut self, done: Result<(), String>) -> Result<(), String> {
        let asked = self.finishing.pop_front().ok_or("the agent answers a question that nobody asked")?;
        let _ = asked.send(done);
        Ok(())
    }

    fn alive(&mut self, question: u64, servers: Servers) -> Result<(), String> {
        let asked = self.alive.remove(&question);
        let asked =
            asked.ok_or_else(|| format!("the agent answers question {question}, and nobody has asked"))?;
        // Who gave up waiting does not want to know any more.
        let _ = asked.send(Ok(servers));
        Ok(())
    }

    /// Takes some results; if any is wrong, none of them is believed.
    fn results(&mut self, batch: u64, results: Vec<ProbeResult>) -> Result<(), String> {
        let Some(entry) = self.batches.get_mut(&batch) else {
            return Err("the agent answered probes that nobody waits for".into());
        };
        for result in &results {
            let n = result.n as usize;
            match entry.answered.get_mut(n) {
                None => return Err("the agent answered a probe that it was not asked for".into()),
                Some(answered) if *answered => return Err("the agent answered a probe twice".into()),
                Some(answered) => *answered = true,
            }
        }
        entry.count += results.len();
        let _ = entry.out.send(Message::Results(results));
        Ok(())
    }

    /// A batch is done: its results are complete, or something was lost on the way.
    fn done(&mut self, batch: u64, count: u32) -> Result<(), String> {
        let Some(entry) = self.batches.get(&batch) else {
            return Err("the agent answered probes that nobody waits for".into());
        };
        let (have, asked) = (entry.count, entry.asked);
        if have != asked || count as usize != asked {
            return Err(format!(
                "{have} of {asked} results arrived, and the agent counted {count}: the stream was cut"
            ));
        }
        if let Some(entry) = self.batches.remove(&batch) {
            let _ = entry.out.send(Message::Done);
        }
        Ok(())
    }
}

/// [`Request::Probe`] that borrows its probes, which may have to be asked again.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ask<'a> {
    op: &'static str,
    batch: u64,
    deadline_ms: u32,
    probes: &'a [Probe],
}

fn line(request: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(request).expect("a request is plain data");
    line.push(b'\n');
    line
}

async fn write<W: AsyncWrite + Unpin>(mut writer: W, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = queue.recv().await {
        if writer.write_all(&line).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
    // Dropping the writer closes the agent's stdin; the session is being dropped anyway.
}

/// The reader: hands results to their batches until the stream ends or makes no sense.
async fn read<R: AsyncRead + Unpin>(
    reader: R,
    pending: Arc<Mutex<Table>>,
    hello: oneshot::Sender<Reply>,
    epitaph: Epitaph,
) {
    let mut reader = BufReader::with_capacity(64 << 10, reader);
    let mut hello = Some(hello);
    let mut line = Vec::new();
    let mut epitaph = epitaph;
    // What the epitaph said, once it has.
    let mut ended: Option<Option<String>> = None;
    let cause = loop {
        line.clear();
        let read = match &ended {
            None => tokio::select! {
                biased;
                read = read_line(&mut reader, &mut line) => read,
                why = &mut epitaph => {
                    ended = Some(why);
                    rest(&mut reader, &mut line).await
                }
            },
            Some(_) => rest(&mut reader, &mut line).await,
        };
        match read {
            Ok(true) => {}
            Ok(false) => break None,
            Err(why) => break Some(why),
        }
        if let Err(why) = take(&line, &pending, &mut hello) {
            break Some(why);
        }
    };
    let cause = match (cause, ended) {
        (Some(cause), _) => cause,
        (None, Some(why)) => why.unwrap_or_else(|| "the agent's stream ended".into()),
        (None, None) => timeout(Duration::from_millis(500), epitaph)
            .await
            .ok()
            .flatten()
            .unwrap_or_else(|| "the agent's stream ended".into()),
    };
    pending.lock().expect("no holder of the lock panics").end(&cause);
}

/// Goes on to read a line when the connection is over: what had come before is there already, and the stream need not
/// end. kube leaves it open when the connection was reset.
async fn rest<R: AsyncRead + Unpin>(reader: &mut BufReader<R>, line: &mut Vec<u8>) -> Result<bool, String> {
    timeout(REST, read_line(reader, line)).await.unwrap_or(Ok(false))
}

/// Reads one line with its LF; `false` at the end. A last line without LF was cut, and is dropped.
async fn read_line<R: AsyncRead + Unpin>(
    reader: &mut BufReader<R>,
    line: &mut Vec<u8>,
) -> Result<bool, String> {
    loop {
        let chunk = reader.fill_buf().await.map_err(|e| format!("cannot read from the agent: {e}"))?;
        if chunk.is_empty() {
            return Ok(false);
        }
        let (taken, complete) = match chunk.iter().position(|b| *b == b'\n') {
            Some(end) => (end + 1, true),
            None => (chunk.len(), false),
        };
        if line.len() + taken > MAX_LINE {
            return Err(format!("the agent wrote a line of more than {MAX_LINE} bytes"));
        }
        line.extend_from_slice(&chunk[..taken]);
        reader.consume(taken);
        if complete {
            return Ok(true);
        }
    }
}

/// Results without the `op` tag, which is known from the line's beginning: reading a tagged enum would copy
/// every result once more.
#[derive(Deserialize)]
struct Results {
    batch: u64,
    results: Vec<ProbeResult>,
}

const RESULTS: &[u8] = br#"{"op":"results","#;

fn take(
    line: &[u8],
    pending: &Mutex<Table>,
    hello: &mut Option<oneshot::Sender<Reply>>,
) -> Result<(), String> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let bad = |e: serde_json::Error| {
        let shown = String::from_utf8_lossy(&line[..line.len().min(200)]);
        format!("the agent wrote no message of the protocol: {e}: {}", shown.trim())
    };
    let lock = || pending.lock().expect("no holder of the lock panics");
    if line.starts_with(RESULTS) {
        let Results { batch, results } = serde_json::from_slice(line).map_err(bad)?;
        return lock().results(batch, results);
    }
    match serde_json::from_slice(line).map_err(bad)? {
        reply @ Reply::Hello { .. } => {
            if let Some(hello) = hello.take() {
                let _ = hello.send(reply);
            }
            Ok(())
        }
        Reply::Results { batch, results } => lock().results(batch, results),
        Reply::Done { batch, count } => lock().done(batch, count),
        Reply::Finishing { done } => lock().finished(done),
        Reply::Alive { question, servers } => lock().alive(question, servers),
        Reply::Report { group, now_us, tasks } => lock().report(group, (now_us, tasks)),
        Reply::Refused { why } => Err(format!("the agent refused a request: {why}")),
    }
}
