//! The one correct way to read the log in order.
