//! Given, when, then: what the user decides.
