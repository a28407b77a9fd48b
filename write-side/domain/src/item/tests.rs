//! Given, when, then: what the item decides.
