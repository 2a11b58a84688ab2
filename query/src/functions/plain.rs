//! Functions over values that need no session: quoting, arrays, sizes in words, `pg_typeof`.

use super::names::{quote_identifier, split_identifier, text_of};
use super::{Definition, result_field};
use crate::error::{ErrorKind, QueryError};
use crate::pg_catalog::{Value, array_from_text};
use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray};
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use catalog::sql_type::{RegType, SqlType};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use std::sync::Arc;

pub(super) fn definitions() -> Vec<Definition> {
    let text = |name, arguments, body: super::Body| Definition::new(name, arguments, SqlType::Text, body);
    let bound = |name, body: super::Body| Definition::new(name, 1..=2, SqlType::Int4, body);
    vec![
        text("like_escape", 2..=2, |_, args| like_escape(&text_of(&args[0]), &text_of(&args[1]))),
        text("quote_ident", 1..=1, |_, args| Ok(quote_identifier(&text_of(&args[0])).into())),
        text("quote_literal", 1..=1, |_, args| Ok(quote_literal(&text_of(&args[0])).into())),
        text("quote_nullable", 1..=1, |_, args| {
            Ok(if args[0] == Value::Null { "NULL".to_string() } else { quote_literal(&text_of(&args[0])) }.into())
        })
        .called_on_null(),
        Definition::new("parse_ident", 1..=2, SqlType::Array(Box::new(SqlType::Text)), |_, args| {
            let text = text_of(&args[0]);
            let malformed = || {
                QueryError::new(
                    ErrorKind::InvalidParameterValue,
                    format!("string is not a valid identifier: \"{text}\""),
                )
            };
            split_identifier(&text).map(Value::from).ok_or_else(malformed)
        }),
        text("format", 1..=usize::MAX, |_, args| format_text(args)).called_on_null(),
        Definition::new("json_build_object", 0..=usize::MAX, SqlType::Json, |_, args| build_object(args))
            .called_on_null(),
        text("pg_size_pretty", 1..=1, |_, args| Ok(args[0].as_int().map(pretty_size).into())),
        bound("array_length", |_, args| Ok(dimension(args, |length| length))),
        bound("array_upper", |_, args| Ok(dimension(args, |length| length))),
        bound("array_lower", |_, args| Ok(dimension(args, |_| 1))),
    ]
}

pub(super) fn generic_functions() -> Vec<Arc<ScalarUDF>> {
    let counts = vec![TypeSignature::Any(1), TypeSignature::Any(2)];
    let one_or_two = Signature::one_of(counts, Volatility::Immutable);
    let any = || Signature::any(1, Volatility::Immutable);
    vec![
        Arc::new(ScalarUDF::from(ArrayOrEmpty { signature: one_or_two })),
        Arc::new(ScalarUDF::from(ExpandArray { signature: any() })),
        Arc::new(ScalarUDF::from(TypeOf { signature: any() })),
    ]
}

fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A LIKE pattern with another escape character, or none, as one with backslashes.
fn like_escape(pattern: &str, escape: &str) -> std::result::Result<Value, QueryError> {
    let mut characters = escape.chars();
    let (escape, None) = (characters.next(), characters.next()) else {
        return Err(QueryError::new(ErrorKind::InvalidParameterValue, "invalid escape string")
            .hint("Escape string must be empty or one character."));
    };
    let mut rewritten = String::with_capacity(pattern.len());
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        if Some(character) == escape {
            rewritten.push('\\');
            rewritten.extend(rest.next());
        } else {
            if character == '\\' {
                rewritten.push('\\');
            }
            rewritten.push(character);
        }
    }
    Ok(rewritten.into())
}

/// `format('%s %I %L', …)`, with positions (`%1$s`) and widths (`%-10s`).
fn format_text(args: &[Value]) -> std::result::Result<Value, QueryError> {
    let Some(pattern) = args[0].as_text() else { return Ok(Value::Null) };
    let invalid = |message: &str| QueryError::new(ErrorKind::InvalidParameterValue, message);
    let mut text = String::new();
    let mut characters = pattern.chars().peekable();
    let mut next = 1;
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        if characters.next_if_eq(&'%').is_some() {
            text.push('%');
            continue;
        }
        let mut digits = String::new();
        let mut left = false;
        let kind = loop {
            match characters.next() {
                Some('$') => {
                    next = std::mem::take(&mut digits).parse().unwrap_or(0);
                    if next == 0 {
                        return Err(invalid("format specifies argument 0, but arguments are numbered from 1"));
                    }
                }
                Some('-') => left = true,
                Some(digit) if digit.is_ascii_digit() => digits.push(digit),
                Some(kind) => break kind,
                None => {
                    return Err(invalid("unterminated format() type specifier").hint("For a single \"%\" use \"%%\"."));
                }
            }
        };
        let argument = args.get(next).ok_or_else(|| invalid("too few arguments for format()"))?;
        next += 1;
        let shown = match (kind, argument) {
            ('I', Value::Null) => return Err(invalid("null values cannot be formatted as an SQL identifier")),
            ('L', Value::Null) => "NULL".to_string(),
            ('I', value) => quote_identifier(&text_of(value)),
            ('L', value) => quote_literal(&text_of(value)).trim_start().to_string(),
            ('s', value) => text_of(value),
            (other, _) => return Err(invalid(&format!("unrecognized format() type specifier \"{other}\""))),
        };
        let width: usize = digits.parse().unwrap_or(0);
        let padding = " ".repeat(width.saturating_sub(shown.chars().count()));
        text.push_str(&if left { shown + &padding } else { padding + &shown });
    }
    Ok(text.into())
}

/// `json_build_object('key', value, …)`, spaced as PostgreSQL does.
fn build_object(args: &[Value]) -> std::result::Result<Value, QueryError> {
    let invalid = |message: &str| Err(QueryError::new(ErrorKind::InvalidParameterValue, message));
    if !args.len().is_multiple_of(2) {
        return invalid("argument list must have even number of elements");
    }
    let mut pairs = Vec::with_capacity(args.len() / 2);
    for pair in args.chunks(2) {
        if pair[0] == Value::Null {
            return invalid("null value not allowed for object key");
        }
        pairs.push(format!("{} : {}", json_string(&text_of(&pair[0])), json_value(&pair[1])));
    }
    Ok(format!("{{{}}}", pairs.join(", ")).into())
}

fn json_value(value: &Value) -> String {
    match value {
        Value::Null => "null".to_string(),
        Value::Text(text) => json_string(text),
        Value::List(items) => format!("[{}]", items.iter().map(json_value).collect::<Vec<_>>().join(",")),
        other => text_of(other),
    }
}

fn json_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            control if u32::from(control) < 0x20 => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Something of an array's length in one dimension; an empty array has no dimensions.
fn dimension(args: &[Value], of_length: fn(usize) -> usize) -> Value {
    let wanted = args.get(1).map_or(Some(1), Value::as_int).unwrap_or(0);
    let mut value = &args[0];
    for _ in 1..wanted {
        let Value::List(items) = value else { return Value::Null };
        let Some(first) = items.first() else { return Value::Null };
        value = first;
    }
    match value {
        Value::List(items) if wanted >= 1 && !items.is_empty() => of_length(items.len()).into(),
        _ => Value::Null,
    }
}

/// As PostgreSQL's `pg_size_pretty`: a unit is left when its number reaches ten thousand, halves are rounded up.
fn pretty_size(bytes: i64) -> String {
    let units = ["kB", "MB", "GB", "TB", "PB"];
    if bytes.unsigned_abs() < 10 * 1024 {
        return format!("{bytes} bytes");
    }
    // One bit more than the unit's, kept for rounding.
    let mut size = bytes / 512;
    for (position, unit) in units.iter().enumerate() {
        if position + 1 == units.len() || size.unsigned_abs() < 20 * 1024 - 1 {
            let rounded = if size < 0 { (size - 1) / 2 } else { (size + 1) / 2 };
            return format!("{rounded} {unit}");
        }
        size /= 1024;
    }
    unreachable!("the last unit takes everything")
}

/// `array_or_empty(a)`: the array, or an empty one for NULL, as `array(SELECT …)` over no rows is. With a second argument, the
/// text of another value for NULL, it is `coalesce(a, '{…}')` for an `a` of any type.
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
        let text = match args.args.get(1) {
            None => "{}",
            Some(ColumnarValue::Scalar(text)) => text.try_as_str().flatten().unwrap_or("{}"),
            Some(ColumnarValue::Array(_)) => return exec_err!("function array_or_empty takes a constant"),
        };
        let other: ArrayRef = match array_from_text(&args.arg_fields[0], text) {
            Some(list) if matches!(array.data_type(), DataType::List(_)) => list,
            _ => arrow::compute::cast(&arrow::array::StringArray::from(vec![text]), array.data_type())?,
        };
        let present = arrow::compute::is_not_null(&array)?;
        let filled = zip(&present, &array, &arrow::array::Scalar::new(other))?;
        Ok(ColumnarValue::Array(filled))
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
            arrow::buffer::OffsetBuffer::<i32>::from_lengths(lengths),
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
        let oid = SqlType::from_field(&args.arg_fields[0]).map(|sql_type| i64::from(sql_type.oid()));
        Ok(ColumnarValue::Scalar(ScalarValue::Int64(oid)))
    }
}
