//! An answer that counts until its client has read it.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes of a piece.
const PIECE: usize = 16 << 10;

/// A whole answer, given out in pieces, so that it is not over before most of it is read.
struct Held {
    rest: Bytes,
    _places: [OwnedSemaphorePermit; 2],
}

/// A body that keeps its places until it has been read.
pub(super) fn held(bytes: Bytes, places: [OwnedSemaphorePermit; 2]) -> Body {
    Body::new(Held { rest: bytes, _places: places })
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.rest.len().min(PIECE);
        Poll::Ready((piece > 0).then(|| Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
