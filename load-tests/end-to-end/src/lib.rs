//! The real binaries on loopback, killed at any time.
