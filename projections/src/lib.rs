//! Read models: live projector and the rebuild CLI.
