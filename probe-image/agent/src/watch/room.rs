//! How many sockets may be open at a time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The seats, and how many of them are taken.
pub(super) struct Room {
    seats: usize,
    taken: Arc<AtomicUsize>,
}

/// A seat; it becomes free when this is dropped.
pub(super) struct Seat(Arc<AtomicUsize>);

impl Room {
    /// So many seats.
    pub(super) fn new(seats: usize) -> Self {
        Self { seats, taken: Arc::default() }
    }

    /// A seat; an error when all are taken.
    pub(super) fn take(&self) -> Result<Seat, String> {
        if self.taken.load(Ordering::Relaxed) >= self.seats {
            return Err(format!("out of descriptors: {} sockets wait for answers already", self.seats));
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(Seat(self.taken.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_it_is_left() {
        let room = Room::new(1);
        let seat = room.take();
        assert!(seat.is_ok() && room.take().is_err());
        drop(seat);
        assert!(room.take().is_ok());
    }
}
