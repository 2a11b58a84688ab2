//! `f(a, VARIADIC array)`: functions of any number of arguments whose last ones come as an array.
//!
//! Rows whose arrays have one length are one call of the function, with the items as columns. NULL in the array's place
//! gives NULL, but for `format`, which then has no arguments.

use super::in_zone;
use crate::error::{ErrorKind, QueryError};
use crate::scan::external;
use crate::types::Zone;
use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, new_null_array};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The call around an argument behind VARIADIC while a statement is read.
pub(crate) const VARIADIC: &str = "variadic argument";
/// Behind the name of a function whose last argument is an array of arguments.
const SUFFIX: &str = "\u{1}variadic";
/// The functions that take any number of arguments, and how many stand before those.
const FUNCTIONS: [(&str, usize); 9] = [
    ("concat", 0),
    ("concat_ws", 1),
    ("format", 1),
    ("num_nulls", 0),
    ("num_nonnulls", 0),
    ("json_build_array", 0),
    ("jsonb_build_array", 0),
    ("json_build_object", 0),
    ("jsonb_build_object", 0),
];

/// The name under which a function takes its last arguments as an array; `None` for one that does not.
pub(crate) fn variadic_name(function: &str, arguments: usize) -> Option<String> {
    let takes = FUNCTIONS.iter().any(|(name, before)| *name == function && before + 1 == arguments);
    takes.then(|| format!("{function}{SUFFIX}"))
}

/// The function of such a name.
pub(crate) fn function(name: &str, plain: impl Fn(&str) -> Option<Arc<ScalarUDF>>) -> Option<Arc<ScalarUDF>> {
    let inner = plain(name.strip_suffix(SUFFIX)?)?;
    let signature =
        Signature::any(FUNCTIONS.iter().find(|(known, _)| *known == inner.name())?.1 + 1, Volatility::Stable);
    Some(Arc::new(ScalarUDF::new_from_impl(Variadic { name: name.to_string(), inner, signature })))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Variadic {
    name: String,
    inner: Arc<ScalarUDF>,
    signature: Signature,
}

/// The function for the session's time zone.
pub(super) fn bound(function: &ScalarUDF, zone: Zone) -> Option<Arc<ScalarUDF>> {
    let Variadic { name, inner, signature } = function.inner().downcast_ref::<Variadic>()?;
    let inner = in_zone(inner, zone).unwrap_or_else(|| Arc::clone(inner));
    let (name, signature) = (name.clone(), signature.clone());
    Some(Arc::new(ScalarUDF::new_from_impl(Variadic { name, inner, signature })))
}

impl Variadic {
    /// The fields of a call with so many items.
    fn fields(fields: &[FieldRef], items: usize) -> Option<Vec<FieldRef>> {
        let (array, before) = fields.split_last()?;
        let DataType::List(item) = array.data_type() else { return None };
        Some(before.iter().chain(std::iter::repeat_n(item, items)).map(Arc::clone).collect())
    }

    /// The answers for rows whose arrays have one length.
    fn of_length(
        &self,
        args: &ScalarFunctionArgs,
        columns: &[ArrayRef],
        rows: &[u32],
        items: usize,
    ) -> Result<ArrayRef> {
        let (lists, before) = columns.split_last().unwrap_or_else(|| unreachable!("a call has an array"));
        let lists = lists.as_list::<i32>();
        let indices = UInt32Array::from(rows.to_vec());
        let mut values: Vec<ColumnarValue> = Vec::new();
        for column in before {
            values.push(ColumnarValue::Array(take(column, &indices, None)?));
        }
        for item in 0..items {
            let offset = |row: &u32| lists.value_offsets()[*row as usize] as u32 + item as u32;
            let places = UInt32Array::from_iter_values(rows.iter().map(offset));
            values.push(ColumnarValue::Array(take(lists.values(), &places, None)?));
        }
        let arg_fields = Self::fields(&args.arg_fields, items).unwrap_or_default();
        let answers = self.inner.invoke_with_args(ScalarFunctionArgs {
            args: values,
            arg_fields,
            number_rows: rows.len(),
            return_field: Arc::clone(&args.return_field),
            config_options: Arc::clone(&args.config_options),
        })?;
        answers.into_array(rows.len())
    }
}

impl ScalarUDFImpl for Variadic {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        datafusion::common::internal_err!("a variadic call has fields")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let items = if self.inner.name().contains("build_object") { 2 } else { 1 };
        let Some(fields) = Self::fields(args.arg_fields, items) else {
            let message = "VARIADIC argument must be an array";
            return Err(external(QueryError::new(ErrorKind::DatatypeMismatch, message)));
        };
        let literals = vec![None; fields.len()];
        let inner = ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &literals };
        Ok(Arc::new(self.inner.return_field_from_args(inner)?.as_ref().clone().with_nullable(true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = args.args.iter().map(|value| value.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let lists = columns.last().and_then(|lists| lists.as_list_opt::<i32>());
        let Some(lists) = lists else { return datafusion::common::internal_err!("a variadic call has an array") };
        let keeps_null = self.inner.name() != "format";
        let mut by_length: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for row in 0..args.number_rows {
            match lists.is_null(row) {
                true if keeps_null => {}
                true => by_length.entry(0).or_default().push(row as u32),
                false => by_length.entry(lists.value_length(row) as usize).or_default().push(row as u32),
            }
        }
        let mut sources = vec![new_null_array(args.return_field.data_type(), 1)];
        let mut places = vec![(0, 0); args.number_rows];
        for (items, rows) in by_length {
            sources.push(self.of_length(&args, &columns, &rows, items)?);
            for (at, row) in rows.iter().enumerate() {
                places[*row as usize] = (sources.len() - 1, at);
            }
        }
        let sources: Vec<&dyn Array> = sources.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(interleave(&sources, &places)?))
    }
}
