//! Keeps payments and keys over a restart: one JSON line for each state of each, the last counts.
//!
//! A line is handed to the operating system before the caller hears of the change, so a killed
//! simulator forgets nothing; a machine that loses power may lose the last moments, which is all
//! a simulator owes. At the start the file is rewritten with one line for each.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::{Payment, SidRecord};

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    Payment(Box<Payment>),
    Sid(SidRecord),
}

impl Record {
    /// How many names were drawn for it.
    pub(crate) fn names(&self) -> usize {
        match self {
            Self::Payment(payment) => 1 + payment.actions.len(),
            Self::Sid(_) => 1,
        }
    }

    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Payment(payment) => &payment.tid,
            Self::Sid(sid) => &sid.sid,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    /// Reads what is there, compacts it, and stands ready to append.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<Record>)> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let records = latest(path)?;
        let fresh = path.with_extension("compacting");
        let mut writer = BufWriter::new(File::create(&fresh)?);
        for record in &records {
            writer.write_all(&line(record)?)?;
        }
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&fresh, path)?;
        let file = OpenOptions::new().append(true).open(path)?;
        Ok((Self(file), records))
    }

    /// Adds what changed together in one write. A full disk must not make the simulator lie to
    /// its callers, so it is only reported.
    pub(crate) fn append(&mut self, records: &[Record]) {
        let lines = records.iter().map(line).collect::<io::Result<Vec<_>>>();
        if let Err(error) = lines.and_then(|lines| self.0.write_all(&lines.concat())) {
            tracing::error!(%error, "the simulator's state file cannot be written");
        }
    }
}

fn line(record: &Record) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(record).map_err(io::Error::from)?;
    line.push(b'\n');
    Ok(line)
}

/// The last state of each, in the order in which they first appeared.
fn latest(path: &Path) -> io::Result<Vec<Record>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut records: Vec<Record> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for line in BufReader::new(file).split(b'\n') {
        // The last line may be torn; nobody was told of what it says.
        let Ok(record) = serde_json::from_slice::<Record>(&line?) else {
            continue;
        };
        if let Some(place) = places.get(record.key()) {
            records[*place] = record;
        } else {
            places.insert(record.key().to_owned(), records.len());
            records.push(record);
        }
    }
    Ok(records)
}
