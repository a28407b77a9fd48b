//! Everything in one process: the embedded default.
