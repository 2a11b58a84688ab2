//! Look-ups: scans that find a few rows of each segment, because they ask for few values of a column that has many.
//!
//! A column has many where it is a key by itself, or where a segment's bounds leave room for about as many values as it has rows,
//! as numbers of orders and customers and moments do. Such a scan reads the pages of its rows and not whole row groups, so it
//! takes little memory (`memory::needs`).

use catalog::definition::{Column, TableDefinition};
use catalog::segment::{Datum, SegmentMeta};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// The most values that a look-up asks for.
const VALUES_MAX: usize = 16;
/// How many rows of a segment may have the same value.
const ROWS_MAX: u64 = 16;

/// How many rows of a segment a look-up is thought to find at most.
pub(crate) const FOUND_MAX: usize = VALUES_MAX * ROWS_MAX as usize;

/// Of a file that a look-up reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FewRows;

/// The columns of which the filters ask for few values.
pub(crate) fn asked_columns<'a>(definition: &'a TableDefinition, filters: &[Expr]) -> Vec<&'a Column> {
    let parts = filters.iter().flat_map(split_conjunction);
    let names = parts.filter_map(asked_column);
    names.filter_map(|name| definition.columns.iter().find(|column| column.name == name)).collect()
}

/// Whether few rows of a segment can have a value that is asked for.
pub(crate) fn finds_few(definition: &TableDefinition, asked: &[&Column], segment: &SegmentMeta) -> bool {
    asked.iter().any(|column| {
        let is_key = definition.keys.iter().any(|key| key.columns == [column.id]);
        is_key || spread(segment, column).is_some_and(|values| values >= u64::from(segment.rows) / ROWS_MAX)
    })
}

fn asked_column(filter: &Expr) -> Option<&str> {
    let is_constant = |part: &Expr| matches!(part, Expr::Literal(..));
    let column = match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_constant(right) => left,
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) if is_constant(left) => right,
        Expr::InList(list) if !list.negated && list.list.len() <= VALUES_MAX => {
            list.list.iter().all(is_constant).then_some(&list.expr)?
        }
        _ => return None,
    };
    match column.as_ref() {
        Expr::Column(column) => Some(&column.name),
        _ => None,
    }
}

/// How many values fit between a column's bounds in a segment; `None` where it is not of integers or moments.
fn spread(segment: &SegmentMeta, column: &Column) -> Option<u64> {
    let known = segment.statistics.iter().find(|known| known.column == column.id)?;
    match known.bounds.as_ref()? {
        (Datum::Int(least), Datum::Int(greatest)) => Some(greatest.abs_diff(*least)),
        _ => None,
    }
}
