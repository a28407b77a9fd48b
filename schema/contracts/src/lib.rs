//! The published language: values, ids, events and their envelope.
