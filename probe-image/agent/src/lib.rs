//! verdikt-probe: servers and probes in one small binary.
