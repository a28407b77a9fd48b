//! The command API: HTTP in, commands out.
