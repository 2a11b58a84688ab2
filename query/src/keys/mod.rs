//! Keys: PRIMARY KEY and UNIQUE, and how they hold.
//!
//! While a statement's rows arrive, a [`KeyLog`](log::KeyLog) notes a *digest* of each key, 64 bits that are equal
//! for equal keys. When the last row is there, the digests are compared at once: with each other, and with the rows
//! that the statement sees, its own transaction's among them. The catalog compares them once more with what was
//! committed since; see `catalog::keys`.
//!
//!     rows ─▶ shape: digests ─▶ log ─sort─▶ twice?                                   ─┐
//!                                └────────▶ in a part whose bounds overlap? ─▶ index ─┴▶ violation 23505
//!                                           (zone maps, then the key column)
//!
//! A part is a segment or a batch of recent rows. Its [`index`] is its digests in order, made from the key columns
//! alone when it is first asked for and kept in a cache of limited size. Rows that come in the order of their key,
//! behind those that are there, read nothing and sort nothing.
//!
//! Digests of one column of at most 64 bits keep the values' order and are exact. Others are hashes, so what looks
//! like a duplicate is verified by comparing the keys themselves.
//!
//! Keys are checked at the end of a statement. PostgreSQL checks row by row unless a key is DEFERRABLE, so an UPDATE
//! that swaps two keys succeeds here and fails there. Moving rows (folding, compaction) checks nothing.

pub(crate) mod check;
pub(crate) mod definition;
pub(crate) mod existing;
pub(crate) mod index;
mod loaded_rows;
pub(crate) mod loading;
pub(crate) mod log;
pub(crate) mod shape;
pub(crate) mod upsert;
pub(crate) mod waiting;

#[cfg(test)]
mod tests;
