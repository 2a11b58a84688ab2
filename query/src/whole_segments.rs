//! Segments of which a DELETE removes every row, told from what the snapshot knows of them: no file is opened for these.
//!
//!     every row satisfies p   ⇐   no row can satisfy NOT p, and p is not NULL for any
//!
//! The first is what pruning answers, from partition values and bounds; the second holds for comparisons of columns that have no
//! NULL in the segment with constants. A predicate that has anything else in it is left to others: `found_rows`, or the scan.

use crate::bound_expressions::simplified;
use crate::engine_error::translate;
use crate::error::QueryError;
use crate::found_rows::Search;
use crate::planner::{Planning, TARGET};
use crate::scan::{Extra, RowSet, SegmentBounds, Wanted, read_by};
use catalog::definition::TableDefinition;
use catalog::ids::ColumnId;
use catalog::segment::{DeletionVector, SegmentMeta};
use catalog::snapshot::TableVersion;
use catalog::sql_type::SqlType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, lit};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a DELETE need not scan for.
pub(crate) struct Unscanned {
    /// The rows of segments that it removes as a whole, by part.
    pub covered: BTreeMap<u32, RoaringBitmap>,
    /// The search for all others.
    pub search: Option<Search>,
}

impl Unscanned {
    /// What EXPLAIN says of it.
    pub(crate) fn lines(&self, version: &TableVersion) -> Vec<String> {
        let (name, segments) = (&version.definition.name.name, version.segments.len());
        let rows: u64 = self.covered.values().map(RoaringBitmap::len).sum();
        let whole = (rows > 0).then(|| {
            let covered = self.covered.values().filter(|rows| !rows.is_empty()).count();
            format!("unread {name}: {covered} of {segments} segments go as a whole, {rows} rows")
        });
        whole.into_iter().chain(self.search.as_ref().map(|search| search.line(name, segments))).collect()
    }
}

/// What a DELETE's plan need not scan for, and the plan that scans for the rest, if there is any.
pub(crate) fn unscanned(
    planning: &Planning,
    version: &TableVersion,
    plan: LogicalPlan,
) -> Result<(Unscanned, Option<LogicalPlan>), QueryError> {
    let Some(predicate) = predicate_of(&plan) else {
        return Ok((Unscanned { covered: BTreeMap::new(), search: None }, Some(plan)));
    };
    let predicate = over_bare_columns(predicate)?;
    let mut rows = RowSet::of_table(version, Extra::Place);
    let covered = covered_segments(planning, &rows, predicate.clone())?;
    let mut found = BTreeMap::new();
    let none = Arc::new(DeletionVector(RoaringBitmap::new()));
    for (part, segment) in rows.segments.iter_mut().enumerate().filter(|(part, _)| covered[*part]) {
        let mut live = RoaringBitmap::new();
        live.insert_range(0..segment.meta.rows);
        if let Wanted::Except(dead) = &segment.wanted {
            live -= &dead.0;
        }
        // As runs, so that the log's record stays small.
        live.optimize();
        found.insert(part as u32, live);
        segment.wanted = Wanted::Only(Arc::clone(&none));
    }
    if let Some(search) = Search::of(planning, &rows, predicate)? {
        note_scan(&plan, version)?;
        return Ok((Unscanned { covered: found, search: Some(search) }, None));
    }
    if found.is_empty() {
        return Ok((Unscanned { covered: found, search: None }, Some(plan)));
    }
    let name = &version.definition.name.name;
    let reduced = plan.transform_down(|node| {
        Ok(match node {
            LogicalPlan::TableScan(mut scan) if scan.table_name.table() == TARGET => {
                scan.source = planning.read_source(name, rows.clone(), read_by(&scan.source));
                Transformed::yes(LogicalPlan::TableScan(scan))
            }
            other => Transformed::no(other),
        })
    });
    let reduced = reduced.map_err(|error| translate(error, None))?.data;
    Ok((Unscanned { covered: found, search: None }, Some(reduced)))
}

/// Notes for a scan that is not made what it would have read: rows of any partition, by no column of which they are searched.
fn note_scan(plan: &LogicalPlan, version: &TableVersion) -> Result<(), QueryError> {
    let noted = plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.table_name.table() == TARGET
            && let Some(read) = read_by(&scan.source)
        {
            read.note_scan(&version.definition, &[]);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    noted.map(drop).map_err(|error| translate(error, None))
}

/// A predicate whose columns are named without their table.
fn over_bare_columns(predicate: Expr) -> Result<Expr, QueryError> {
    let bare = predicate.transform(|part| {
        Ok(match part {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::from_name(column.name))),
            other => Transformed::no(other),
        })
    });
    Ok(bare.map_err(|error| translate(error, None))?.data)
}

/// The predicate of a DELETE that looks at its own table only; true where it has none.
fn predicate_of(plan: &LogicalPlan) -> Option<Expr> {
    let LogicalPlan::Projection(projection) = plan else { return None };
    let (predicate, input) = match projection.input.as_ref() {
        LogicalPlan::Filter(filter) => (filter.predicate.clone(), filter.input.as_ref()),
        input => (lit(true), input),
    };
    let LogicalPlan::SubqueryAlias(alias) = input else { return None };
    matches!(alias.input.as_ref(), LogicalPlan::TableScan(_)).then_some(predicate)
}

/// For each segment whether all its rows satisfy the predicate.
fn covered_segments(planning: &Planning, rows: &RowSet, predicate: Expr) -> Result<Vec<bool>, QueryError> {
    let none = vec![false; rows.segments.len()];
    let schema = rows.definition.schema();
    let df_schema = DFSchema::try_from(schema.as_ref().clone()).map_err(|error| translate(error, None))?;
    let df_schema = Arc::new(df_schema);
    let columns = predicate.column_refs().into_iter().map(|column| named(&rows.definition, column));
    let Some(columns) = columns.collect::<Option<Vec<_>>>() else { return Ok(none) };
    let predicate = simplified(planning, predicate, &df_schema)?;
    if rows.segments.is_empty() || !is_total(&predicate) {
        return Ok(none);
    }
    let inverse = simplified(planning, Expr::Not(Box::new(predicate)), &df_schema)?;
    if inverse == lit(false) {
        return Ok(vec![true; rows.segments.len()]);
    }
    let pruned = || {
        let physical = planning.state.create_physical_expr(inverse, &df_schema)?;
        let pruning = PruningPredicateBuilder::new().with_file_schema(schema).try_build(physical)?;
        if pruning.always_true() {
            return Ok(vec![true; rows.segments.len()]);
        }
        pruning.prune(&SegmentBounds { definition: &rows.definition, segments: &rows.segments })
    };
    let can_fail = pruned().map_err(|error| translate(error, None))?;
    let without_nulls = |meta: &SegmentMeta| {
        columns.iter().all(|id| meta.statistics.iter().any(|known| known.column == *id && known.null_count == 0))
    };
    let covered =
        rows.segments.iter().zip(can_fail).map(|(segment, can_fail)| !can_fail && without_nulls(&segment.meta));
    Ok(covered.collect())
}

/// The column of a name; `None` where its bounds do not order all of its values.
fn named(definition: &TableDefinition, column: &Column) -> Option<ColumnId> {
    let known = definition.columns.iter().find(|known| known.name == column.name)?;
    let ordered = !matches!(known.sql_type, SqlType::Float4 | SqlType::Float8);
    ordered.then_some(known.id)
}

/// Whether a predicate is never NULL for columns without NULLs, and never fails.
fn is_total(predicate: &Expr) -> bool {
    let is_constant = |value: &Expr| matches!(value, Expr::Literal(value, _) if !value.is_null());
    let is_value = |value: &Expr| is_constant(value) || matches!(value, Expr::Column(_));
    match predicate {
        Expr::Literal(ScalarValue::Boolean(Some(_)), _) => true,
        Expr::Not(inner) => is_total(inner),
        Expr::BinaryExpr(binary) => match binary.op {
            Operator::And | Operator::Or => is_total(&binary.left) && is_total(&binary.right),
            Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
                is_value(&binary.left) && is_value(&binary.right)
            }
            _ => false,
        },
        Expr::InList(list) => is_value(&list.expr) && list.list.iter().all(is_constant),
        Expr::Between(between) => is_value(&between.expr) && is_value(&between.low) && is_value(&between.high),
        _ => false,
    }
}
