//! Lanes, steps, settling, diffing; emits one event enum.
