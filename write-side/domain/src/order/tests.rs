//! Given, when, then: what the order decides.
