//! The service kit over real sockets, a real PostgreSQL and a real Redis.

#[cfg(test)]
mod access;
#[cfg(test)]
mod database_role;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod http;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod pools;
#[cfg(test)]
mod vault;
