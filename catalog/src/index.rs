//! The index: the catalog's entries in sled, so that a start need not read a whole checkpoint and log.
//!
//! It is derived data. The log says what was committed; one thread applies published commits here, some time later, and whatever
//! is wrong with the index when it is opened, the answer is to delete it and to build it again from a checkpoint and the log.
//! That is not caution for its own sake: sled 0.34 does not fsync in `flush`, refuses to open over a half-written snapshot
//! file, and can panic while it recovers. So every value is checked:
//!
//!     tree key    entry key | chunk u32, big-endian
//!     tree value  crc32c u32 of (tree key, payload) | payload of at most CHUNK_BYTES_MAX
//!     0x00        crc32c u32 | version u32 | last applied seq u64 | digest u128      written in the batch that it describes
//!
//! The digest is the wrapping sum of a 128-bit hash of every entry. It does not depend on order, so a batch updates it from what it
//! changes alone, and a mix of blocks from before and after a batch gives another one. Values stay under 4 KiB because
//! sled puts large pages into files of their own.
//!
//! This is the only file that names sled. Nothing here may fail a commit; see `applier`.

use crate::difference::Changes;
use crate::entries::Key;
use crate::files::Files;
use crate::ids::CommitSeq;
use hashbrown::HashMap;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::BTreeMap;
use std::hash::Hasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The version of the layout. *Adding a new version:* raise it; an index of a version that is not read is rebuilt like a broken one.
const VERSION: u32 = 3;
/// The oldest version that is read as it is: version 3 only has more kinds of batches in its values.
const OLDEST_VERSION: u32 = 2;
const APPLIED_KEY: &[u8] = &[0];
const CHUNK_BYTES_MAX: usize = 4000;
/// How long an index that was just closed may keep its lock.
const LOCK_TRIES_MAX: usize = 50;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);
const CACHE_BYTES: u64 = 32 << 20;
/// A rebuild writes batches of about this many bytes.
const REBUILD_BATCH_BYTES: usize = 4 << 20;

/// Why the index cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct IndexProblem(String);

impl IndexProblem {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

impl From<sled::Error> for IndexProblem {
    fn from(error: sled::Error) -> Self {
        Self(error.to_string())
    }
}

/// What the index knows of an entry without reading it.
#[derive(Clone, Copy)]
struct Known {
    hash: u128,
    chunks: u32,
}

/// An open index.
pub(crate) struct Index {
    tree: sled::Db,
    known: HashMap<Vec<u8>, Known>,
    digest: u128,
}

/// An index as it was found.
pub(crate) struct FoundIndex {
    pub(crate) index: Index,
    pub(crate) applied: CommitSeq,
    pub(crate) entries: Vec<(Key, Vec<u8>)>,
}

impl Index {
    /// Opens what is there and checks all of it; `None` where there is nothing.
    pub(crate) fn open(files: &Files, directory: &Path) -> Result<Option<FoundIndex>, IndexProblem> {
        let found = files.list(directory).map_err(|error| IndexProblem(error.to_string()))?;
        if found.is_empty() {
            return Ok(None);
        }
        for path in found.iter().filter(|path| path.to_string_lossy().ends_with(".generating")) {
            files.remove(path).map_err(|error| IndexProblem(error.to_string()))?;
        }
        guarded(|| {
            let tree = open_tree(directory)?;
            read_all(tree).map(Some)
        })
    }

    /// Starts an empty index where no directory is.
    pub(crate) fn create(directory: &Path) -> Result<Self, IndexProblem> {
        guarded(|| Ok(Self { tree: open_tree(directory)?, known: HashMap::new(), digest: 0 }))
    }

    /// Applies the changes of all commits up to `seq` at once.
    pub(crate) fn apply(&mut self, seq: CommitSeq, changes: &Changes) -> Result<(), IndexProblem> {
        guarded(|| {
            let mut batch = sled::Batch::default();
            for (key, value) in changes {
                self.stage(&mut batch, key.to_bytes(), value.as_deref());
            }
            self.stage_applied(&mut batch, seq);
            Ok(self.tree.apply_batch(batch)?)
        })
    }

    /// Makes the index hold exactly `entries`. Until its last batch is in, the digest does not fit, so a crash in between is noticed.
    pub(crate) fn replace_all(&mut self, seq: CommitSeq, entries: &[(Key, Vec<u8>)]) -> Result<(), IndexProblem> {
        let mut gone: HashMap<Vec<u8>, Known> = self.known.clone();
        guarded(|| {
            let mut batch = sled::Batch::default();
            let mut bytes = 0;
            for (key, value) in entries {
                let key = key.to_bytes();
                let unchanged = gone.remove(&key).is_some_and(|known| known.hash == entry_hash(&key, value));
                if !unchanged {
                    bytes += value.len();
                    self.stage(&mut batch, key, Some(value));
                }
                if bytes > REBUILD_BATCH_BYTES {
                    self.tree.apply_batch(std::mem::take(&mut batch))?;
                    bytes = 0;
                }
            }
            gone.into_keys().for_each(|key| self.stage(&mut batch, key, None));
            self.stage_applied(&mut batch, seq);
            Ok(self.tree.apply_batch(batch)?)
        })
    }

    /// Writes out what sled holds back. This makes the next start faster, never safer.
    pub(crate) fn flush(&self) -> Result<(), IndexProblem> {
        guarded(|| Ok(self.tree.flush().map(drop)?))
    }

    /// Puts or removes one entry and keeps `known` and the digest in step.
    fn stage(&mut self, batch: &mut sled::Batch, key: Vec<u8>, value: Option<&[u8]>) {
        let old = self.known.remove(&key);
        let chunks: Vec<&[u8]> = match value {
            Some([]) => vec![&[]],
            Some(value) => value.chunks(CHUNK_BYTES_MAX).collect(),
            None => Vec::new(),
        };
        for (position, payload) in chunks.iter().enumerate() {
            let tree_key = tree_key(&key, position as u32);
            let sealed = seal(&tree_key, payload);
            batch.insert(tree_key, sealed);
        }
        let old_chunks = old.map_or(0, |old| old.chunks);
        for position in chunks.len() as u32..old_chunks {
            batch.remove(tree_key(&key, position));
        }
        self.digest = self.digest.wrapping_sub(old.map_or(0, |old| old.hash));
        if let Some(value) = value {
            let known = Known { hash: entry_hash(&key, value), chunks: chunks.len() as u32 };
            self.digest = self.digest.wrapping_add(known.hash);
            self.known.insert(key, known);
        }
    }

    fn stage_applied(&self, batch: &mut sled::Batch, seq: CommitSeq) {
        let mut applied = VERSION.to_le_bytes().to_vec();
        applied.extend_from_slice(&seq.0.to_le_bytes());
        applied.extend_from_slice(&self.digest.to_le_bytes());
        batch.insert(APPLIED_KEY, seal(APPLIED_KEY, &applied));
    }
}

/// sled reports some corruption by a panic; here that is a problem like any other.
fn guarded<T>(body: impl FnOnce() -> Result<T, IndexProblem>) -> Result<T, IndexProblem> {
    let caught = catch_unwind(AssertUnwindSafe(body));
    caught.unwrap_or_else(|_| Err(IndexProblem::new("sled panicked")))
}

/// `flush_every_ms` stays at its default: the thread that it starts is also the one that gives space back.
fn open_tree(directory: &Path) -> Result<sled::Db, IndexProblem> {
    let config = sled::Config::new().path(directory).cache_capacity(CACHE_BYTES).mode(sled::Mode::LowSpace);
    // The data directory is ours alone, so a lock can only be the rest of an index that this process has just closed.
    for _ in 0..LOCK_TRIES_MAX {
        match config.open() {
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                std::thread::sleep(LOCK_PAUSE);
            }
            opened => return Ok(opened?),
        }
    }
    Ok(config.open()?)
}

fn read_all(tree: sled::Db) -> Result<FoundIndex, IndexProblem> {
    let mut applied = None;
    let mut values: BTreeMap<Vec<u8>, (Vec<u8>, u32)> = BTreeMap::new();
    for item in tree.iter() {
        let (tree_key, sealed) = item?;
        let payload = unseal(&tree_key, &sealed).ok_or_else(|| IndexProblem::new("a value fails its checksum"))?;
        if &*tree_key == APPLIED_KEY {
            applied = Some(read_applied(payload)?);
            continue;
        }
        let (key, chunk) = tree_key.split_last_chunk::<4>().ok_or_else(|| IndexProblem::new("a key is too short"))?;
        let (value, chunks) = values.entry(key.to_vec()).or_default();
        if u32::from_be_bytes(*chunk) != *chunks {
            return Err(IndexProblem::new("a part of a value is missing"));
        }
        value.extend_from_slice(payload);
        *chunks += 1;
    }
    let (applied, digest) = applied.ok_or_else(|| IndexProblem::new("it was not finished"))?;
    let mut known = HashMap::with_capacity(values.len());
    let mut entries = Vec::with_capacity(values.len());
    let mut sum: u128 = 0;
    for (key, (value, chunks)) in values {
        let hash = entry_hash(&key, &value);
        sum = sum.wrapping_add(hash);
        let parsed = Key::from_bytes(&key).ok_or_else(|| IndexProblem::new("a key is not known"))?;
        entries.push((parsed, value));
        known.insert(key, Known { hash, chunks });
    }
    if sum != digest {
        return Err(IndexProblem::new("its digest does not fit its entries"));
    }
    Ok(FoundIndex { index: Index { tree, known, digest }, applied, entries })
}

fn read_applied(payload: &[u8]) -> Result<(CommitSeq, u128), IndexProblem> {
    let parse = || {
        let (version, rest) = payload.split_first_chunk::<4>()?;
        let (seq, digest) = rest.split_first_chunk::<8>()?;
        let digest = u128::from_le_bytes(digest.try_into().ok()?);
        Some((u32::from_le_bytes(*version), CommitSeq(u64::from_le_bytes(*seq)), digest))
    };
    match parse() {
        Some((OLDEST_VERSION..=VERSION, seq, digest)) => Ok((seq, digest)),
        _ => Err(IndexProblem::new("it is of another version")),
    }
}

fn tree_key(key: &[u8], chunk: u32) -> Vec<u8> {
    [key, &chunk.to_be_bytes()].concat()
}

fn seal(tree_key: &[u8], payload: &[u8]) -> Vec<u8> {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(tree_key), payload);
    [checksum.to_le_bytes().as_slice(), payload].concat()
}

fn unseal<'a>(tree_key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (checksum, payload) = sealed.split_first_chunk::<4>()?;
    let expected = crc32c::crc32c_append(crc32c::crc32c(tree_key), payload);
    (u32::from_le_bytes(*checksum) == expected).then_some(payload)
}

/// SipHash-1-3 with 128 bits and a fixed key: no adversary writes the index, and sums of it do not collide by accident.
fn entry_hash(key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(0x6d65_7269_6469_616e, 0x6469_6765_7374_0001);
    hasher.write(&(key.len() as u64).to_le_bytes());
    hasher.write(key);
    hasher.write(value);
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests;
