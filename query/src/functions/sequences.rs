//! nextval, currval, lastval and setval.
//!
//! `nextval` takes the numbers for all rows of a batch at once where they come from one sequence.

use super::names::read_class;
use super::{Definition, SessionFacts, value_at};
use crate::error::QueryError;
use crate::pg_catalog::Value;
use arrow::array::Int64Array;
use arrow::datatypes::DataType;
use catalog::ids::ObjectId;
use catalog::sequence::SequenceValue;
use catalog::sql_type::SqlType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Sequences as functions use them.
pub trait SequenceNumbers: Send + Sync + std::fmt::Debug {
    /// The next numbers, as many as are asked for.
    fn next(&self, sequence: ObjectId, count: usize) -> std::result::Result<Vec<i64>, QueryError>;
    /// Takes back what was handed out of the sequence behind the first `used` numbers, if nobody has taken others since.
    fn give_back(&self, sequence: ObjectId, numbers: &[i64], used: usize);
    /// The number that the session got last from the sequence.
    fn current(&self, sequence: ObjectId) -> std::result::Result<i64, QueryError>;
    /// The number that the session got last from any sequence.
    fn last(&self) -> std::result::Result<i64, QueryError>;
    fn set(&self, sequence: ObjectId, value: SequenceValue) -> std::result::Result<(), QueryError>;
    /// Whether only the transaction that asks knows the sequence, or this version of it.
    fn is_own(&self, sequence: ObjectId) -> bool;
    /// How far a sequence has come and how many numbers are reserved beyond; `None` where there is no such sequence.
    fn value(&self, sequence: ObjectId) -> Option<(SequenceValue, usize)>;
}

type Answer = std::result::Result<Value, QueryError>;

pub(super) fn definitions() -> Vec<Definition> {
    vec![
        Definition::new("currval", 1..=1, SqlType::Int8, |facts, args| {
            Ok(facts.sequences.current(sequence_of(facts, &args[0])?)?.into())
        })
        .volatile(),
        Definition::new("lastval", 0..=0, SqlType::Int8, |facts, _| Ok(facts.sequences.last()?.into())).volatile(),
        Definition::new("setval", 2..=3, SqlType::Int8, set).volatile(),
        Definition::new("pg_sequence_last_value", 1..=1, SqlType::Int8, |facts, args| {
            let value = facts.sequences.value(sequence_of(facts, &args[0])?);
            Ok(value.filter(|(value, _)| value.called).map(|(value, _)| value.last).into())
        }),
        Definition::new("pg_get_serial_sequence", 2..=2, SqlType::Text, super::objects::serial_sequence),
    ]
}

fn sequence_of(facts: &SessionFacts, name: &Value) -> std::result::Result<ObjectId, QueryError> {
    let oid = read_class(facts, name)?.as_int().unwrap_or(0);
    Ok(ObjectId(u32::try_from(oid).unwrap_or(0)))
}

fn set(facts: &SessionFacts, args: &[Value]) -> Answer {
    let last = args[1].as_int().unwrap_or(0);
    let called = args.get(2).is_none_or(|called| called.as_bool() == Some(true));
    facts.sequences.set(sequence_of(facts, &args[0])?, SequenceValue { last, called })?;
    Ok(last.into())
}

/// `nextval` in one session.
pub(super) fn nextval(facts: &Arc<SessionFacts>) -> Arc<ScalarUDF> {
    let one = TypeSignature::Any(1);
    let signature = Signature::one_of(vec![one], Volatility::Volatile);
    Arc::new(ScalarUDF::from(NextNumber { signature, facts: Arc::clone(facts) }))
}

struct NextNumber {
    signature: Signature,
    facts: Arc<SessionFacts>,
}

impl std::fmt::Debug for NextNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nextval")
    }
}

impl PartialEq for NextNumber {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.facts, &other.facts)
    }
}

impl Eq for NextNumber {}

impl Hash for NextNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        "nextval".hash(state);
    }
}

impl NextNumber {
    fn next(&self, name: &Value, count: usize) -> Result<Vec<Option<i64>>> {
        if *name == Value::Null {
            return Ok(vec![None; count]);
        }
        let numbers = sequence_of(&self.facts, name).and_then(|id| self.facts.sequences.next(id, count));
        let numbers = numbers.map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(numbers.into_iter().map(Some).collect())
    }
}

impl ScalarUDFImpl for NextNumber {
    fn name(&self) -> &'static str {
        "nextval"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let numbers = match &args.args[0] {
            ColumnarValue::Scalar(name) => self.next(&value_at(&name.to_array()?, 0), args.number_rows)?,
            ColumnarValue::Array(names) => {
                let mut numbers = Vec::with_capacity(names.len());
                for row in 0..names.len() {
                    numbers.extend(self.next(&value_at(names, row), 1)?);
                }
                numbers
            }
        };
        Ok(ColumnarValue::Array(Arc::new(Int64Array::from(numbers))))
    }
}
