//! Value counts: the different values of a group and how many rows have each, so that rows can be taken out again.
//!
//! Their bytes, as the state of a view keeps them. Numbers are in groups of seven bits, the lowest first; signed ones alternate, as
//! 0, −1, 1, −2.
//!
//! ```text
//!     1 │ how many values have rows │ value, rows │ value, rows │ …      in the order of values
//!         an integer is how far it is from the one before
//!         a text is how many bytes it begins with of the one before, how many follow, and these
//! ```
//!
//! Another layout begins with another number than 1. What changed may hold values that more rows left than came to; of what it was
//! added to, no value is had by fewer rows than none, and those of no rows are gone.

use super::accumulators::filtered;
use super::signed::Step;
use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, BooleanArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int8Type, Int64Type, TimeUnit};
use datafusion::common::{Result, exec_datafusion_err, exec_err, internal_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use std::fmt::Debug;
use std::sync::Arc;

const LAYOUT: u8 = 1;
/// Values that are added before they are put in their places.
const UNSORTED_MAX: usize = 64;
/// The bytes of the values of one group.
const GROUP_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How values are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Held {
    Integers,
    Texts,
}

impl Held {
    /// How values of a type are held, of which equal ones have equal bits.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Boolean => {
                Some(Self::Integers)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => Some(Self::Integers),
            DataType::Utf8 | DataType::Utf8View => Some(Self::Texts),
            _ => None,
        }
    }
}

/// A value as it is held and written.
pub(super) trait Value: Ord + Debug + Default + Send + Sync + 'static {
    /// Calls `each` with every row that is not NULL.
    fn rows(values: &ArrayRef, each: impl FnMut(usize, Self)) -> Result<()>;
    /// Writes it behind the value before.
    fn write(&self, before: &Self, bytes: &mut Vec<u8>);
    fn read(before: &Self, bytes: &mut &[u8]) -> Option<Self>;
    fn heap_bytes(&self) -> usize;
}

impl Value for i64 {
    fn rows(values: &ArrayRef, mut each: impl FnMut(usize, Self)) -> Result<()> {
        let integers = cast(values, &DataType::Int64)?;
        let integers = integers.as_primitive::<Int64Type>();
        (0..integers.len()).filter(|row| integers.is_valid(*row)).for_each(|row| each(row, integers.value(row)));
        Ok(())
    }

    fn write(&self, before: &Self, bytes: &mut Vec<u8>) {
        write_signed(self.wrapping_sub(*before), bytes);
    }

    fn read(before: &Self, bytes: &mut &[u8]) -> Option<Self> {
        Some(before.wrapping_add(read_signed(bytes)?))
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Value for Box<[u8]> {
    fn rows(values: &ArrayRef, mut each: impl FnMut(usize, Self)) -> Result<()> {
        let texts = cast(values, &DataType::Utf8View)?;
        let texts = texts.as_string_view();
        (0..texts.len())
            .filter(|row| texts.is_valid(*row))
            .for_each(|row| each(row, texts.value(row).as_bytes().into()));
        Ok(())
    }

    fn write(&self, before: &Self, bytes: &mut Vec<u8>) {
        let shared = self.iter().zip(before.iter()).take_while(|(own, other)| own == other).count();
        write_number(shared as u64, bytes);
        write_number((self.len() - shared) as u64, bytes);
        bytes.extend_from_slice(&self[shared..]);
    }

    fn read(before: &Self, bytes: &mut &[u8]) -> Option<Self> {
        let shared = before.get(..usize::try_from(read_number(bytes)?).ok()?)?;
        let length = usize::try_from(read_number(bytes)?).ok()?;
        let (own, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some([shared, own].concat().into())
    }

    fn heap_bytes(&self) -> usize {
        self.len()
    }
}

fn write_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn write_signed(number: i64, bytes: &mut Vec<u8>) {
    write_number((number << 1 ^ number >> 63) as u64, bytes);
}

fn read_signed(bytes: &mut &[u8]) -> Option<i64> {
    let number = read_number(bytes)?;
    Some((number >> 1) as i64 ^ -((number & 1) as i64))
}

/// The values of one group with their numbers of rows.
#[derive(Debug)]
struct Counts<V> {
    entries: Vec<(V, i64)>,
    /// So many entries, the first ones, are in order and of different values.
    sorted: usize,
    /// The bytes of the values beside the entries.
    value_bytes: usize,
}

impl<V> Default for Counts<V> {
    fn default() -> Self {
        Self { entries: Vec::new(), sorted: 0, value_bytes: 0 }
    }
}

impl<V: Value> Counts<V> {
    fn add(&mut self, value: V, rows: i64) {
        self.value_bytes += value.heap_bytes();
        self.entries.push((value, rows));
        if self.entries.len() >= 2 * self.sorted + UNSORTED_MAX {
            self.settle();
        }
    }

    /// Puts what was added in its place.
    fn settle(&mut self) {
        if self.sorted == self.entries.len() {
            return;
        }
        // What is in order already is one run to this sort.
        self.entries.sort_by(|one, other| one.0.cmp(&other.0));
        self.entries.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            kept.1 += if is_same { next.1 } else { 0 };
            is_same
        });
        self.entries.retain(|(_, rows)| *rows != 0);
        self.sorted = self.entries.len();
        self.value_bytes = self.entries.iter().map(|(value, _)| value.heap_bytes()).sum();
    }

    fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<(V, i64)>() + self.value_bytes
    }

    fn written(&mut self) -> Result<Vec<u8>> {
        self.settle();
        let mut bytes = vec![LAYOUT];
        write_number(self.entries.iter().filter(|(_, rows)| *rows > 0).count() as u64, &mut bytes);
        let first = V::default();
        let mut before = &first;
        for (value, rows) in &self.entries {
            value.write(before, &mut bytes);
            write_signed(*rows, &mut bytes);
            before = value;
        }
        if bytes.len() > GROUP_BYTES_MAX {
            return exec_err!("a group has more different values than the state of a view holds");
        }
        Ok(bytes)
    }

    /// Adds what [`Self::written`] wrote; `None` for anything else.
    fn merge(&mut self, mut bytes: &[u8]) -> Option<()> {
        read_header(&mut bytes)?;
        let was_empty = self.entries.is_empty();
        let start = self.entries.len();
        let first = V::default();
        while !bytes.is_empty() {
            let before = self.entries[start..].last().map_or(&first, |(value, _)| value);
            let value = V::read(before, &mut bytes)?;
            self.value_bytes += value.heap_bytes();
            self.entries.push((value, read_signed(&mut bytes)?));
        }
        if was_empty {
            self.sorted = self.entries.len();
        } else if self.entries.len() >= 2 * self.sorted + UNSORTED_MAX {
            self.settle();
        }
        Some(())
    }
}

/// How many values of the group have rows.
fn read_header(bytes: &mut &[u8]) -> Option<u64> {
    let (layout, rest) = bytes.split_first()?;
    *bytes = rest;
    if *layout == LAYOUT { read_number(bytes) } else { None }
}

fn damaged(bytes: usize) -> datafusion::common::DataFusionError {
    exec_datafusion_err!("{bytes} bytes are not the values of a group")
}

/// How many values of each group have rows.
pub(super) fn different(groups: &ArrayRef) -> Result<ArrayRef> {
    let groups = as_bytes(groups)?;
    let counts = groups.iter().map(|bytes| match bytes {
        Some(mut bytes) => {
            let length = bytes.len();
            read_header(&mut bytes).map(|count| count as i64).ok_or_else(|| damaged(length))
        }
        None => Ok(0),
    });
    Ok(Arc::new(counts.collect::<Result<Vec<i64>>>().map(Int64Array::from)?))
}

/// The bytes of groups in whatever type a plan has them.
fn as_bytes(column: &ArrayRef) -> Result<BinaryViewArray> {
    Ok(cast(column, &DataType::BinaryView)?.as_binary_view().clone())
}

/// The values of many groups.
#[derive(Debug)]
pub(super) struct ValueCounts<V> {
    groups: Vec<Counts<V>>,
    step: Step,
    heap_bytes: usize,
}

impl<V: Value> ValueCounts<V> {
    pub(super) fn new(step: Step) -> Self {
        Self { groups: Vec::new(), step, heap_bytes: 0 }
    }

    fn change<T>(&mut self, group: usize, change: impl FnOnce(&mut Counts<V>) -> T) -> T {
        let counts = &mut self.groups[group];
        let before = counts.heap_bytes();
        let changed = change(counts);
        self.heap_bytes = (self.heap_bytes + counts.heap_bytes()).saturating_sub(before);
        changed
    }
}

impl<V: Value> GroupsAccumulator for ValueCounts<V> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        if let Some(predicate) = filter {
            let (values, groups) = filtered(values, groups, predicate)?;
            return self.update_batch(&values, &groups, None, total);
        }
        if self.step == Step::Merged {
            return self.merge_batch(values, groups, total);
        }
        self.groups.resize_with(total, Counts::default);
        let [values, weights] = values else { return internal_err!("values are counted by their weights") };
        let weights = weights.as_primitive::<Int8Type>();
        V::rows(values, |row, value| {
            let rows = i64::from(weights.value(row).signum());
            self.change(groups[row], |counts| counts.add(value, rows));
        })
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize_with(total, Counts::default);
        for (bytes, group) in as_bytes(&states[0])?.iter().zip(groups) {
            if let Some(bytes) = bytes {
                self.change(*group, |counts| counts.merge(bytes)).ok_or_else(|| damaged(bytes.len()))?;
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut taken = emit_to.take_needed(&mut self.groups);
        self.heap_bytes = self.groups.iter().map(Counts::heap_bytes).sum();
        let mut written = BinaryViewBuilder::with_capacity(taken.len());
        for counts in &mut taken {
            written.append_value(counts.written()?);
        }
        Ok(Arc::new(written.finish()))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut each = Self::new(self.step);
        each.update_batch(values, &(0..rows).collect::<Vec<_>>(), filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Counts<V>>() + self.heap_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int8Array, Int32Array, StringViewArray};

    fn counted<V: Value>(values: ArrayRef, weights: &[i8], groups: &[usize]) -> ArrayRef {
        let mut counts = ValueCounts::<V>::new(Step::Partial);
        let weights: ArrayRef = Arc::new(Int8Array::from(weights.to_vec()));
        counts.update_batch(&[values, weights], groups, None, 2).unwrap();
        counts.evaluate(EmitTo::All).unwrap()
    }

    fn merged<V: Value>(runs: &[ArrayRef]) -> ArrayRef {
        let mut counts = ValueCounts::<V>::new(Step::Merged);
        runs.iter().for_each(|run| counts.update_batch(std::slice::from_ref(run), &[0, 1], None, 2).unwrap());
        counts.evaluate(EmitTo::All).unwrap()
    }

    fn count(groups: &ArrayRef) -> Vec<i64> {
        different(groups).unwrap().as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn integers_go_as_they_came() {
        let values = |values: &[Option<i32>]| Arc::new(Int32Array::from(values.to_vec())) as ArrayRef;
        let came = values(&[Some(7), Some(i32::MIN), Some(7), None, Some(i32::MAX), Some(0)]);
        let came = counted::<i64>(came, &[1; 6], &[0, 0, 0, 0, 0, 1]);
        assert_eq!(count(&came), [3, 1]);
        let went = counted::<i64>(values(&[Some(7), Some(i32::MIN), Some(0)]), &[-1; 3], &[0, 0, 1]);
        assert_eq!(count(&merged::<i64>(&[came.clone(), went.clone()])), [2, 0]);
        let again = counted::<i64>(values(&[Some(7)]), &[-1], &[0]);
        assert_eq!(count(&merged::<i64>(&[went, came, again])), [1, 0]);
    }

    #[test]
    fn texts_go_as_they_came() {
        let values = |values: &[&str]| Arc::new(StringViewArray::from(values.to_vec())) as ArrayRef;
        let came = values(&["", "customer 1", "customer 12", "customer 1", "ä"]);
        let came = counted::<Box<[u8]>>(came, &[1; 5], &[0, 0, 0, 0, 1]);
        let went = counted::<Box<[u8]>>(values(&["customer 1", "ä", "b"]), &[-1, -1, 1], &[0, 1, 1]);
        assert_eq!(count(&merged::<Box<[u8]>>(&[came.clone(), went.clone()])), [3, 1]);
        assert_eq!(count(&merged::<Box<[u8]>>(&[came, went.clone(), went])), [2, 1]);
    }

    #[test]
    fn many_values_are_counted_in_any_order() {
        let values: Vec<i64> = (0..10_000).map(|number| number * 7_919 % 1_009 - 500).collect();
        let rows = values.len();
        let came = counted::<i64>(Arc::new(Int64Array::from(values.clone())), &vec![1; rows], &vec![1; rows]);
        assert_eq!(count(&came), [0, 1_009]);
        let went = counted::<i64>(Arc::new(Int64Array::from(values)), &vec![-1; rows], &vec![1; rows]);
        assert_eq!(count(&merged::<i64>(&[came, went])), [0, 0]);
    }

    #[test]
    fn other_bytes_are_an_error() {
        for bytes in [&[][..], &[2, 0], &[LAYOUT, 0x80], &[LAYOUT, 1, 4], &[LAYOUT, 1, 3, 9, 65]] {
            assert!(Counts::<Box<[u8]>>::default().merge(bytes).is_none());
        }
    }
}
