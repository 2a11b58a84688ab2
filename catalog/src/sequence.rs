//! Sequences: generators of numbers, and how far they have come.
//!
//! A sequence's numbers belong to no transaction: what was handed out stays so after ROLLBACK. What is on disk is a value *ahead* of
//! those that were handed out, so that a number costs no commit of its own and a crash repeats none; it may leave
//! a gap.
//!
//!     handed out          in memory         not reserved yet
//!     1 2 3 4 5 6    7 8 9 10 … 38     39 40 …
//!               └ value in memory └ value in the catalog

use crate::definition::ObjectName;
use crate::ids::{ColumnId, ObjectId};
use crate::sql_type::SqlType;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The column that a sequence goes with: it is dropped with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceOwner {
    pub table: ObjectId,
    pub column: ColumnId,
}

/// A sequence without the numbers that it gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SequenceDefinition {
    pub id: ObjectId,
    pub name: ObjectName,
    /// smallint, integer or bigint.
    pub sql_type: SqlType,
    pub start: i64,
    /// Not zero; below zero for a sequence that descends.
    pub increment: i64,
    pub min: i64,
    pub max: i64,
    /// As it was declared; sessions share what is reserved.
    pub cache: i64,
    /// Whether it begins anew behind its last number.
    pub cycle: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<SequenceOwner>,
    /// Counts the changes of this definition; numbers that were reserved under another one are void.
    pub version: u32,
}

/// How far a sequence has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceValue {
    pub last: i64,
    /// Whether `last` was handed out; otherwise it is the next number.
    pub called: bool,
}

/// A sequence at one snapshot.
#[derive(Clone, Debug)]
pub struct SequenceVersion {
    pub definition: Arc<SequenceDefinition>,
    /// No number up to here is handed out any more, except by who reserved it.
    pub value: SequenceValue,
}

impl SequenceDefinition {
    /// The value of a sequence that has given nothing yet.
    pub fn beginning(&self) -> SequenceValue {
        SequenceValue { last: self.start, called: false }
    }

    /// The next number; `None` where the sequence has ended.
    fn next(&self, value: SequenceValue) -> Option<i64> {
        if !value.called {
            return Some(value.last);
        }
        let (bound, anew) = if self.increment > 0 { (self.max, self.min) } else { (self.min, self.max) };
        let next = value.last.checked_add(self.increment);
        let inside = |next: &i64| if self.increment > 0 { *next <= bound } else { *next >= bound };
        next.filter(inside).or(self.cycle.then_some(anew))
    }

    /// Up to `count` numbers after `value`, and the value after them. Fewer where the sequence ends.
    pub fn take(&self, value: SequenceValue, count: usize) -> (Vec<i64>, SequenceValue) {
        let mut numbers = Vec::with_capacity(count);
        let mut after = value;
        while numbers.len() < count
            && let Some(next) = self.next(after)
        {
            numbers.push(next);
            after = SequenceValue { last: next, called: true };
        }
        (numbers, after)
    }
}

/// The default of a column that takes its numbers from a sequence.
pub fn next_number(sequence: ObjectId) -> String {
    format!("nextval('{sequence}'::regclass)")
}

/// The sequence of a default that is nothing but its next number.
pub fn numbering_sequence(default: &str) -> Option<ObjectId> {
    // The parser prints names of types in capitals.
    let behind = default.strip_prefix("nextval('")?;
    let id = behind.strip_suffix("'::regclass)").or_else(|| behind.strip_suffix("'::REGCLASS)"))?;
    id.parse().ok().map(ObjectId)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(increment: i64, min: i64, max: i64, cycle: bool) -> SequenceDefinition {
        let start = if increment > 0 { min } else { max };
        SequenceDefinition {
            id: ObjectId(16384),
            name: ObjectName::new("public", "s"),
            sql_type: SqlType::Int8,
            start,
            increment,
            min,
            max,
            cache: 1,
            cycle,
            owner: None,
            version: 1,
        }
    }

    #[test]
    fn numbers_end_at_the_bound_or_begin_anew() {
        let ends = sequence(2, 1, 6, false);
        let (numbers, after) = ends.take(ends.beginning(), 10);
        assert_eq!((numbers, after), (vec![1, 3, 5], SequenceValue { last: 5, called: true }));
        assert_eq!(ends.take(after, 1).0, Vec::<i64>::new());
        let cycles = sequence(-3, -5, -1, true);
        assert_eq!(cycles.take(cycles.beginning(), 5).0, vec![-1, -4, -1, -4, -1]);
    }

    #[test]
    fn a_default_that_only_numbers_is_known_by_its_text() {
        let id = ObjectId(16384);
        assert_eq!(numbering_sequence(&next_number(id)), Some(id));
        assert_eq!(numbering_sequence(&next_number(id).replace("regclass", "REGCLASS")), Some(id));
        assert_eq!(numbering_sequence("nextval('16384'::regclass) * 2"), None);
        assert_eq!(numbering_sequence("nextval('s'::regclass)"), None);
    }

    #[test]
    fn the_last_number_of_all_does_not_wrap() {
        let all = sequence(1, i64::MIN, i64::MAX, false);
        let near = SequenceValue { last: i64::MAX - 1, called: true };
        assert_eq!(all.take(near, 3).0, vec![i64::MAX]);
    }
}
