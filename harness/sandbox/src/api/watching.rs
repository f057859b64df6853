//! Watches: a stream of JSON lines, one change each.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, header},
};
use futures::stream;
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    cluster::Cluster,
    kinds::Facts,
    object::{Object, Shared},
    query::{Filter, Params},
    render::{Form, Include},
    server::Endless,
    status::ApiError,
    store::{Change, Store},
};

/// How long a watch lasts when the client does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45 * 60);

/// How often a watch that wants bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(30);

/// Bytes from which on a chunk is full.
const CHUNK: usize = 16 << 10;

/// Most changes that are taken from the store at a time: what a client does not read shall not keep old objects alive.
const BATCH: usize = 64;

/// What waits to be sent. It becomes text only when the client has read what came before.
enum Event {
    Object(&'static str, Shared),
    Line(Bytes),
}

struct Watch {
    store: Arc<Store>,
    facts: &'static Facts,
    filter: Filter,
    form: Form,
    include: Include,
    /// Version up to which changes have been sent.
    seen: u64,
    changed: watch::Receiver<u64>,
    ready: VecDeque<Event>,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Instant,
    stop: CancellationToken,
    over: bool,
    _place: OwnedSemaphorePermit,
}

/// Answers a watch.
///
/// # Errors
/// 400 for parameters that cannot be read, 429 when there are too many. History that is gone is told inside the
/// stream, as the API does.
pub(crate) fn respond(
    cluster: &Cluster,
    facts: &'static Facts,
    filter: Filter,
    params: &Params,
    form: Form,
) -> Result<Response<Body>, ApiError> {
    let store = &cluster.store;
    let from = params.number("resourceVersion")?.unwrap_or_default();
    let timeout =
        params.number("timeoutSeconds")?.filter(|s| *s > 0).map_or(DEFAULT_TIMEOUT, Duration::from_secs);
    // Before the list, so that no change falls between.
    let changed = store.subscribe(facts.id);
    let now = Instant::now();
    let mut watch = Watch {
        store: store.clone(),
        facts,
        filter,
        form,
        include: Include::parse(params.get("includeObject")),
        seen: from,
        changed,
        ready: VecDeque::new(),
        bookmarks: params.flag("allowWatchBookmarks"),
        next_bookmark: now + BOOKMARK_EVERY,
        end: now + timeout,
        stop: cluster.stop.clone(),
        over: false,
        _place: cluster.limits.watch()?,
    };
    let initial = params.flag("sendInitialEvents");
    if initial || (from == 0 && params.get("sendInitialEvents").is_none()) {
        watch.begin(initial);
    } else if from == 0 {
        watch.seen = store.version();
    }
    let body = Body::from_stream(stream::unfold(watch, |mut watch| async move {
        let chunk = watch.next().await?;
        Some((Ok::<_, Infallible>(chunk), watch))
    }));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.extensions_mut().insert(Endless);
    Ok(response)
}

impl Watch {
    /// Begins with what is there.
    fn begin(&mut self, mark_end: bool) {
        let (mut objects, version) = self.store.list(self.facts.id, self.filter.namespace.as_deref());
        objects.retain(|object| self.filter.matches(object));
        self.ready.extend(objects.into_iter().map(|object| Event::Object("ADDED", object)));
        self.seen = version;
        if mark_end && self.bookmarks {
            self.bookmark(true);
        }
    }

    /// The next chunk, or `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.chunk() {
                return Some(chunk);
            }
            if self.over {
                return None;
            }
            // What changes from here on wakes the wait below.
            self.changed.borrow_and_update();
            match self.store.changes(self.facts.id, self.seen, BATCH) {
                Ok(changes) => {
                    for change in &changes {
                        self.seen = change.version;
                        self.change(change);
                    }
                    if !changes.is_empty() {
                        continue;
                    }
                }
                Err(gone) => {
                    let error = ApiError::expired(format!(
                        "too old resource version: {} ({})",
                        self.seen, gone.oldest
                    ));
                    self.push("ERROR", error.json().to_string().as_bytes());
                    self.over = true;
                    continue;
                }
            }
            let wake = if self.bookmarks { self.next_bookmark.min(self.end) } else { self.end };
            tokio::select! {
                changed = self.changed.changed() => if changed.is_err() { return None },
                () = self.stop.cancelled() => return None,
                () = sleep_until(wake) => {
                    if Instant::now() >= self.end {
                        return None;
                    }
                    self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
                    self.bookmark(false);
                }
            }
        }
    }

    fn chunk(&mut self) -> Option<Bytes> {
        let mut chunk = vec![];
        while chunk.len() < CHUNK
            && let Some(event) = self.ready.pop_front()
        {
            match event {
                Event::Line(line) => chunk.extend_from_slice(&line),
                Event::Object(event, object) => {
                    let body = self.form.object(self.facts, &object, self.include);
                    line(&mut chunk, event, &body);
                }
            }
        }
        (!chunk.is_empty()).then(|| chunk.into())
    }

    /// A change as this watch sees it: an object may come into its view or leave it.
    fn change(&mut self, change: &Change) {
        let before = change.before.as_ref().is_some_and(|object| self.filter.matches(object));
        let after = !change.deleted && self.filter.matches(&change.after);
        let event = match (before, after) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return,
        };
        self.ready.push_back(Event::Object(event, change.after.clone()));
    }

    fn bookmark(&mut self, initial_end: bool) {
        let mut metadata =
            json!({"resourceVersion": self.seen.to_string(), "creationTimestamp": Value::Null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object =
            json!({"kind": self.facts.kind, "apiVersion": self.facts.api_version(), "metadata": metadata});
        match self.form {
            Form::Json => self.push("BOOKMARK", object.to_string().as_bytes()),
            Form::Table | Form::Metadata => {
                self.ready.push_back(Event::Object("BOOKMARK", Object::new(object)));
            }
        }
    }

    fn push(&mut self, event: &str, body: &[u8]) {
        let mut text = vec![];
        line(&mut text, event, body);
        self.ready.push_back(Event::Line(text.into()));
    }
}

/// Appends an event.
fn line(text: &mut Vec<u8>, event: &str, body: &[u8]) {
    text.reserve(body.len() + 40);
    text.extend_from_slice(format!(r#"{{"type":"{event}","object":"#).as_bytes());
    text.extend_from_slice(body);
    text.extend_from_slice(b"}\n");
}
