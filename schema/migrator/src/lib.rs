//! Brings the database to the schema this build expects.
