//! The query API over the read models.
