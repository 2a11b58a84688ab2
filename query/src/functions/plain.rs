//! Functions over values that need no session: `like_escape`, empty arrays, `pg_typeof`, `pg_collation_for`.

use super::names::text_of;
use super::{Definition, result_field};
use crate::domains::domain_of;
use crate::error::{ErrorKind, QueryError};
use crate::operators::repeated_keys::OUTPUT_COLUMN;
use crate::operators::resolution::unknown_field;
use crate::pg_catalog::Value;
use crate::scan::external;
use arrow::array::{Array, AsArray, Int32Array, ListArray, StructArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use catalog::sql_type::{RegType, SqlType};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// The type of a literal that no type was given.
const UNKNOWN_OID: i64 = 705;

pub(super) fn definitions() -> Vec<Definition> {
    let body: super::Body = |_, args| like_escape(&text_of(&args[0]), &text_of(&args[1]));
    vec![Definition::new("like_escape", 2..=2, SqlType::Text, body)]
}

pub(super) fn generic_functions() -> Vec<Arc<ScalarUDF>> {
    let any = || Signature::any(1, Volatility::Immutable);
    vec![
        Arc::new(ScalarUDF::from(ArrayOrEmpty { signature: any() })),
        Arc::new(ScalarUDF::from(ExpandArray { signature: any() })),
        Arc::new(ScalarUDF::from(TypeOf { signature: any() })),
        Arc::new(ScalarUDF::from(CollationFor { signature: any() })),
        Arc::new(ScalarUDF::from(OutputColumn { signature: Signature::variadic_any(Volatility::Immutable) })),
    ]
}

/// A LIKE pattern with another escape character, or none, as one with backslashes.
fn like_escape(pattern: &str, escape: &str) -> std::result::Result<Value, QueryError> {
    let mut characters = escape.chars();
    let (escape, None) = (characters.next(), characters.next()) else {
        return Err(QueryError::new(ErrorKind::InvalidEscapeSequence, "invalid escape string")
            .hint("Escape string must be empty or one character."));
    };
    let mut rewritten = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        if Some(character) == escape {
            let escaped = rest.next().ok_or_else(|| {
                let message = "LIKE pattern must not end with escape character";
                QueryError::new(ErrorKind::InvalidEscapeSequence, message)
            })?;
            rewritten.extend(['\\', escaped]);
        } else {
            if character == '\\' {
                rewritten.push('\\');
            }
            rewritten.push(character);
        }
    }
    Ok(rewritten.into())
}

/// `array_or_empty(a)`: the array, or an empty one for NULL, as `array(SELECT …)` over no rows is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ArrayOrEmpty {
    signature: Signature,
}

impl ScalarUDFImpl for ArrayOrEmpty {
    fn name(&self) -> &str {
        "array_or_empty"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(args.arg_fields[0].as_ref().clone().with_name(self.name()).with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let DataType::List(item) = array.data_type() else {
            return exec_err!("function array_or_empty takes an array");
        };
        let nothing = new_empty_array(item.data_type());
        let other = ListArray::new(Arc::clone(item), OffsetBuffer::from_lengths([0]), nothing, None);
        let present = arrow::compute::is_not_null(&array)?;
        let filled = zip(&present, &array, &arrow::array::Scalar::new(other))?;
        Ok(ColumnarValue::Array(filled))
    }
}

/// [`OUTPUT_COLUMN`] of a number, which the planner replaces.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OutputColumn {
    signature: Signature,
}

impl ScalarUDFImpl for OutputColumn {
    fn name(&self) -> &str {
        OUTPUT_COLUMN
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types[0].clone())
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("the number of a column is not a value")
    }
}

/// `_pg_expandarray(a)`: each item `x` with its number `n`, as a list of rows.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ExpandArray {
    signature: Signature,
}

impl ExpandArray {
    fn item_fields(list: &DataType) -> Result<Fields> {
        let DataType::List(item) = list else {
            return exec_err!("function _pg_expandarray takes an array");
        };
        Ok(Fields::from(vec![item.as_ref().clone().with_name("x"), Field::new("n", DataType::Int32, true)]))
    }
}

impl ScalarUDFImpl for ExpandArray {
    fn name(&self) -> &str {
        "_pg_expandarray"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let row = DataType::Struct(Self::item_fields(&types[0])?);
        Ok(DataType::List(Arc::new(Field::new("item", row, true))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let fields = Self::item_fields(array.data_type())?;
        let list = array.as_list::<i32>();
        let mut numbers: Vec<i32> = Vec::new();
        for row in 0..list.len() {
            numbers.extend(1..=list.value_length(row));
        }
        let start = list.value_offsets().first().copied().unwrap_or(0) as usize;
        let values = list.values().slice(start, numbers.len());
        let rows = StructArray::new(fields.clone(), vec![values, Arc::new(Int32Array::from(numbers))], None);
        let lengths = (0..list.len()).map(|row| list.value_length(row) as usize);
        let expanded = ListArray::new(
            Arc::new(Field::new("item", DataType::Struct(fields), true)),
            OffsetBuffer::<i32>::from_lengths(lengths),
            Arc::new(rows),
            list.nulls().cloned(),
        );
        Ok(ColumnarValue::Array(Arc::new(expanded)))
    }
}

/// `pg_typeof(x)`: the OID of the argument's type, a `regtype`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TypeOf {
    signature: Signature,
}

impl ScalarUDFImpl for TypeOf {
    fn name(&self) -> &str {
        "pg_typeof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(result_field(self.name(), &SqlType::Reg(RegType::Type))))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let literal = match &args.args[0] {
            ColumnarValue::Scalar(literal) => Some(literal),
            ColumnarValue::Array(_) => None,
        };
        let oid = if literal.is_some() && unknown_field(&args.arg_fields[0], literal) {
            Some(UNKNOWN_OID)
        } else {
            let domain = domain_of(&args.arg_fields[0]).map(|domain| domain.0);
            domain.or_else(|| SqlType::from_field(&args.arg_fields[0]).map(|known| known.oid())).map(i64::from)
        };
        Ok(ColumnarValue::Scalar(ScalarValue::Int64(oid)))
    }
}

/// `pg_collation_for(x)`: the one that there is, for texts.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CollationFor {
    signature: Signature,
}

impl ScalarUDFImpl for CollationFor {
    fn name(&self) -> &str {
        "pg_collation_for"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        use SqlType::{Bpchar, Name, Text, Varchar};
        if let ColumnarValue::Scalar(literal) = &args.args[0]
            && unknown_field(&args.arg_fields[0], Some(literal))
        {
            return Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(None)));
        }
        let collation = match SqlType::from_field(&args.arg_fields[0]) {
            None | Some(Text | Varchar { .. } | Bpchar { .. }) => "\"default\"",
            Some(Name) => "\"C\"",
            Some(other) => {
                let message = format!("collations are not supported by type {}", other.base_name());
                return Err(external(QueryError::new(ErrorKind::DatatypeMismatch, message)));
            }
        };
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(Some(collation.to_string()))))
    }
}
