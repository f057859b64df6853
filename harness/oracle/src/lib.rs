//! What the NetworkPolicy specification says about one cell, and why.
