//! Answers: those that are errors kept whole, and none without an end.
//!
//! kube reads the body of such an answer and drops the rest. But for how long a busy server wants to be left alone
//! stands in a header, and often only there: the API server's priority and fairness answers in plain text. And what
//! stands before an API server answers in forms of its own, whose code is known from the status line alone.

use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::{Client, client::Body, core::Status};
use tower::{BoxError, service_fn};

/// Longest part of a foreign body that a message shows.
const SHOWN: usize = 200;

/// Most bytes of an answer, and of all events of one watch: all nodes of a cluster of 5,000 are less.
const LARGEST: usize = 128 << 20;
/// Most bytes of an answer that is an error.
const LARGEST_ERROR: usize = 1 << 20;

/// An answer is longer than any that a call of ours has.
#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {} MiB", limit >> 20)]
pub(crate) struct TooLong {
    /// Most bytes that are read.
    pub(crate) limit: usize,
}

/// A client whose errors tell code and pause as the server sent them, and whose answers end.
pub(crate) fn whole(client: Client) -> Client {
    let (namespace, valid_until) = (client.default_namespace().to_owned(), *client.valid_until());
    let service = service_fn(move |request| {
        let client = client.clone();
        async move {
            let response = client.send(request).await?;
            let code = response.status();
            if !(code.is_client_error() || code.is_server_error()) {
                return Ok(response.map(|body| Limited::new(body, LARGEST).map_err(too_long)));
            }
            let pause = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
            // A date, which HTTP allows, too, counts as no pause.
            let pause = pause.and_then(|seconds| seconds.trim().parse::<u32>().ok());
            let body = head(response.into_body()).await?;
            Err(kube::Error::Api(status(code.as_u16(), pause, &body).boxed()))
        }
    });
    Client::new(service, namespace).with_valid_until(valid_until)
}

fn too_long(error: BoxError) -> BoxError {
    if error.is::<LengthLimitError>() { TooLong { limit: LARGEST }.into() } else { error }
}

/// The beginning of a body; what is too long for an error is none that says anything.
async fn head(mut body: Body) -> Result<Vec<u8>, kube::Error> {
    let mut bytes = Vec::new();
    while bytes.len() < LARGEST_ERROR
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

fn status(code: u16, pause: Option<u32>, body: &[u8]) -> Status {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let mut status = serde_json::from_slice::<Status>(body)
        .ok()
        .filter(|status| !status.message.is_empty() || !status.reason.is_empty())
        .unwrap_or_else(|| Status::failure(&foreign(code, text), ""));
    status.code = code;
    if let Some(pause) = pause {
        let none = || serde_json::from_str("{}").expect("every field of the details may be absent");
        status.details.get_or_insert_with(none).retry_after_seconds = pause;
    }
    status
}

/// What is told of a body that is no Status.
fn foreign(code: u16, text: &str) -> String {
    if text.is_empty() {
        return format!("HTTP {code}");
    }
    if text.starts_with('<') {
        return format!("HTTP {code} with a web page, which no API server sends; something stands before it");
    }
    let shown: String = text.chars().take(SHOWN).collect();
    format!("HTTP {code}: {shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_pause_come_from_the_head_of_the_answer() {
        let told = status(429, Some(3), b"Too many requests, please try again later.\n");
        assert_eq!(told.code, 429);
        assert_eq!(told.message, "HTTP 429: Too many requests, please try again later.");
        assert_eq!(told.details.unwrap().retry_after_seconds, 3);
        let page = status(503, None, b"<html>\n<head>...");
        assert!(page.message.contains("HTTP 503") && page.message.contains("web page"), "{page:?}");
        // JSON, but no Status: kube would take it for one without a code.
        let json = status(503, None, br#"{"error": "no healthy upstream"}"#);
        assert_eq!((json.code, json.details), (503, None));
        assert!(json.message.contains("no healthy upstream"));
        assert_eq!(status(502, None, b"").message, "HTTP 502");
    }

    #[test]
    fn a_status_stays_as_it_is() {
        let body = br#"{"kind":"Status","status":"Failure","message":"pods \"a\" already exists","reason":"AlreadyExists","details":{"name":"a","kind":"pods"},"code":409}"#;
        let told = status(409, None, body);
        assert!(told.is_already_exists());
        assert_eq!(told.details.unwrap().name, "a");
        let busy = br#"{"kind":"Status","message":"busy","details":{"retryAfterSeconds":5},"code":429}"#;
        assert_eq!(status(429, None, busy).details.unwrap().retry_after_seconds, 5);
        assert_eq!(status(429, Some(7), busy).details.unwrap().retry_after_seconds, 7);
    }
}
