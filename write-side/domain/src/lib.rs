//! Aggregates, pricing and policies: decides, and does nothing else.
