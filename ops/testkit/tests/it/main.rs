//! The test kit against the real servers.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod chaos;
#[cfg(test)]
mod database;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod with_services;
