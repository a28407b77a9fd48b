//! Reading an import file, line by line and bounded, on a thread that may block.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contracts::ItemId;
use flate2::read::MultiGzDecoder;
use tokio::sync::mpsc::Sender;

use super::row::{RawRow, Row, RowRefusal};
use super::{Format, ImportOptions, ministry};

/// The longest line that is read, in bytes: twenty times the longest of the real data.
pub(super) const LINE_BYTES_MAX: usize = 256 * 1024;
/// The first two bytes of every gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What editors on some systems put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A row with its place in the file.
#[derive(Debug)]
pub(super) struct Numbered {
    /// Its line, or its place among the items of an API answer; from 1.
    pub(super) line: u64,
    /// The report number it names, well-formed or not.
    pub(super) report_no: Option<String>,
    /// The row, or why it can't be taken.
    pub(super) row: Result<Box<Row>, RowRefusal>,
}

/// An open import file.
pub(super) struct Source {
    bytes: Box<dyn BufRead + Send>,
    size_bytes: u64,
    read: ReadBytes,
}

/// How much of the file (as stored, that is compressed) has been read.
#[derive(Debug, Clone, Default)]
pub(super) struct ReadBytes(Arc<AtomicU64>);

impl ReadBytes {
    pub(super) fn so_far(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counted<R> {
    inner: R,
    read: ReadBytes,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.read.0.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
        Ok(count)
    }
}

impl Source {
    /// Opens `path` and looks whether it is compressed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size_bytes = file.metadata()?.len();
        let read = ReadBytes::default();
        let mut stored = BufReader::new(Counted { inner: file, read: read.clone() });
        let is_gzip = stored.fill_buf()?.starts_with(&GZIP_MAGIC);
        let bytes: Box<dyn BufRead + Send> = if is_gzip {
            Box::new(BufReader::with_capacity(64 * 1024, MultiGzDecoder::new(stored)))
        } else {
            Box::new(stored)
        };
        Ok(Self { bytes, size_bytes, read })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(super) fn read_bytes(&self) -> ReadBytes {
        self.read.clone()
    }

    /// Reads to the end, sending every row; stops early when nobody listens any more.
    ///
    /// # Errors
    /// The file breaks off before its first row. Later, the break is sent as a refused row.
    pub(super) fn read(self, options: ImportOptions, to: &Sender<Numbered>) -> io::Result<()> {
        let mut rows = Rows { options, to, sent: 0, first_lines: HashMap::new() };
        let ended = match options.format {
            Format::Jsonl => read_lines(self.bytes, &mut rows),
            Format::MfdsJson => ministry::read_answers(self.bytes, &mut rows),
        };
        match ended {
            Err(Stop::Broken { line, error }) if 0 < rows.sent => {
                // Nobody listening is the one failure left, and then nothing is to be told.
                let refusal = RowRefusal::CutShort(error.to_string());
                rows.refuse(line, refusal).or(Ok(()))
            }
            Err(Stop::Broken { error, .. }) => Err(error),
            Err(Stop::NobodyListens) | Ok(()) => Ok(()),
        }
    }
}

/// Why reading ended early.
pub(super) enum Stop {
    /// The file broke off in this line.
    Broken {
        /// The line that could not be read.
        line: u64,
        /// Why.
        error: io::Error,
    },
    /// The import is over.
    NobodyListens,
}

/// Takes rows, checks them and sends them on.
pub(super) struct Rows<'a> {
    options: ImportOptions,
    to: &'a Sender<Numbered>,
    sent: u64,
    /// Where each item first stood in this file.
    first_lines: HashMap<ItemId, u64>,
}

impl Rows<'_> {
    pub(super) fn take(&mut self, line: u64, raw: RawRow) -> Result<(), Stop> {
        let report_no = raw.named_report_no();
        let row = raw.check(self.options.demo_prices).and_then(|row| self.first(line, row));
        self.send(Numbered { line, report_no, row })
    }

    pub(super) fn refuse(&mut self, line: u64, refusal: RowRefusal) -> Result<(), Stop> {
        self.send(Numbered { line, report_no: None, row: Err(refusal) })
    }

    fn first(&mut self, line: u64, row: Row) -> Result<Box<Row>, RowRefusal> {
        let first_line = *self.first_lines.entry(ItemId::of(&row.report_no)).or_insert(line);
        if first_line < line {
            return Err(RowRefusal::Duplicate { first_line });
        }
        Ok(Box::new(row))
    }

    fn send(&mut self, numbered: Numbered) -> Result<(), Stop> {
        self.sent += 1;
        self.to.blocking_send(numbered).ok().ok_or(Stop::NobodyListens)
    }
}

fn read_lines(mut bytes: impl BufRead, rows: &mut Rows<'_>) -> Result<(), Stop> {
    let mut line_bytes = Vec::new();
    for line in 1.. {
        let read =
            read_line(&mut bytes, &mut line_bytes).map_err(|error| Stop::Broken { line, error })?;
        let taken = match read {
            LineRead::End => return Ok(()),
            LineRead::TooLong => rows.refuse(line, RowRefusal::LineTooLong),
            LineRead::Whole => take_line(line, &line_bytes, rows),
        };
        taken?;
    }
    Ok(())
}

fn take_line(line: u64, line_bytes: &[u8], rows: &mut Rows<'_>) -> Result<(), Stop> {
    let bare = match line {
        1 => line_bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line_bytes),
        _ => line_bytes,
    };
    let Ok(text) = str::from_utf8(bare) else {
        return rows.refuse(line, RowRefusal::NotUtf8);
    };
    if text.trim().is_empty() {
        return Ok(());
    }
    match serde_json::from_str::<RawRow>(text) {
        Ok(raw) => rows.take(line, raw),
        Err(error) => rows.refuse(line, bad_json(&error)),
    }
}

/// What is wrong with the JSON, without a place (each row is a document of its own).
pub(super) fn bad_json(error: &serde_json::Error) -> RowRefusal {
    RowRefusal::BadJson(error.to_string().chars().take(200).collect())
}

enum LineRead {
    End,
    Whole,
    TooLong,
}

/// Reads one line into `line`, without its end; passes over what is longer than the limit.
fn read_line(bytes: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<LineRead> {
    line.clear();
    let mut is_too_long = false;
    let mut has_begun = false;
    loop {
        let available = match bytes.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        let at_end = available.is_empty();
        if at_end && !has_begun {
            return Ok(LineRead::End);
        }
        has_begun = true;
        let line_end = available.iter().position(|byte| *byte == b'\n');
        let part = available.get(..line_end.unwrap_or(available.len())).unwrap_or_default();
        is_too_long |= LINE_BYTES_MAX < line.len() + part.len();
        if !is_too_long {
            line.extend_from_slice(part);
        }
        let consumed = part.len() + usize::from(line_end.is_some());
        bytes.consume(consumed);
        if at_end || line_end.is_some() {
            return Ok(if is_too_long { LineRead::TooLong } else { LineRead::Whole });
        }
    }
}
