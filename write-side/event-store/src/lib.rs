//! The write door of the log: append, load and the command executor.
