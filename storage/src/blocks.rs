//! Blocks: checksums of a segment's parts, so that a read notices what has rotted.
//!
//!     file   block 0 │ block 1 │ … │ block n-1 │ tail: what the last block did not fill, page indexes, footer
//!            └── 64 KiB each ─────────────────┘         └── has the blocks' CRC-32C, as metadata "meridian.blocks"
//!
//! Nothing in Parquet as it is written here would notice a flipped bit in a page. The commit has the CRC-32C of the whole file,
//! and checksums of parts can be put together to that of the whole, so the blocks' checksums and the tail are known to be
//! what the commit named without reading the blocks. A block is compared when it is first read after the file was opened.
//! A segment that was written before there were blocks has none; `verify` still reads it whole.

use catalog::segment::SegmentMeta;
use parquet::file::metadata::{FileMetaData, KeyValue, ParquetMetaData};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

const KEY: &str = "meridian.blocks";
/// Small enough for the read of a page, large enough for its checksums to be a thousandth of a thousandth of the rows.
const BLOCK_BYTES: usize = 64 * 1024;

/// Checksums of what is written to a file, in order.
#[derive(Debug, Default)]
pub(crate) struct WrittenBlocks {
    complete: Vec<u32>,
    current: u32,
    current_bytes: usize,
}

impl WrittenBlocks {
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (part, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.current_bytes));
            self.current = crc32c::crc32c_append(self.current, part);
            self.current_bytes += part.len();
            if self.current_bytes == BLOCK_BYTES {
                self.complete.push(std::mem::take(&mut self.current));
                self.current_bytes = 0;
            }
            bytes = rest;
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        (self.complete.len() * BLOCK_BYTES + self.current_bytes) as u64
    }

    /// The CRC-32C of everything.
    pub(crate) fn checksum(&self) -> u32 {
        crc32c::crc32c_combine(combined(&self.complete, BLOCK_BYTES), self.current, self.current_bytes)
    }

    /// The blocks that are complete so far, for the footer.
    pub(crate) fn metadata(&self) -> KeyValue {
        let checksums: String = self.complete.iter().map(|checksum| format!("{checksum:08x}")).collect();
        KeyValue::new(KEY.to_string(), format!("{BLOCK_BYTES} {checksums}"))
    }
}

/// The CRC-32C of blocks of one size, from theirs.
fn combined(checksums: &[u32], block_bytes: usize) -> u32 {
    /// For more blocks than these their [`Shift`] costs less than to put together each by itself.
    const FEW: usize = u32::BITS as usize;
    static SHIFT: OnceLock<Shift> = OnceLock::new();
    let fold = |shift: &Shift| checksums.iter().fold(0, |whole, checksum| shift.of(whole) ^ checksum);
    match block_bytes {
        BLOCK_BYTES => fold(SHIFT.get_or_init(|| Shift::by(BLOCK_BYTES))),
        other if checksums.len() > FEW => fold(&Shift::by(other)),
        other => checksums.iter().fold(0, |whole, checksum| crc32c::crc32c_combine(whole, *checksum, other)),
    }
}

/// What a checksum becomes when so many bytes follow: the exclusive or of what each of its bits becomes. Zlib's `crc32_combine` squares
/// matrices to find that out, which takes longer than to go over a block of [`BLOCK_BYTES`].
#[derive(Debug)]
struct Shift([u32; u32::BITS as usize]);

impl Shift {
    fn by(bytes: usize) -> Self {
        Self(std::array::from_fn(|bit| crc32c::crc32c_combine(1 << bit, 0, bytes)))
    }

    fn of(&self, checksum: u32) -> u32 {
        (0..u32::BITS).filter(|bit| checksum >> bit & 1 == 1).fold(0, |sum, bit| sum ^ self.0[bit as usize])
    }
}

/// What is known of an open file's blocks.
#[derive(Debug)]
pub(crate) struct Blocks {
    block_bytes: usize,
    checksums: Vec<u32>,
    /// Which blocks were read and found right.
    verified: Vec<AtomicBool>,
}

impl Blocks {
    /// Takes the blocks from a footer, and compares the tail and the blocks' checksums with what the commit says. `None` for a
    /// segment without blocks; an error of kind `InvalidData` for one that is not what the commit named.
    pub(crate) fn open(file: &File, meta: &SegmentMeta, footer: &ParquetMetaData) -> io::Result<Option<Self>> {
        let Some(text) = find(footer.file_metadata()) else { return Ok(None) };
        let invalid = |detail: &str| io::Error::new(io::ErrorKind::InvalidData, detail.to_string());
        let (block_bytes, checksums) = parse(text).ok_or_else(|| invalid("its list of blocks makes no sense"))?;
        let tail_start = (block_bytes as u64).saturating_mul(checksums.len() as u64);
        let tail_bytes =
            meta.bytes.checked_sub(tail_start).ok_or_else(|| invalid("it has fewer blocks than it says"))?;
        let mut tail = vec![0; tail_bytes as usize];
        file.read_exact_at(&mut tail, tail_start)?;
        let whole = crc32c::crc32c_append(combined(&checksums, block_bytes), &tail);
        if whole != meta.checksum {
            return Err(invalid("the checksum of its footer does not fit"));
        }
        let verified = checksums.iter().map(|_| AtomicBool::new(false)).collect();
        Ok(Some(Self { block_bytes, checksums, verified }))
    }

    /// Compares the blocks that a range lies in, those that were not compared before. An error of kind `InvalidData` is rot.
    pub(crate) fn verify(&self, file: &File, range: Range<u64>) -> io::Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let size = self.block_bytes as u64;
        let first = (range.start / size) as usize;
        let end = (range.end.div_ceil(size) as usize).min(self.checksums.len());
        let mut buffer = Vec::new();
        for block in first..end {
            if self.verified[block].load(Ordering::Relaxed) {
                continue;
            }
            buffer.resize(self.block_bytes, 0);
            file.read_exact_at(&mut buffer, block as u64 * size)?;
            if crc32c::crc32c(&buffer) != self.checksums[block] {
                let detail = format!("the checksum of its block at offset {} does not fit", block as u64 * size);
                return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
            }
            self.verified[block].store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn find(footer: &FileMetaData) -> Option<&str> {
    let pairs = footer.key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == KEY)?.value.as_deref()
}

fn parse(text: &str) -> Option<(usize, Vec<u32>)> {
    let (block_bytes, digits) = text.split_once(' ')?;
    let block_bytes = block_bytes.parse().ok().filter(|bytes| *bytes > 0)?;
    let checksum = |at: usize| u32::from_str_radix(digits.get(at..at + 8)?, 16).ok();
    Some((block_bytes, (0..digits.len()).step_by(8).map(checksum).collect::<Option<_>>()?))
}

/// A footer without the blocks, which would become metadata of the rows' schema and differ from file to file.
pub(crate) fn without_blocks(footer: ParquetMetaData) -> ParquetMetaData {
    let old = footer.file_metadata();
    if find(old).is_none() {
        return footer;
    }
    let kept = old.key_value_metadata().map(|pairs| pairs.iter().filter(|pair| pair.key != KEY).cloned().collect());
    let file_metadata = FileMetaData::new(
        old.version(),
        old.num_rows(),
        old.created_by().map(str::to_string),
        kept,
        old.schema_descr_ptr(),
        old.column_orders().cloned(),
    );
    let mut old = footer.into_builder();
    let indexes = (old.take_column_index(), old.take_offset_index());
    let rebuilt = ParquetMetaData::new(file_metadata, old.take_row_groups()).into_builder();
    rebuilt.set_column_index(indexes.0).set_offset_index(indexes.1).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_blocks_make_that_of_the_whole() {
        let bytes: Vec<u8> =
            (0..40 * BLOCK_BYTES as u32 + 77).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for block_bytes in [BLOCK_BYTES, 1000, 3 * BLOCK_BYTES] {
            let blocks = bytes.chunks_exact(block_bytes);
            let tail = blocks.remainder();
            let checksums: Vec<u32> = blocks.map(crc32c::crc32c).collect();
            for count in [0, 1, checksums.len() - 1, checksums.len()] {
                let expected = crc32c::crc32c(&bytes[..count * block_bytes]);
                assert_eq!(combined(&checksums[..count], block_bytes), expected, "{count} of {block_bytes} bytes");
            }
            assert_eq!(crc32c::crc32c_append(combined(&checksums, block_bytes), tail), crc32c::crc32c(&bytes));
        }
    }
}
