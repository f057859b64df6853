//! What a container's command has written, from the file in which the node keeps it.

use std::{convert::Infallible, io::ErrorKind, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, header},
};
use futures::stream;
use tokio::{fs::File, io::AsyncReadExt, sync::OwnedSemaphorePermit, time::sleep};

use super::{
    cluster::Cluster, controllers::has_ended, exec::container, kinds::Kind, object::Shared, query::Params,
    server::Endless, status::ApiError,
};
use crate::wire::log_name;

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(50);

const CHUNK: usize = 32 << 10;

/// Answers a log request: `tailLines`, `limitBytes`, `follow`.
///
/// # Errors
/// 400 for a container that the pod does not have, or a previous one's log.
pub(crate) async fn respond(
    cluster: &Arc<Cluster>,
    pod: &Shared,
    params: &Params,
) -> Result<Response<Body>, ApiError> {
    let name = pod.name();
    if params.flag("previous") {
        return Err(ApiError::bad_request(format!(
            "previous terminated container in pod {name:?} not found"
        )));
    }
    let container = container(pod, params)?;
    let path = cluster.logs.join(log_name(pod.uid(), container));
    let mut start = match tokio::fs::read(&path).await {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => vec![],
        Err(e) => return Err(ApiError::internal(format!("cannot read the log of pod {name}: {e}"))),
    };
    let read = start.len() as u64;
    if let Some(lines) = params.number("tailLines")? {
        start = tail(start, lines);
    }
    if let Some(limit) = params.number("limitBytes")? {
        start.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let mut response = if params.flag("follow") {
        let place = cluster.limits.watch()?;
        let first = Some(start.into());
        let (cluster, pod, container) = (cluster.clone(), pod.clone(), container.to_owned());
        let mut response = Response::new(follow(Follow {
            cluster,
            pod,
            container,
            path,
            first,
            read,
            file: None,
            _place: place,
        }));
        response.extensions_mut().insert(Endless);
        response
    } else {
        Response::new(Body::from(start))
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// The last lines.
fn tail(bytes: Vec<u8>, lines: u64) -> Vec<u8> {
    let end = bytes.strip_suffix(b"\n").unwrap_or(&bytes).len();
    if lines == 0 {
        return vec![];
    }
    let nth = usize::try_from(lines).unwrap_or(usize::MAX) - 1;
    match bytes[..end].iter().enumerate().rev().filter(|(_, b)| **b == b'\n').nth(nth) {
        Some((i, _)) => bytes[i + 1..].to_vec(),
        None => bytes,
    }
}

struct Follow {
    cluster: Arc<Cluster>,
    pod: Shared,
    container: String,
    path: std::path::PathBuf,
    first: Option<Bytes>,
    read: u64,
    file: Option<File>,
    _place: OwnedSemaphorePermit,
}

/// What was written, then what is being written until the command ends.
fn follow(state: Follow) -> Body {
    Body::from_stream(stream::unfold(state, |mut state| async move {
        let chunk = state.next().await?;
        Some((Ok::<_, Infallible>(chunk), state))
    }))
}

impl Follow {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Some(first);
        }
        loop {
            // Looked at before the file, so that the command's last words are not missed.
            let running = self.running();
            if self.file.is_none() {
                self.open().await;
            }
            if let Some(file) = &mut self.file {
                let mut chunk = Vec::with_capacity(CHUNK);
                if file.read_buf(&mut chunk).await.ok()? > 0 {
                    return Some(chunk.into());
                }
            }
            if !running {
                return None;
            }
            tokio::select! {
                () = sleep(POLL) => {}
                () = self.cluster.stop.cancelled() => return None,
            }
        }
    }

    async fn open(&mut self) {
        use tokio::io::AsyncSeekExt;
        if let Ok(mut file) = File::open(&self.path).await
            && file.seek(std::io::SeekFrom::Start(self.read)).await.is_ok()
        {
            self.file = Some(file);
        }
    }

    fn running(&self) -> bool {
        let pod = self.cluster.store.get(Kind::Pod, self.pod.namespace(), self.pod.name());
        pod.is_some_and(|pod| pod.uid() == self.pod.uid() && !has_ended(&pod.value, &self.container))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails() {
        let log = || b"a\nb\nc\n".to_vec();
        assert_eq!(tail(log(), 2), b"b\nc\n");
        assert_eq!(tail(log(), 0), b"");
        assert_eq!(tail(log(), 9), log());
        assert_eq!(tail(b"a\nb".to_vec(), 1), b"b");
    }
}
