//! What the tables of the crash test hold, as acknowledged and as found.

use crate::session::{Session, TextRow};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;

/// The rows of one marker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Rows in `ledger` and the sum of their amounts, in hundredths.
    pub lines: u64,
    pub total_cents: i64,
    /// Rows in `receipts` and what they say of `ledger`.
    pub receipts: u64,
    pub receipt_lines: u64,
    pub receipt_cents: i64,
}

/// What one transaction does: markers and the entries that they have afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub what: &'static str,
    pub after: Vec<(i64, Entry)>,
}

/// The entries by marker; a marker without rows is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    entries: BTreeMap<i64, Entry>,
}

impl Ledger {
    /// Reads both tables.
    pub(crate) async fn read(session: &Session) -> Result<Self> {
        let mut entries: BTreeMap<i64, Entry> = BTreeMap::new();
        for row in session.rows("SELECT marker, count(*), sum(amount) FROM ledger GROUP BY marker").await? {
            let entry = entries.entry(number(&row, 0)?).or_default();
            (entry.lines, entry.total_cents) = (number(&row, 1)?, cents(&row, 2)?);
        }
        let receipts = "SELECT marker, count(*), sum(lines), sum(total) FROM receipts GROUP BY marker";
        for row in session.rows(receipts).await? {
            let entry = entries.entry(number(&row, 0)?).or_default();
            (entry.receipts, entry.receipt_lines) = (number(&row, 1)?, number(&row, 2)?);
            entry.receipt_cents = cents(&row, 3)?;
        }
        Ok(Self { entries })
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        for (marker, entry) in &change.after {
            if *entry == Entry::default() {
                self.entries.remove(marker);
            } else {
                self.entries.insert(*marker, *entry);
            }
        }
    }

    pub(crate) fn entry(&self, marker: i64) -> Entry {
        self.entries.get(&marker).copied().unwrap_or_default()
    }

    pub(crate) fn row_count(&self) -> u64 {
        self.entries.values().map(|entry| entry.lines + entry.receipts).sum()
    }

    /// Whether a change of unknown outcome was kept, as this ledger was found; an error when it is half there.
    pub(crate) fn settle(&self, before: &Ledger, change: &Change) -> Result<bool> {
        if change.after.iter().all(|(marker, after)| self.entry(*marker) == *after) {
            return Ok(true);
        }
        if change.after.iter().all(|(marker, _)| self.entry(*marker) == before.entry(*marker)) {
            return Ok(false);
        }
        let found: Vec<_> = change.after.iter().map(|(marker, _)| (marker, self.entry(*marker))).collect();
        let was: Vec<_> = change.after.iter().map(|(marker, _)| (marker, before.entry(*marker))).collect();
        bail!("an unacknowledged {change:?} is half there: before it {was:?}, found {found:?}")
    }

    /// Fails with the markers that differ.
    pub(crate) fn ensure_equals(&self, acknowledged: &Ledger) -> Result<()> {
        let markers: std::collections::BTreeSet<i64> =
            self.entries.keys().chain(acknowledged.entries.keys()).copied().collect();
        let different: Vec<String> = markers
            .into_iter()
            .filter(|marker| self.entry(*marker) != acknowledged.entry(*marker))
            .map(|marker| {
                format!(
                    "marker {marker}: acknowledged {:?}, found {:?}",
                    acknowledged.entry(marker),
                    self.entry(marker)
                )
            })
            .collect();
        if different.is_empty() {
            return Ok(());
        }
        let shown: Vec<&str> = different.iter().take(10).map(String::as_str).collect();
        bail!("{} markers differ from what was acknowledged\n{}", different.len(), shown.join("\n"))
    }
}

fn text(row: &TextRow, index: usize) -> Result<&str> {
    row.get(index).and_then(Option::as_deref).with_context(|| format!("no value {index} in {row:?}"))
}

fn number<N: std::str::FromStr>(row: &TextRow, index: usize) -> Result<N>
where
    N::Err: std::error::Error + Send + Sync + 'static,
{
    let text = text(row, index)?;
    text.parse().with_context(|| format!("{text:?} is no number"))
}

/// A numeric with two decimals, in hundredths.
fn cents(row: &TextRow, index: usize) -> Result<i64> {
    let text = text(row, index)?;
    let (whole, decimals) = text.split_once('.').with_context(|| format!("{text:?} has no decimals"))?;
    if decimals.len() != 2 {
        bail!("{text:?} has not two decimals");
    }
    format!("{whole}{decimals}").parse().with_context(|| format!("{text:?} is no number"))
}
