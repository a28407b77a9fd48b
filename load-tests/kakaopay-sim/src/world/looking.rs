//! What look-ups show of payments and keys, which the settings may make less than the truth.

use std::time::Duration;

use serde_json::{Value, json};

use super::World;
use crate::answers;
use crate::journal::Record;
use crate::model::{Payment, SidRecord};
use crate::refusal::Refusal;
use crate::settings::SimSettings;

impl World {
    pub(crate) fn settings(&self) -> &SimSettings {
        &self.settings
    }

    /// Changes what is assumed of KakaoPay. Changes of payments made before are visible at once.
    pub(crate) fn set_settings(&mut self, settings: SimSettings) {
        self.past.forget(settings.memory().min(self.settings.memory()));
        self.settings = settings;
    }

    pub(super) fn look_up(&self, cid: &str, tid: &str) -> Result<Value, Refusal> {
        let payment = self.payment(cid, tid)?;
        let seen = self.payment_seen(payment);
        let mut answer = answers::order(seen);
        if let Some(word) = self.settings.pending_word.filter(|_| seen.is_open()) {
            answer["status"] = json!(word);
        }
        if let Some(unknown) = &self.settings.unknown_status {
            let time = Duration::from_millis(unknown.for_ms);
            if self.past.changed_within(tid, time) {
                answer["status"] = json!(unknown.word);
            }
        }
        Ok(answer)
    }

    fn payment_seen<'a>(&'a self, payment: &'a Payment) -> &'a Payment {
        match self.past.state_of(&payment.tid, self.settings.stale_look_up()) {
            Some(Record::Payment(earlier)) => earlier,
            Some(Record::Sid(_)) | None => payment,
        }
    }

    /// A key as it was so long ago.
    pub(super) fn sid_seen<'a>(&'a self, sid: &'a SidRecord, ago: Duration) -> &'a SidRecord {
        match self.past.state_of(&sid.sid, ago) {
            Some(Record::Sid(earlier)) => earlier,
            Some(Record::Payment(_)) | None => sid,
        }
    }

    /// Keeps a state that is about to be replaced, where the settings need it.
    pub(super) fn keep_replaced(&mut self, key: &str) {
        let memory = self.settings.memory();
        if memory.is_zero() {
            return;
        }
        let payment = self.payments.get(key).map(|it| Record::Payment(Box::new(it.clone())));
        let replaced = payment.or_else(|| self.sids.get(key).map(|it| Record::Sid(it.clone())));
        if let Some(replaced) = replaced {
            self.past.keep(replaced, memory);
        }
    }

    pub(super) fn with_omissions(&self, mut answer: Value) -> Value {
        for path in &self.settings.omit {
            answers::omit(&mut answer, path);
        }
        answer
    }
}
