//! Private PostgreSQL and Redis, a fresh database per test, eventually and a chaos proxy.
