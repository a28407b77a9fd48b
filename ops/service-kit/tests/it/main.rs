//! The service kit over real sockets, a real PostgreSQL and a real Redis.

mod http;
mod openapi;
mod pools;
mod vault;
