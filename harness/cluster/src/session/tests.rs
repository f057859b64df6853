use tokio::io::{DuplexStream, duplex, split};
use verdikt_protocol::{ProbeVerdict, Target, Transport};

use super::*;

const LIMIT: Duration = Duration::from_secs(5);

fn probes(n: u32) -> Vec<Probe> {
    (0..n)
        .map(|n| Probe {
            n,
            to: Target::Ip("10.0.0.1".parse().unwrap()),
            port: 80,
            transport: Transport::Tcp,
            from: None,
            expect: vec![],
            query: None,
            http: None,
        })
        .collect()
}

fn result(n: u32) -> ProbeResult {
    ProbeResult {
        n,
        verdict: ProbeVerdict::Allowed,
        rtt_us: 7,
        sockets: 1,
        detail: None,
        source: None,
        status: None,
    }
}

async fn say(stream: &mut DuplexStream, reply: &Reply) {
    let mut line = serde_json::to_vec(reply).unwrap();
    line.push(b'\n');
    stream.write_all(&line).await.unwrap();
}

/// A session whose other end answers hello and then does what `agent` does with the stream.
async fn session<F, Fut>(version: u32, agent: F) -> Result<Session, String>
where
    F: FnOnce(DuplexStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let (ours, mut theirs) = duplex(1 << 16);
    let agent_lives = tokio::spawn(async move {
        let hello = Reply::Hello {
            version,
            identity: "x/a".into(),
            sctp: Err("no module".into()),
            icmp: Ok(()),
            nameservers: vec![],
        };
        say(&mut theirs, &hello).await;
        agent(theirs).await;
    });
    let (reader, writer) = split(ours);
    let epitaph = async {
        let _ = agent_lives.await;
        Some("it died".into())
    };
    Session::open(reader, writer, Box::pin(epitaph)).await
}

#[test]
fn a_borrowed_request_is_the_protocols() {
    let probes = probes(2);
    let ask = line(&Ask { op: "probe", batch: 7, deadline_ms: 300, probes: &probes });
    assert_eq!(ask, line(&Request::Probe { batch: 7, deadline_ms: 300, probes }));
}

/// Probes, and tells what came and how it ended.
async fn ask(session: &Session, n: u32) -> (Vec<u32>, Result<(), String>) {
    let mut came = Vec::new();
    let ended = session.probe(&probes(n), LIMIT, LIMIT, &mut |result| came.push(result.n)).await;
    (came, ended)
}

/// Waits for the request, then writes these bytes and closes.
async fn cut(bytes: Vec<u8>) -> (Vec<u32>, String) {
    let session = session(VERSION, |mut stream| async move {
        let mut reader = BufReader::new(&mut stream);
        for _ in 0..2 {
            let mut line = String::new();
            reader.read_line(&mut line).await.unwrap();
        }
        stream.write_all(&bytes).await.unwrap();
    });
    let session = session.await.unwrap();
    let (came, ended) = ask(&session, 3).await;
    assert!(session.over().is_some());
    assert!(ask(&session, 1).await.1.is_err());
    (came, ended.unwrap_err())
}

fn lines(replies: &[Reply]) -> String {
    replies.iter().map(|reply| serde_json::to_string(reply).unwrap() + "\n").collect()
}

fn results(ns: &[u32]) -> Reply {
    Reply::Results { batch: 1, results: ns.iter().map(|n| result(*n)).collect() }
}

#[tokio::test]
async fn complete_batches_are_answered() {
    let session = session(VERSION, |mut stream| async move {
        let mut reader = BufReader::new(&mut stream);
        for _ in 0..2 {
            let mut line = String::new();
            reader.read_line(&mut line).await.unwrap();
        }
        let text = lines(&[results(&[1]), results(&[0, 2]), Reply::Done { batch: 1, count: 3 }]);
        stream.write_all(text.as_bytes()).await.unwrap();
        std::future::pending().await
    });
    let session = session.await.unwrap();
    assert_eq!(session.hello().no_sctp.as_deref(), Some("no module"));
    assert_eq!(ask(&session, 3).await, (vec![1, 0, 2], Ok(())));
    assert_eq!(session.over(), None);
}

#[tokio::test]
async fn a_truncated_stream_gives_what_was_complete_and_no_more() {
    let line = lines(&[results(&[0, 2])]);
    let cut_line = &line[..line.len() - 6];
    let (came, why) = cut(format!("{line}{cut_line}").into_bytes()).await;
    assert_eq!((came, why.as_str()), (vec![0, 2], "it died"));
}

#[tokio::test]
async fn a_connection_that_is_over_ends_a_stream_that_does_not() {
    let (kept, keep) = oneshot::channel();
    let session = session(VERSION, |mut stream| async move {
        let mut reader = BufReader::new(&mut stream);
        for _ in 0..2 {
            let mut line = String::new();
            reader.read_line(&mut line).await.unwrap();
        }
        stream.write_all(lines(&[results(&[1])]).as_bytes()).await.unwrap();
        // The agent ends, and its stream stays open.
        let _ = kept.send(stream);
    });
    let session = session.await.unwrap();
    let ((came, ended), _stream) = tokio::join!(ask(&session, 3), keep);
    assert_eq!((came, ended), (vec![1], Err("it died".into())));
}

#[tokio::test]
async fn results_are_counted_against_done() {
    let text = lines(&[results(&[0]), Reply::Done { batch: 1, count: 3 }]);
    let (came, why) = cut(text.into_bytes()).await;
    assert!(why.contains("1 of 3 results"), "{why}");
    assert_eq!(came, [0]);
}

#[tokio::test]
async fn nothing_is_counted_twice_and_nonsense_ends_the_session() {
    let (came, why) = cut(lines(&[results(&[0]), results(&[1, 0])]).into_bytes()).await;
    assert!(why.contains("twice"), "{why}");
    assert_eq!(came, [0]);
    let (_, why) = cut(b"panic: oh no\n".to_vec()).await;
    assert!(why.contains("panic: oh no"), "{why}");
    let (_, why) = cut(lines(&[results(&[3])]).into_bytes()).await;
    assert!(why.contains("that it was not asked for"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_the_session_at_the_limit() {
    let silent = |stream: DuplexStream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    };
    let session = session(VERSION, silent).await.unwrap();
    let (_, ended) = ask(&session, 2).await;
    assert!(ended.clone().unwrap_err().contains("no answer"), "{ended:?}");
}

#[tokio::test]
async fn another_version_is_refused() {
    let error = session(VERSION + 1, |_stream| std::future::pending()).await.err().unwrap();
    assert!(error.contains("probe image"), "{error}");
}
