//! Sales as a stream brings them: some late, some twice, some damaged, each by a share.
//!
//!     sales in order ─▶ late ones wait for some thousand others ─▶ damaged ones lose their shape ─▶ a line
//!                       those that come again wait too
//!
//! What happens to a sale depends on the seed and its index alone. A damaged line is exactly one record that no table of sales
//! takes, and stays so when it comes again.

use super::{Order, Permutation, Sales, SplitMix64, below, mix};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A late sale, or one that comes again, does so before as many others have come.
const DELAY_ROWS_MAX: u64 = 10_000;
/// Keeps what happens to a sale apart from what it is.
const STREAM_SALT: u64 = 0x57e4_a3ed_0dd5;

/// How much of a stream is not as it should be, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Shares {
    /// Of the sales that come after others which are later.
    pub(crate) late: f64,
    /// Of the sales that come twice.
    pub(crate) duplicates: f64,
    /// Of the lines that cannot be loaded.
    pub(crate) dirty: f64,
}

/// What has come so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) lines: u64,
    pub(crate) late: u64,
    pub(crate) duplicates: u64,
    pub(crate) dirty: u64,
}

/// The lines of a seed's sales.
pub(crate) struct Stream<'a> {
    sales: &'a Sales,
    order: Order,
    permutation: Permutation,
    shares: Shares,
    /// How many sales were looked at; what waits is due when this is reached.
    next: u64,
    /// When it is due, in which order, the sale's index, and whether it comes again.
    waiting: BinaryHeap<Reverse<(u64, u64, u64, bool)>>,
    counts: Counts,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(sales: &'a Sales, order: Order, shares: Shares) -> Self {
        let permutation = Permutation::new(sales.rows, sales.seed);
        Self { sales, order, permutation, shares, next: 0, waiting: BinaryHeap::new(), counts: Counts::default() }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Appends the next line; false where there is none.
    pub(crate) fn write_next(&mut self, out: &mut Vec<u8>) -> bool {
        loop {
            let ended = self.next == self.sales.rows;
            if let Some(Reverse((_, _, index, again))) =
                self.waiting.peek().copied().filter(|Reverse((due, ..))| ended || *due <= self.next)
            {
                self.waiting.pop();
                self.write(index, again, out);
                return true;
            }
            if ended {
                return false;
            }
            let index = match self.order {
                Order::ByDate => self.next,
                Order::Random => self.permutation.apply(self.next),
            };
            self.next += 1;
            let mut chance = self.chance(index);
            if self.shares.late > 0.0 && chance.falls_on(self.shares.late) {
                self.counts.late += 1;
                self.wait(index, false, &mut chance);
                continue;
            }
            self.write(index, false, out);
            return true;
        }
    }

    /// The random numbers of what happens to a sale.
    fn chance(&self, index: u64) -> SplitMix64 {
        SplitMix64 { state: mix(self.sales.seed.wrapping_add(mix(index ^ STREAM_SALT))) }
    }

    fn wait(&mut self, index: u64, again: bool, chance: &mut SplitMix64) {
        let due = self.next + 1 + below(chance.next() >> 32, DELAY_ROWS_MAX);
        self.waiting.push(Reverse((due, self.next, index, again)));
    }

    fn write(&mut self, index: u64, again: bool, out: &mut Vec<u8>) {
        let Shares { duplicates, dirty, .. } = self.shares;
        self.counts.lines += 1;
        self.counts.duplicates += u64::from(again);
        let start = out.len();
        self.sales.sale(index).write_csv(out);
        // Each has numbers of its own, so that one share does not change what another falls on.
        let mut chance = SplitMix64 { state: mix(self.chance(index).state ^ 1) };
        if dirty > 0.0 && chance.falls_on(dirty) {
            self.counts.dirty += 1;
            let line = damaged(&out[start..], chance.next());
            out.truncate(start);
            out.extend_from_slice(&line);
        }
        let mut chance = SplitMix64 { state: mix(self.chance(index).state ^ 2) };
        if !again && duplicates > 0.0 && chance.falls_on(duplicates) {
            self.wait(index, true, &mut chance);
        }
    }
}

/// A line with something wrong in it, which depends on `choice`: values that are none, of another type, too large, or missing where one
/// must be, a field too few or too many, bytes that are no text.
fn damaged(line: &[u8], choice: u64) -> Vec<u8> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut fields: Vec<&[u8]> = line.split(|byte| *byte == b',').collect();
    let last = fields.len() - 1;
    match choice >> 61 {
        0 => fields[12] = b"\"12,x\"",
        1 => fields[2] = b"2025-02-30",
        2 => fields.truncate(last),
        3 => fields.push(b"again"),
        4 => fields[9] = b"many",
        5 => fields[3] = b"",
        6 => fields[4] = b"Espa\xf1a",
        _ => fields[12] = b"99999999999.99",
    }
    let mut damaged = fields.join(&b',');
    damaged.push(b'\n');
    damaged
}
