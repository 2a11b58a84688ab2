//! TABLESAMPLE: a table becomes a subquery that keeps each of its rows with a probability.
//!
//!     t TABLESAMPLE BERNOULLI (10)                     (SELECT … FROM t WHERE random() * 100 < 10) AS t
//!     t TABLESAMPLE BERNOULLI (10) REPEATABLE (1)      (SELECT … FROM t WHERE sampled(place, 1) < 10) AS t
//!
//! The second draws by the row's place and the seed, so that the same rows come again while they stay where they are.
//! SYSTEM is BERNOULLI: rows do not lie in pages of one size here.

use super::constants::constant;
use super::trees::{binary, quoted};
use super::windows::Context;
use crate::error::{ErrorKind, QueryError};
use crate::functions::sampling::SAMPLED;
use crate::operators::sites::call;
use crate::planner::PLACES;
use crate::returning;
use crate::scan::{PART, ROW};
use arrow::datatypes::DataType;
use catalog::snapshot::Relation;
use datafusion::common::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, ObjectName, ObjectNamePart, SelectItem, TableAlias, TableFactor, TableSample,
    TableSampleKind, TableWithJoins, Value,
};

/// Replaces a sampled table.
pub(super) fn spelt_out(factor: &TableFactor, context: Context<'_>) -> Result<Option<TableFactor>, QueryError> {
    let TableFactor::Table { name, alias, sample: Some(sample), .. } = factor else { return Ok(None) };
    let (TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) = sample;
    let percent = percentage(sample, context)?;
    let object = context.planning.object_name(name)?;
    let (columns, is_view) = match context.planning.relation(&object, &name.to_string())? {
        Relation::Table(version) => {
            (names(version.definition.columns.iter().map(|column| column.name.as_str())), false)
        }
        Relation::Sequence(_) => (Vec::new(), true),
        Relation::View(view) => (names(view.definition.columns.iter().map(|column| column.name.as_str())), true),
    };
    let (source, drawn) = match &sample.seed {
        None => {
            let hundred = Expr::Value(Value::Number("100".into(), false).into());
            (name.clone(), binary(call("random", Vec::new()), BinaryOperator::Multiply, hundred))
        }
        Some(_) if is_view || context.planning.defines_view() => {
            return Err(QueryError::unsupported("TABLESAMPLE … REPEATABLE of and in a materialized view"));
        }
        Some(seed) => {
            let seed = Expr::Value(seed.value.clone());
            let arguments = vec![Expr::Identifier(quoted(PART)), Expr::Identifier(quoted(ROW)), seed];
            (with_places(name), call(SAMPLED, arguments))
        }
    };
    let relation = plain(factor, source);
    let limit = Expr::Value(Value::Number(percent, false).into());
    let items = columns.iter().map(|column| SelectItem::UnnamedExpr(Expr::Identifier(quoted(column)))).collect();
    let from = vec![TableWithJoins { relation, joins: Vec::new() }];
    let subquery = returning::select(items, from, Some(binary(drawn, BinaryOperator::Lt, limit)), None)?;
    let own = || TableAlias { explicit: true, name: quoted(&object.name), columns: Vec::new(), at: None };
    let alias = Some(alias.clone().unwrap_or_else(own));
    Ok(Some(TableFactor::Derived { lateral: false, subquery: Box::new(subquery), alias, sample: None }))
}

fn names<'a>(columns: impl Iterator<Item = &'a str>) -> Vec<String> {
    columns.map(str::to_string).collect()
}

/// The table without alias and sample.
fn plain(factor: &TableFactor, source: ObjectName) -> TableFactor {
    let mut plain = factor.clone();
    if let TableFactor::Table { name, alias, sample, .. } = &mut plain {
        *name = source;
        *alias = None;
        *sample = None;
    }
    plain
}

/// The name under which a table shows its rows' places.
fn with_places(name: &ObjectName) -> ObjectName {
    let mut name = name.clone();
    if let Some(ObjectNamePart::Identifier(last)) = name.0.last_mut() {
        *last = quoted(&format!("{}{PLACES}", crate::statement_grammar::fold(last)));
    }
    name
}

/// The percentage as a number's digits.
fn percentage(sample: &TableSample, context: Context<'_>) -> Result<String, QueryError> {
    let invalid = |message: &str| QueryError::new(ErrorKind::InvalidTablesampleArgument, message);
    let Some(quantity) = &sample.quantity else { return Err(invalid("TABLESAMPLE takes a percentage")) };
    let value = match constant(&quantity.value, "TABLESAMPLE", context)? {
        ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            ScalarValue::Float64(text.trim().parse().ok())
        }
        value => value,
    };
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(percent))) if (0.0..=100.0).contains(&percent) => Ok(format!("{percent}")),
        Ok(ScalarValue::Float64(None)) => Err(invalid("TABLESAMPLE parameter cannot be null")),
        _ => Err(invalid("sample percentage must be between 0 and 100")),
    }
}
