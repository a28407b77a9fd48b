//! Given, when, then: what the subscription decides.
