//! Commands in pods over WebSocket: `v5.channel.k8s.io` and `v4.channel.k8s.io`.
//!
//! Every frame begins with its channel: 0 stdin, 1 stdout, 2 stderr, 3 the final status, 4 terminal size; in v5 the
//! frame `[255, 0]` closes stdin.
//!
//! ```text
//! client ──frames──► input ──pipe──► command ──pipes──► output ──frames──► client
//! ```

use std::{io, os::fd::OwnedFd, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{
        FromRequestParts,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code},
    },
    http::{Response, request::Parts},
    response::IntoResponse,
};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
    time::sleep,
};

use super::{
    cluster::Cluster,
    controllers::can_exec,
    kinds::Kind,
    node_api::Exec,
    object::{Shared, items, text},
    query::Params,
    status::ApiError,
};

const V5: &str = "v5.channel.k8s.io";
const V4: &str = "v4.channel.k8s.io";

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const CLOSE: u8 = 255;

/// Most bytes of output in one frame.
const FRAME: usize = 32 << 10;

/// Longest frame from a client.
const MAX_INPUT: usize = 4 << 20;

/// How long output may still come once the command has ended: a process that it left behind may hold the pipes.
const DRAIN: Duration = Duration::from_secs(2);

/// The streams that the client wants.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

/// Our ends of the command's pipes.
struct Pipes {
    stdin: Option<pipe::Sender>,
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
}

/// Answers an exec request.
///
/// # Errors
/// 400 for a request that is no WebSocket's, names no command, or a pod that does not run.
pub(crate) async fn respond(
    cluster: &Arc<Cluster>,
    pod: &Shared,
    params: &Params,
    parts: &mut Parts,
) -> Result<Response<Body>, ApiError> {
    let argv = params.all("command");
    if argv.is_empty() {
        return Err(ApiError::bad_request("you must specify at least 1 command for the pod"));
    }
    let container = container(pod, params)?.to_owned();
    can_exec(&pod.value, &container).map_err(ApiError::bad_request)?;
    let tty = params.flag("tty");
    // A terminal has no stderr of its own.
    let wanted = Wanted {
        stdin: params.flag("stdin"),
        stdout: params.flag("stdout"),
        stderr: params.flag("stderr") && !tty,
    };
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await.map_err(|e| {
        ApiError::bad_request(format!(
            "Upgrade request required: exec needs a WebSocket with {V5} or {V4}: {e}"
        ))
    })?;
    let offered: Vec<&str> = parts
        .headers
        .get_all("sec-websocket-protocol")
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(',').map(str::trim))
        .collect();
    if !offered.iter().any(|p| [V5, V4].contains(p)) {
        return Err(ApiError::bad_request(format!(
            "unable to upgrade: none of {offered:?} is supported; use {V5} or {V4}"
        )));
    }
    let cluster = cluster.clone();
    let uid = pod.uid().to_owned();
    Ok(upgrade
        .protocols([V5, V4])
        .max_message_size(MAX_INPUT)
        .max_frame_size(MAX_INPUT)
        .on_upgrade(move |socket| async move {
            session(&cluster, (&uid, &container), argv, wanted, tty, socket).await;
        })
        .into_response())
}

async fn session(
    cluster: &Cluster,
    place: (&str, &str),
    argv: Vec<String>,
    wanted: Wanted,
    tty: bool,
    socket: WebSocket,
) {
    let v5 = socket.protocol().is_some_and(|p| p == V5);
    let (mut sender, receiver) = socket.split();
    let begun = pipes(wanted, tty).map_err(|e| format!("no pipes for the command: {e}")).and_then(
        |(ours, theirs)| {
            let exec = cluster.node.exec(place, argv, theirs)?;
            Ok((ours, exec))
        },
    );
    let status = match begun {
        Err(why) => failure(&why),
        Ok((Pipes { stdin, stdout, stderr }, exec)) => {
            tokio::select! {
                biased;
                status = output(&mut sender, stdout, stderr, exec) => match status {
                    Some(status) => status,
                    None => return,
                },
                // The client has gone; dropping the exec above kills the command.
                () = input(receiver, stdin, v5) => return,
                () = cluster.stop.cancelled() => failure("the sandbox stops"),
            }
        }
    };
    let mut frame = vec![STATUS];
    frame.extend_from_slice(status.to_string().as_bytes());
    // The client may have gone; then there is nobody left to tell.
    let _ = sender.send(Message::Binary(frame.into())).await;
    let close = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::default() };
    let _ = sender.send(Message::Close(Some(close))).await;
    let _ = sender.close().await;
}

/// Feeds the command until the client goes.
async fn input(mut receiver: SplitStream<WebSocket>, mut stdin: Option<pipe::Sender>, v5: bool) {
    while let Some(Ok(message)) = receiver.next().await {
        let Message::Binary(frame) = message else {
            if matches!(message, Message::Close(_)) {
                return;
            }
            continue;
        };
        match frame.split_first() {
            Some((&STDIN, data)) => {
                if let Some(pipe) = &mut stdin
                    && pipe.write_all(data).await.is_err()
                {
                    // The command reads no more; it may still write.
                    stdin = None;
                }
            }
            Some((&CLOSE, [STDIN])) if v5 => stdin = None,
            _ => {}
        }
    }
}

/// Passes on all that the command writes, then gives its status; `None` when the client has gone.
async fn output(
    sender: &mut SplitSink<WebSocket, Message>,
    mut stdout: Option<pipe::Receiver>,
    mut stderr: Option<pipe::Receiver>,
    mut exec: Exec,
) -> Option<Value> {
    let mut ended: Option<Result<i32, String>> = None;
    let (mut out, mut err) = (vec![STDOUT], vec![STDERR]);
    loop {
        if stdout.is_none() && stderr.is_none() {
            let result = match ended {
                Some(result) => result,
                None => exec.await,
            };
            return Some(match result {
                Ok(code) => exit_status(code),
                Err(why) => failure(&why),
            });
        }
        let frame = tokio::select! {
            open = read(&mut stdout, &mut out), if stdout.is_some() => {
                if !open { stdout = None }
                &mut out
            }
            open = read(&mut stderr, &mut err), if stderr.is_some() => {
                if !open { stderr = None }
                &mut err
            }
            result = &mut exec, if ended.is_none() => {
                ended = Some(result);
                continue;
            }
            () = sleep(DRAIN), if ended.is_some() => {
                (stdout, stderr) = (None, None);
                continue;
            }
        };
        if frame.len() > 1 {
            let channel = frame[0];
            let full = std::mem::replace(frame, vec![channel]);
            sender.send(Message::Binary(full.into())).await.ok()?;
        }
    }
}

/// Reads what there is, up to a frame; false at the end.
async fn read(pipe: &mut Option<pipe::Receiver>, frame: &mut Vec<u8>) -> bool {
    let Some(pipe) = pipe else { return false };
    frame.reserve(FRAME);
    if !matches!(pipe.read_buf(frame).await, Ok(1..)) {
        return false;
    }
    while frame.len() < FRAME {
        match pipe.try_read_buf(frame) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    true
}

/// Pipes for the streams that are wanted, `/dev/null` for the others.
fn pipes(wanted: Wanted, tty: bool) -> io::Result<(Pipes, [OwnedFd; 3])> {
    let null = || std::fs::File::options().read(true).write(true).open("/dev/null").map(OwnedFd::from);
    let (stdin, their_stdin) = if wanted.stdin {
        let (ours, theirs) = pipe::pipe()?;
        (Some(ours), theirs.into_blocking_fd()?)
    } else {
        (None, null()?)
    };
    let out = |wanted: bool| -> io::Result<(Option<pipe::Receiver>, OwnedFd)> {
        if !wanted {
            return Ok((None, null()?));
        }
        let (theirs, ours) = pipe::pipe()?;
        Ok((Some(ours), theirs.into_blocking_fd()?))
    };
    let (stdout, their_stdout) = out(wanted.stdout)?;
    let (stderr, their_stderr) = if tty { (None, their_stdout.try_clone()?) } else { out(wanted.stderr)? };
    Ok((Pipes { stdin, stdout, stderr }, [their_stdin, their_stdout, their_stderr]))
}

fn exit_status(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

fn failure(why: &str) -> Value {
    json!({
        "metadata": {},
        "status": "Failure",
        "reason": "InternalError",
        "message": format!("error executing command in container: {why}"),
        "code": 500,
    })
}

/// The container that an exec or log request names; without a name the annotated one, or the first.
///
/// # Errors
/// 400 when the pod has no such container.
pub(super) fn container<'a>(pod: &'a Shared, params: &'a Params) -> Result<&'a str, ApiError> {
    const DEFAULT: &str = "/metadata/annotations/kubectl.kubernetes.io~1default-container";
    let named = params.get("container").filter(|name| !name.is_empty());
    let annotated = Some(text(&pod.value, DEFAULT)).filter(|name| !name.is_empty());
    let Some(name) = named.or(annotated) else { return Ok(text(&pod.value, "/spec/containers/0/name")) };
    let mut all = ["/spec/containers", "/spec/initContainers"].into_iter().flat_map(|p| items(&pod.value, p));
    if all.any(|container| text(container, "/name") == name) {
        return Ok(name);
    }
    Err(ApiError::bad_request(format!("container {name} is not valid for pod {}", pod.name())))
}

/// The pod of an exec or log request.
///
/// # Errors
/// 404 when there is none.
pub(crate) fn pod(cluster: &Cluster, namespace: &str, name: &str) -> Result<Shared, ApiError> {
    cluster.store.get(Kind::Pod, namespace, name).ok_or_else(|| ApiError::not_found(Kind::Pod.facts(), name))
}
