//! Gathering: a partition's rows, which lie in many batches, put into the order in which a segment holds them.
//!
//! A row is an [`Address`], a partition a list of addresses. Sorting permutes that list, and one gather copies the rows, a
//! few thousand at a time, on their way into the encoder. Where the addresses are runs of neighbours (rows that came in
//! order), slices take the place of single rows.

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{SortOptions, concat_batches, interleave};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};

/// A buffered row: the position of its batch, and its position in the batch.
pub(crate) type Address = (u32, u32);

/// Runs of neighbours at least this long on average are sliced, shorter ones copied row by row.
const RUN_ROWS_MIN: usize = 64;

/// The bytes of a sort key that are compared at once.
const PREFIX_BYTES: usize = 16;

/// The addresses of all rows, batch after batch.
pub(crate) fn addresses(batches: &[RecordBatch]) -> Vec<Address> {
    let batches = (0u32..).zip(batches);
    batches.flat_map(|(position, batch)| (0..batch.num_rows() as u32).map(move |row| (position, row))).collect()
}

/// Sorts addresses by the columns at `keys`, ascending, NULLs last; equal rows keep their order.
pub(crate) fn sort(
    batches: &[RecordBatch],
    keys: &[usize],
    addresses: Vec<Address>,
) -> Result<Vec<Address>, ArrowError> {
    if keys.is_empty() || addresses.len() < 2 {
        return Ok(addresses);
    }
    let columns = gather_columns(batches, keys.iter().copied(), &addresses)?;
    let options = SortOptions { descending: false, nulls_first: false };
    let fields =
        columns.iter().map(|column| SortField::new_with_options(column.data_type().clone(), options)).collect();
    let rows = RowConverter::new(fields)?.convert_columns(&columns)?;
    drop(columns);
    if (1..rows.num_rows()).all(|row| rows.row(row - 1) <= rows.row(row)) {
        return Ok(addresses);
    }
    Ok(sorted_positions(&rows).into_iter().map(|position| addresses[position as usize]).collect())
}

/// The order of rows of comparable bytes. Most keys (a date and a timestamp) fit into the prefix, and comparing integers
/// is several times faster than comparing slices.
fn sorted_positions(rows: &Rows) -> Vec<u32> {
    let mut exact = true;
    let mut prefixed: Vec<(u128, u32)> = (0u32..)
        .zip(rows.iter())
        .map(|(position, row)| {
            let bytes = row.data();
            exact &= bytes.len() <= PREFIX_BYTES;
            let mut prefix = [0; PREFIX_BYTES];
            let length = bytes.len().min(PREFIX_BYTES);
            prefix[..length].copy_from_slice(&bytes[..length]);
            (u128::from_be_bytes(prefix), position)
        })
        .collect();
    if exact {
        prefixed.sort_unstable();
    } else {
        prefixed.sort_unstable_by(|left, right| {
            let whole = || rows.row(left.1 as usize).cmp(&rows.row(right.1 as usize));
            left.0.cmp(&right.0).then_with(whole).then(left.1.cmp(&right.1))
        });
    }
    prefixed.into_iter().map(|(_, position)| position).collect()
}

/// The rows at `addresses`, in that order.
pub(crate) fn gather(
    schema: &SchemaRef,
    batches: &[RecordBatch],
    addresses: &[Address],
) -> Result<RecordBatch, ArrowError> {
    let runs = 1 + addresses.windows(2).filter(|pair| !is_next(pair[0], pair[1])).count();
    if runs * RUN_ROWS_MIN <= addresses.len() || addresses.len() == 1 {
        let slices: Vec<_> = addresses
            .chunk_by(|left, right| is_next(*left, *right))
            .map(|run| batches[run[0].0 as usize].slice(run[0].1 as usize, run.len()))
            .collect();
        return match slices.as_slice() {
            [slice] => Ok(slice.clone()),
            slices => concat_batches(schema, slices),
        };
    }
    let columns = gather_columns(batches, 0..schema.fields().len(), addresses)?;
    let options = RecordBatchOptions::new().with_row_count(Some(addresses.len()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

fn is_next(left: Address, right: Address) -> bool {
    left.0 == right.0 && left.1 + 1 == right.1
}

fn gather_columns(
    batches: &[RecordBatch],
    positions: impl Iterator<Item = usize>,
    addresses: &[Address],
) -> Result<Vec<ArrayRef>, ArrowError> {
    // Only the batches that occur, or each column would pay for all of them.
    let mut local = vec![usize::MAX; batches.len()];
    let mut touched = Vec::new();
    let indices: Vec<(usize, usize)> = addresses
        .iter()
        .map(|&(batch, row)| {
            let slot = &mut local[batch as usize];
            if *slot == usize::MAX {
                *slot = touched.len();
                touched.push(&batches[batch as usize]);
            }
            (*slot, row as usize)
        })
        .collect();
    positions
        .map(|position| {
            let arrays: Vec<&dyn Array> = touched.iter().map(|batch| batch.column(position).as_ref()).collect();
            interleave(&arrays, &indices)
        })
        .collect()
}
