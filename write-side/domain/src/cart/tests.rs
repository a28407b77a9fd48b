//! Given, when, then: what the cart decides.
