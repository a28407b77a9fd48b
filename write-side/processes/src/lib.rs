//! Outbox relay, reactions and schedules.
