//! Cores: grouped aggregates over one table, kept as signed partial aggregates.
//!
//! A state row is a group: its keys `g0…`, `rows` (how many input rows it has), and for each distinct argument `x` of the
//! aggregates the columns that they need: `nX` (rows where it is not null), `sX` (their sum, exact), `loX` and `hiX`. Runs of such rows add up:
//!
//! ```text
//!     rows, n, s: sum        lo: min        hi: max        a group exists while rows > 0
//!     count(x) = n           sum(x) = s, NULL while n = 0
//! ```
//!
//! A removed row counts with weight −1, which undoes `rows`, `n` and `s` exactly. It cannot undo `lo` and `hi`: groups that lost
//! a row are then computed anew from the table, by their keys (`Q(new ⋉ K)`), and replace what the state says of them.

use catalog::sql_type::SqlType;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, NullEquality, Result, TableReference};
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, Expr, Filter, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Projection, SubqueryAlias,
    TableSource, cast, col, lit, when,
};
use std::sync::Arc;

/// The weight column of signed rows, `Int8`: +1 for a row that came, −1 for one that went.
const WEIGHT: &str = "__weight";
const ROWS: &str = "rows";

/// A column of the hidden table that keeps a view's state. All are nullable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateColumn {
    pub name: String,
    pub sql_type: SqlType,
    /// Whether runs are sorted by it.
    pub key: bool,
}

/// Rows of the base table with a weight column.
#[derive(Clone)]
pub struct SignedRows {
    pub source: Arc<dyn TableSource>,
    /// Whether some weight may be −1. Where none is, cheaper plans do.
    pub removals: bool,
}

impl std::fmt::Debug for Delta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delta").field("removals", &self.rows.removals).finish()
    }
}

/// What is not yet folded into a state.
#[derive(Clone)]
pub struct Delta {
    pub rows: SignedRows,
    /// The rows of the delta that went, with their weight column.
    pub removed: Arc<dyn TableSource>,
    /// The whole table at the snapshot that is read, with a weight column.
    pub base: Arc<dyn TableSource>,
}

/// A distinct argument of the aggregates (with its FILTER folded in) and what is kept of it.
#[derive(Clone, Debug)]
struct Argument {
    expression: Expr,
    data_type: DataType,
    sum: bool,
    low: bool,
    high: bool,
}

/// One aggregate of the view in terms of the state.
#[derive(Clone, Debug)]
enum Final {
    Rows,
    Count(usize),
    Sum(usize),
    Low(usize),
    High(usize),
}

/// A view's core.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    aggregate: Aggregate,
    keys: Vec<Expr>,
    arguments: Vec<Argument>,
    finals: Vec<Final>,
    columns: Vec<StateColumn>,
}

impl Core {
    /// Compiles an aggregate over a chain of projections and filters, or says what cannot be kept by delta.
    pub(crate) fn compile(aggregate: &Aggregate) -> std::result::Result<Self, String> {
        let schema = aggregate.input.schema();
        let mut core = Self {
            aggregate: aggregate.clone(),
            keys: Vec::new(),
            arguments: Vec::new(),
            finals: Vec::new(),
            columns: Vec::new(),
        };
        for key in &aggregate.group_expr {
            if matches!(key, Expr::GroupingSet(_)) {
                return Err("GROUPING SETS, ROLLUP and CUBE are not kept by delta".into());
            }
            core.keys.push(key.clone().unalias());
        }
        if aggregate.schema.fields().len() != core.keys.len() + aggregate.aggr_expr.len() {
            return Err("it groups by one expression twice".into());
        }
        for expression in &aggregate.aggr_expr {
            let Expr::AggregateFunction(call) = expression.clone().unalias() else {
                return Err(format!("{expression} is not a plain aggregate"));
            };
            core.add(call, |argument| argument_type(argument, schema))?;
        }
        core.columns = core.describe(|key| argument_type(key, schema))?;
        Ok(core)
    }

    pub(crate) fn aggregate(&self) -> &Aggregate {
        &self.aggregate
    }

    pub(crate) fn state_columns(&self) -> &[StateColumn] {
        &self.columns
    }

    /// Whether a minimum or maximum is kept, which removals cannot undo.
    pub(crate) fn has_extrema(&self) -> bool {
        self.arguments.iter().any(|argument| argument.low || argument.high)
    }

    /// Whether no row can make an expression of the core fail, not even one that is gone again.
    pub(crate) fn is_infallible(&self) -> bool {
        let arguments = self.arguments.iter().map(|argument| &argument.expression);
        self.keys.iter().chain(arguments).all(cannot_fail) && chain_cannot_fail(&self.aggregate.input)
    }

    fn add(
        &mut self,
        call: AggregateFunction,
        type_of: impl Fn(&Expr) -> std::result::Result<DataType, String>,
    ) -> std::result::Result<(), String> {
        let name = call.func.name().to_string();
        let parameters = call.params;
        if parameters.distinct {
            return Err(format!("{name}(DISTINCT …) is not kept by delta"));
        }
        if !parameters.order_by.is_empty() || parameters.null_treatment.is_some() {
            return Err(format!("{name} with an order is not kept by delta"));
        }
        let [argument] = parameters.args.as_slice() else {
            return Err(format!("{name} with {} arguments is not kept by delta", parameters.args.len()));
        };
        let constant = matches!(argument, Expr::Literal(value, _) if !value.is_null());
        if name == "count" && constant && parameters.filter.is_none() {
            self.finals.push(Final::Rows);
            return Ok(());
        }
        let data_type = type_of(argument)?;
        let argument = match parameters.filter {
            Some(filter) => when(*filter, argument.clone()).end().map_err(|error| error.to_string())?,
            None => argument.clone(),
        };
        let index = self.argument(argument, &data_type);
        let kept = &mut self.arguments[index];
        match name.as_str() {
            "count" => self.finals.push(Final::Count(index)),
            "sum" => {
                sum_type(&data_type)?;
                kept.sum = true;
                self.finals.push(Final::Sum(index));
            }
            "min" => {
                kept.low = true;
                self.finals.push(Final::Low(index));
            }
            "max" => {
                kept.high = true;
                self.finals.push(Final::High(index));
            }
            _ => return Err(format!("{name} is not kept by delta")),
        }
        Ok(())
    }

    fn argument(&mut self, expression: Expr, data_type: &DataType) -> usize {
        if let Some(known) = self.arguments.iter().position(|argument| argument.expression == expression) {
            return known;
        }
        self.arguments.push(Argument { expression, data_type: data_type.clone(), sum: false, low: false, high: false });
        self.arguments.len() - 1
    }

    fn describe(
        &self,
        type_of: impl Fn(&Expr) -> std::result::Result<DataType, String>,
    ) -> std::result::Result<Vec<StateColumn>, String> {
        let mut columns = Vec::new();
        for (index, key) in self.keys.iter().enumerate() {
            let sql_type = exact_type(&type_of(key)?)?;
            columns.push(StateColumn { name: format!("g{index}"), sql_type, key: true });
        }
        let plain = |name: String, sql_type| StateColumn { name, sql_type, key: false };
        columns.push(plain(ROWS.into(), SqlType::Int8));
        for (index, argument) in self.arguments.iter().enumerate() {
            columns.push(plain(format!("n{index}"), SqlType::Int8));
            if argument.sum {
                let sum = SqlType::from_data_type(&sum_type(&argument.data_type)?).ok_or("a sum without a type")?;
                columns.push(plain(format!("s{index}"), sum));
            }
            for (kept, name) in [(argument.low, "lo"), (argument.high, "hi")] {
                if kept {
                    columns.push(plain(format!("{name}{index}"), exact_type(&argument.data_type)?));
                }
            }
        }
        Ok(columns)
    }

    /// State rows for signed rows of the table: one row a group that they touch, in the state's columns.
    pub(crate) fn partials(&self, rows: &SignedRows) -> Result<LogicalPlan> {
        let (input, weight) = rebase(&self.aggregate.input, &rows.source)?;
        self.partials_over(input, &weight, rows.removals)
    }

    fn partials_over(&self, input: LogicalPlan, weight: &Expr, removals: bool) -> Result<LogicalPlan> {
        let keys = self.keys.iter().enumerate().map(|(index, key)| key.clone().alias(format!("g{index}")));
        let arguments = self
            .arguments
            .iter()
            .enumerate()
            .map(|(index, argument)| argument.expression.clone().alias(format!("x{index}")));
        let shown: Vec<Expr> = keys.chain(arguments).chain([weight.clone().alias("w")]).collect();
        let projected = LogicalPlanBuilder::from(input).project(shown)?;
        let mut aggregates = vec![if removals { sum(weight_as_count()) } else { count(lit(1_i64)) }.alias(ROWS)];
        for (index, argument) in self.arguments.iter().enumerate() {
            aggregates.extend(argument.partials(index, removals)?);
        }
        let grouped = projected.aggregate(self.key_columns(), aggregates)?;
        self.in_state_types(grouped)
    }

    fn key_columns(&self) -> Vec<Expr> {
        (0..self.keys.len()).map(|index| col(Column::from_name(format!("g{index}")))).collect()
    }

    /// Casts and orders columns as the state has them.
    fn in_state_types(&self, plan: LogicalPlanBuilder) -> Result<LogicalPlan> {
        let shown = self.columns.iter().map(|column| {
            let value = col(Column::from_name(&column.name));
            cast(value, column.sql_type.data_type()).alias(&column.name)
        });
        plan.project(shown.collect::<Vec<_>>())?.build()
    }

    /// The merged state at the snapshot that `delta` leads to. Empty groups are left out; without keys there is always one row.
    pub(crate) fn state_at(&self, state: Option<Arc<dyn TableSource>>, delta: Option<Delta>) -> Result<LogicalPlan> {
        let touched = delta.as_ref().filter(|delta| delta.rows.removals && self.has_extrema());
        if touched.is_some() && self.keys.is_empty() {
            let base = SignedRows {
                source: touched.map(|delta| Arc::clone(&delta.base)).expect("just seen"),
                removals: false,
            };
            return self.merged(vec![self.partials(&base)?]);
        }
        let mut runs = Vec::new();
        if let Some(state) = state {
            let scan = LogicalPlanBuilder::scan(TableReference::bare("state"), state, None)?;
            runs.push(self.in_state_types(scan)?);
        }
        if let Some(delta) = &delta {
            runs.push(self.partials(&delta.rows)?);
        }
        let merged = self.merged(runs)?;
        match touched {
            None => Ok(merged),
            Some(delta) => self.with_touched_groups(merged, delta),
        }
    }

    fn merged(&self, runs: Vec<LogicalPlan>) -> Result<LogicalPlan> {
        let mut runs = runs.into_iter();
        let first = runs.next().expect("a state is merged from at least one run");
        let all = runs.try_fold(LogicalPlanBuilder::from(first), |all, run| all.union(run))?;
        let value = |column: &StateColumn| col(Column::from_name(&column.name));
        let sums = self.columns.iter().filter(|column| !column.key).map(|column| {
            let merged = match column.name.as_str() {
                name if name.starts_with("lo") => min(value(column)),
                name if name.starts_with("hi") => max(value(column)),
                _ => sum(value(column)),
            };
            merged.alias(&column.name)
        });
        let sums: Vec<Expr> = sums.collect();
        let merged = all.aggregate(self.key_columns(), sums)?;
        let merged = if self.keys.is_empty() { merged } else { merged.filter(col(ROWS).gt(lit(0_i64)))? };
        self.in_state_types(merged)
    }

    /// Replaces the groups that lost a row by what the table says of them now.
    fn with_touched_groups(&self, merged: LogicalPlan, delta: &Delta) -> Result<LogicalPlan> {
        let (removed, _) = rebase(&self.aggregate.input, &delta.removed)?;
        let keys = |prefix: &'static str| {
            self.keys
                .iter()
                .enumerate()
                .map(move |(index, key)| key.clone().alias(format!("{prefix}{index}")))
                .collect::<Vec<_>>()
        };
        let touched =
            LogicalPlanBuilder::from(removed).project(keys("__t"))?.distinct()?.alias("__touched")?.build()?;
        let touched_columns: Vec<Column> =
            (0..self.keys.len()).map(|index| Column::new(Some("__touched"), format!("__t{index}"))).collect();
        let merged_columns: Vec<Column> =
            (0..self.keys.len()).map(|index| Column::from_name(format!("g{index}"))).collect();
        let kept = LogicalPlanBuilder::from(merged).join_detailed(
            touched.clone(),
            JoinType::LeftAnti,
            (merged_columns, touched_columns.clone()),
            None,
            NullEquality::NullEqualsNull,
        )?;
        let (base, weight) = rebase(&self.aggregate.input, &delta.base)?;
        let mut shown: Vec<Expr> = base.schema().columns().into_iter().map(Expr::Column).collect();
        shown.extend(keys("__k"));
        let base_columns: Vec<Column> =
            (0..self.keys.len()).map(|index| Column::from_name(format!("__k{index}"))).collect();
        let fresh = LogicalPlanBuilder::from(base)
            .project(shown)?
            .join_detailed(
                touched,
                JoinType::LeftSemi,
                (base_columns, touched_columns),
                None,
                NullEquality::NullEqualsNull,
            )?
            .build()?;
        let fresh = self.partials_over(fresh, &weight, false)?;
        self.in_state_types(kept.union(fresh)?)
    }

    /// The core's own output from merged state rows: the aggregate's schema, names and types.
    pub(crate) fn finish(&self, merged: LogicalPlan) -> Result<LogicalPlan> {
        let keys = (0..self.keys.len()).map(|index| col(Column::from_name(format!("g{index}"))));
        let values = keys.chain(self.finals.iter().map(Final::expression));
        let fields = self.aggregate.schema.iter();
        let shown = values.zip(fields).map(|(value, (qualifier, field))| {
            cast(value, field.data_type().clone()).alias_qualified(qualifier.cloned(), field.name())
        });
        LogicalPlanBuilder::from(merged).project(shown.collect::<Vec<_>>())?.build()
    }
}

impl Argument {
    fn partials(&self, index: usize, removals: bool) -> Result<Vec<Expr>> {
        let value = || col(Column::from_name(format!("x{index}")));
        let present = if removals {
            sum(when(value().is_not_null(), weight_as_count()).otherwise(lit(0_i64))?)
        } else {
            count(value())
        };
        let mut partials = vec![present.alias(format!("n{index}"))];
        if self.sum {
            let wide = cast(value(), sum_type(&self.data_type).map_err(datafusion::common::DataFusionError::Plan)?);
            let signed = if removals { when(col("w").gt(lit(0_i8)), wide.clone()).otherwise(-wide)? } else { wide };
            partials.push(sum(signed).alias(format!("s{index}")));
        }
        if self.low {
            partials.push(min(value()).alias(format!("lo{index}")));
        }
        if self.high {
            partials.push(max(value()).alias(format!("hi{index}")));
        }
        Ok(partials)
    }
}

impl Final {
    fn expression(&self) -> Expr {
        let column = |name: String| col(Column::from_name(name));
        let counted = |name: String| {
            let zero = lit(0_i64);
            when(column(name.clone()).is_null(), zero).otherwise(column(name)).expect("both branches are bigint")
        };
        match self {
            Self::Rows => counted(ROWS.into()),
            Self::Count(index) => counted(format!("n{index}")),
            Self::Sum(index) => {
                when(column(format!("n{index}")).gt(lit(0_i64)), column(format!("s{index}"))).end().expect("one branch")
            }
            Self::Low(index) => column(format!("lo{index}")),
            Self::High(index) => column(format!("hi{index}")),
        }
    }
}

fn weight_as_count() -> Expr {
    cast(col("w"), DataType::Int64)
}

fn argument_type(expression: &Expr, schema: &datafusion::common::DFSchema) -> std::result::Result<DataType, String> {
    use datafusion::logical_expr::ExprSchemable;
    expression.get_type(schema).map_err(|error| error.to_string())
}

/// The type of a group key or bound as the state stores it. Floating-point values are left out: equal ones may differ in bits.
fn exact_type(data_type: &DataType) -> std::result::Result<SqlType, String> {
    match SqlType::from_data_type(data_type) {
        Some(SqlType::Float4 | SqlType::Float8) => Err("it groups or compares floating-point values".into()),
        Some(SqlType::Interval | SqlType::Array(_)) | None => {
            Err("a value of it has a type that a state does not store".into())
        }
        Some(sql_type) => Ok(sql_type),
    }
}

/// The type that holds the sum of any number of values exactly.
fn sum_type(data_type: &DataType) -> std::result::Result<DataType, String> {
    match data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => Ok(DataType::Decimal128(38, 0)),
        DataType::Decimal128(precision, scale) if *precision > 28 => Ok(DataType::Decimal256(76, *scale)),
        DataType::Decimal128(_, scale) => Ok(DataType::Decimal128(38, *scale)),
        DataType::Decimal256(_, scale) => Ok(DataType::Decimal256(76, *scale)),
        DataType::Float32 | DataType::Float64 => {
            Err("the sum of floating-point values depends on the order of rows".into())
        }
        _ => Err("the sum of such values is not kept by delta".into()),
    }
}

/// The chain below a core over other rows of its table, carrying the weight column up. Returns the plan and the weight's column.
fn rebase(chain: &LogicalPlan, source: &Arc<dyn TableSource>) -> Result<(LogicalPlan, Expr)> {
    match chain {
        LogicalPlan::TableScan(scan) => {
            let plan = LogicalPlanBuilder::scan(scan.table_name.clone(), Arc::clone(source), None)?.build()?;
            Ok((plan, Expr::Column(Column::new(Some(scan.table_name.clone()), WEIGHT))))
        }
        LogicalPlan::Filter(filter) => {
            let (input, weight) = rebase(&filter.input, source)?;
            Ok((LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(input))?), weight))
        }
        LogicalPlan::Projection(projection) => {
            let (input, weight) = rebase(&projection.input, source)?;
            let mut shown = projection.expr.clone();
            shown.push(weight.clone());
            Ok((LogicalPlan::Projection(Projection::try_new(shown, Arc::new(input))?), weight))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let (input, _) = rebase(&alias.input, source)?;
            let plan = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
            Ok((LogicalPlan::SubqueryAlias(plan), Expr::Column(Column::new(Some(alias.alias.clone()), WEIGHT))))
        }
        other => {
            datafusion::common::plan_err!("a core stands on projections and filters only, not on {}", other.display())
        }
    }
}

fn chain_cannot_fail(chain: &LogicalPlan) -> bool {
    match chain {
        LogicalPlan::Filter(filter) => cannot_fail(&filter.predicate) && chain_cannot_fail(&filter.input),
        LogicalPlan::Projection(projection) => {
            projection.expr.iter().all(cannot_fail) && chain_cannot_fail(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => chain_cannot_fail(&alias.input),
        _ => true,
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Columns, constants, comparisons and logic never fail. Arithmetic, casts and functions might.
fn cannot_fail(expression: &Expr) -> bool {
    let mut safe = true;
    let walked = expression.apply(|part| {
        let harmless = match part {
            Expr::Column(_)
            | Expr::Literal(..)
            | Expr::Alias(_)
            | Expr::Not(_)
            | Expr::Case(_)
            | Expr::Between(_)
            | Expr::InList(_) => true,
            Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::IsTrue(_) | Expr::IsFalse(_) | Expr::IsUnknown(_) => true,
            Expr::IsNotTrue(_) | Expr::IsNotFalse(_) | Expr::IsNotUnknown(_) => true,
            Expr::BinaryExpr(binary) => binary.op.is_logic_operator() || is_comparison(binary.op),
            _ => false,
        };
        safe &= harmless;
        Ok(if harmless { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    walked.expect("the walk itself does not fail");
    safe
}
