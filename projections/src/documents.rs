//! The documents a fold works on, as far as they are in memory.
//!
//! The fold asks for what it needs. What was not loaded is noted, the event is left, and the rest of
//! the batch goes on to find out what else is missing; then everything noted is loaded at once and
//! the batch is folded again from its start. Folds are pure, so folding again costs only time.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use crate::projection::{DocumentKey, Stop};

/// Documents by key.
#[derive(Debug)]
pub struct Documents<D> {
    slots: HashMap<DocumentKey, Slot<D>>,
    missing: BTreeSet<DocumentKey>,
    /// What the event being folded replaced, to undo it if it is refused.
    journal: Vec<(DocumentKey, Option<D>)>,
    /// Whether what is not here does not exist: true while a rebuild has everything in memory.
    is_complete: bool,
}

/// One document before and after the batch.
#[derive(Debug)]
struct Slot<D> {
    before: Option<D>,
    after: Option<D>,
    is_changed: bool,
}

impl<D: Clone + PartialEq> Documents<D> {
    /// No documents. If `is_complete`, none exist elsewhere.
    pub fn new(is_complete: bool) -> Self {
        Self { slots: HashMap::new(), missing: BTreeSet::new(), journal: Vec::new(), is_complete }
    }

    /// The document, or `None` when there is none.
    ///
    /// # Errors
    /// [`Stop::Missing`] when nobody knows yet.
    pub fn get(&mut self, key: &DocumentKey) -> Result<Option<&D>, Stop> {
        if let Some(slot) = self.slots.get(key) {
            return Ok(slot.after.as_ref());
        }
        if self.is_complete {
            return Ok(None);
        }
        self.missing.insert(key.clone());
        Err(Stop::Missing)
    }

    /// Replaces the document. It must have been asked for before.
    pub fn put(&mut self, key: DocumentKey, document: D) {
        match self.slots.entry(key.clone()) {
            Entry::Occupied(mut slot) => {
                let slot = slot.get_mut();
                self.journal.push((key, slot.after.replace(document)));
                slot.is_changed = true;
            }
            Entry::Vacant(slot) => {
                self.journal.push((key, None));
                slot.insert(Slot { before: None, after: Some(document), is_changed: true });
            }
        }
    }

    /// The event is folded.
    pub(crate) fn keep(&mut self) {
        self.journal.clear();
    }

    /// The event is not folded: everything is as before it.
    pub(crate) fn undo(&mut self) {
        while let Some((key, before)) = self.journal.pop() {
            if let Some(slot) = self.slots.get_mut(&key) {
                slot.after = before;
            }
        }
    }

    /// The whole batch is to be folded again.
    pub(crate) fn start_over(&mut self) {
        self.journal.clear();
        for slot in self.slots.values_mut().filter(|slot| slot.is_changed) {
            slot.after.clone_from(&slot.before);
            slot.is_changed = false;
        }
    }

    /// What was asked for in vain, and is now asked of the database.
    pub(crate) fn take_missing(&mut self) -> BTreeSet<DocumentKey> {
        std::mem::take(&mut self.missing)
    }

    /// Takes in what the database has under `key`.
    pub(crate) fn supply(&mut self, key: DocumentKey, document: Option<D>) {
        let after = document.clone();
        self.slots.insert(key, Slot { before: document, after, is_changed: false });
    }

    /// Documents in memory.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Every document that the batch changed, as (key, before, after).
    pub(crate) fn changed(&self) -> impl Iterator<Item = (&DocumentKey, Option<&D>, Option<&D>)> {
        self.slots
            .iter()
            .filter(|(_, slot)| slot.is_changed && slot.before != slot.after)
            .map(|(key, slot)| (key, slot.before.as_ref(), slot.after.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(number: u128) -> DocumentKey {
        DocumentKey::of(0, Uuid::from_u128(number))
    }

    #[test]
    fn what_was_not_loaded_is_noted_and_known_once_supplied() {
        let mut documents = Documents::<u8>::new(false);
        assert_eq!(documents.get(&key(1)), Err(Stop::Missing));
        assert_eq!(documents.take_missing(), BTreeSet::from([key(1)]));
        documents.supply(key(1), None);
        assert_eq!(documents.get(&key(1)), Ok(None));
    }

    #[test]
    fn a_refused_event_leaves_nothing_behind() {
        let mut documents = Documents::<u8>::new(true);
        documents.put(key(1), 1);
        documents.keep();
        documents.put(key(1), 2);
        documents.put(key(1), 3);
        documents.put(key(2), 4);
        documents.undo();
        assert_eq!(documents.get(&key(1)), Ok(Some(&1)));
        assert_eq!(documents.get(&key(2)), Ok(None));
        assert_eq!(documents.changed().count(), 1);
    }

    #[test]
    fn starting_over_goes_back_to_what_was_loaded() {
        let mut documents = Documents::<u8>::new(false);
        documents.supply(key(1), Some(7));
        documents.put(key(1), 8);
        documents.start_over();
        assert_eq!(documents.get(&key(1)), Ok(Some(&7)));
        assert_eq!(documents.changed().count(), 0);
    }
}
