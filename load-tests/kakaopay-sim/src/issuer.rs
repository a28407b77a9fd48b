//! Draws the names KakaoPay gives: a letter and 19 hexadecimal digits, 64 digits for a pay page.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

#[derive(Debug)]
pub(crate) struct Issuer(StdRng);

impl Issuer {
    /// `drawn` are the names given before a restart, so that a seed does not repeat them.
    pub(crate) fn new(seed: u64, drawn: u64) -> Self {
        Self(StdRng::seed_from_u64(seed ^ drawn.rotate_left(32)))
    }

    pub(crate) fn tid(&mut self) -> String {
        self.named('T')
    }

    pub(crate) fn aid(&mut self) -> String {
        self.named('A')
    }

    pub(crate) fn sid(&mut self) -> String {
        self.named('S')
    }

    pub(crate) fn pg_token(&mut self) -> String {
        let mut token = self.digits();
        token.truncate(20);
        token
    }

    pub(crate) fn hash(&mut self) -> String {
        format!("{}{}", self.digits(), self.digits())
    }

    fn named(&mut self, letter: char) -> String {
        let mut name = self.digits();
        name.truncate(19);
        name.insert(0, letter);
        name
    }

    fn digits(&mut self) -> String {
        format!("{:032x}", self.0.random::<u128>())
    }
}
