//! Arguments: what a state keeps of a group so that a view's aggregates can be told from it.
//!
//! *Additive* aggregates are told from sums over signed rows: `count` and `sum`, and with them `avg`. So are those of doubles, statistics
//! and conjunctions, and how many different values there are, by [`SignedSums`], which the query room has. *Extrema* add up while rows only come. Any other aggregate whose value does not depend on the order of rows is *held*: the state keeps its value, and a group that
//! changed is computed anew.

use crate::core::{ROWS, StateColumn};
use catalog::sql_type::SqlType;
use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DataFusionError, Result};
use datafusion::functions_aggregate::expr_fn::{count, max, min, sum};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{AggregateUDF, Expr, ScalarUDF, cast, col, lit, when};
use std::sync::Arc;

/// Aggregates whose value is one whatever the order of rows.
const ORDERLESS: [&str; 32] = [
    "count",
    "sum",
    "min",
    "max",
    "bool_and",
    "bool_or",
    "every",
    "bit_and",
    "bit_or",
    "bit_xor",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "variance",
    "var_pop",
    "var_samp",
    "corr",
    "covar_pop",
    "covar_samp",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "percentile_cont",
    "percentile_disc",
    "mode",
    "median",
];
/// Aggregates that are told by their order, if that is an order of all they show.
const ORDERED: [&str; 4] = ["string_agg", "array_agg", "first_value", "last_value"];

/// A distinct argument of the additive aggregates (with its FILTER folded in) and what is kept of it.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    pub expression: Expr,
    data_type: DataType,
    pub sum: bool,
    pub low: bool,
    pub high: bool,
}

/// The functions by which a state keeps an aggregate as sums of signed rows.
#[derive(Clone, Debug)]
pub struct SignedSums {
    /// An aggregate of the arguments and, last, the weights of their rows, `Int8`; it gives bytes.
    pub partial: Arc<AggregateUDF>,
    /// An aggregate of such bytes that adds them up. NULL is nothing.
    pub merged: Arc<AggregateUDF>,
    /// What the aggregate gives for such bytes.
    pub value: Arc<ScalarUDF>,
}

/// The signed sums of an aggregate over arguments of some types with a result of some type, where it has such; over different arguments
/// alone if the last says so.
pub type SignedSumsOf<'a> = &'a dyn Fn(&AggregateUDF, &[DataType], &DataType, bool) -> Option<SignedSums>;

/// An aggregate that is kept as signed sums.
#[derive(Clone, Debug)]
pub(crate) struct Summed {
    /// With the FILTER folded in.
    operands: Vec<Expr>,
    sums: SignedSums,
}

/// An aggregate whose value is kept.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// Over columns `aN` instead of its operands.
    pub call: Expr,
    sql_type: SqlType,
}

/// One aggregate of the view in terms of the state.
#[derive(Clone, Debug)]
pub(crate) enum Final {
    Rows,
    Count(usize),
    Sum(usize),
    Low(usize),
    High(usize),
    Summed(usize),
    Held(usize),
}

/// All that is kept of a group's rows beside their number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    pub additive: Vec<Argument>,
    pub summed: Vec<Summed>,
    pub held: Vec<Held>,
    /// What the held aggregates are computed from, `a0…`.
    pub operands: Vec<Expr>,
    pub finals: Vec<Final>,
    /// The names of the held aggregates, for the class.
    pub held_names: Vec<String>,
}

impl Arguments {
    /// Adds an aggregate, or says why it cannot be kept. `output` is its field in the aggregate's schema.
    pub(crate) fn add(
        &mut self,
        call: &AggregateFunction,
        output: &Field,
        type_of: impl Fn(&Expr) -> std::result::Result<DataType, String>,
        signed_sums: SignedSumsOf<'_>,
    ) -> std::result::Result<(), String> {
        let kept = match self.additive(call, &type_of)? {
            Some(kept) => kept,
            None => match self.summed(call, output, &type_of, signed_sums)? {
                Some(kept) => kept,
                None => self.held(call, output)?,
            },
        };
        self.finals.push(kept);
        Ok(())
    }

    fn additive(
        &mut self,
        call: &AggregateFunction,
        type_of: impl Fn(&Expr) -> std::result::Result<DataType, String>,
    ) -> std::result::Result<Option<Final>, String> {
        let parameters = &call.params;
        let [argument] = parameters.args.as_slice() else { return Ok(None) };
        if parameters.distinct || !parameters.order_by.is_empty() || parameters.null_treatment.is_some() {
            return Ok(None);
        }
        let name = call.func.name();
        let constant = matches!(argument, Expr::Literal(value, _) if !value.is_null());
        if name == "count" && constant && parameters.filter.is_none() {
            return Ok(Some(Final::Rows));
        }
        let data_type = type_of(argument)?;
        let is_kept = match name {
            "count" => true,
            "sum" => sum_type(&data_type).is_some(),
            "min" | "max" => exact_type(&data_type).is_ok(),
            _ => false,
        };
        if !is_kept {
            return Ok(None);
        }
        let expression = match &parameters.filter {
            Some(filter) => when((**filter).clone(), argument.clone()).end().map_err(|error| error.to_string())?,
            None => argument.clone(),
        };
        let index = self.argument(expression, &data_type);
        let argument = &mut self.additive[index];
        Ok(Some(match name {
            "sum" => {
                argument.sum = true;
                Final::Sum(index)
            }
            "min" => {
                argument.low = true;
                Final::Low(index)
            }
            "max" => {
                argument.high = true;
                Final::High(index)
            }
            _ => Final::Count(index),
        }))
    }

    fn summed(
        &mut self,
        call: &AggregateFunction,
        output: &Field,
        type_of: impl Fn(&Expr) -> std::result::Result<DataType, String>,
        signed_sums: SignedSumsOf<'_>,
    ) -> std::result::Result<Option<Final>, String> {
        let parameters = &call.params;
        if !parameters.order_by.is_empty() || parameters.null_treatment.is_some() {
            return Ok(None);
        }
        let types = parameters.args.iter().map(type_of).collect::<std::result::Result<Vec<_>, String>>()?;
        let Some(sums) = signed_sums(&call.func, &types, output.data_type(), parameters.distinct) else {
            return Ok(None);
        };
        let mut operands = parameters.args.clone();
        if let (Some(filter), Some(first)) = (&parameters.filter, operands.first_mut()) {
            // No row counts of which an argument is NULL.
            *first = when((**filter).clone(), first.clone()).end().map_err(|error| error.to_string())?;
        }
        self.summed.push(Summed { operands, sums });
        Ok(Some(Final::Summed(self.summed.len() - 1)))
    }

    fn argument(&mut self, expression: Expr, data_type: &DataType) -> usize {
        if let Some(known) = self.additive.iter().position(|argument| argument.expression == expression) {
            return known;
        }
        let data_type = data_type.clone();
        self.additive.push(Argument { expression, data_type, sum: false, low: false, high: false });
        self.additive.len() - 1
    }

    /// The argument of which the values that are not NULL are counted.
    pub(crate) fn counted(&mut self, expression: &Expr, data_type: &DataType) -> usize {
        self.argument(expression.clone(), data_type)
    }

    fn held(&mut self, call: &AggregateFunction, output: &Field) -> std::result::Result<Final, String> {
        let name = call.func.name();
        let parameters = &call.params;
        let operands = || parameters.args.iter().filter(|argument| argument.any_column_refs());
        let is_told_by_order = ORDERED.contains(&name)
            && operands().all(|operand| parameters.order_by.iter().any(|sort| sort.expr == *operand));
        if !(ORDERLESS.contains(&name) && parameters.null_treatment.is_none() || is_told_by_order) {
            return Err(format!("{name} depends on the order of rows"));
        }
        let stored = SqlType::from_data_type(output.data_type()).filter(|sql_type| {
            !matches!(sql_type, SqlType::Interval | SqlType::Array(_)) && output.metadata().is_empty()
        });
        let sql_type = stored.ok_or_else(|| format!("{name} gives a value of a type that a state does not store"))?;
        let over_columns = Expr::AggregateFunction(call.clone()).map_children(|operand| {
            // A share or delimiter has to stay a constant, cast or not.
            if !operand.any_column_refs() {
                return Ok(Transformed::no(operand));
            }
            Ok(Transformed::yes(col(Column::from_name(self.operand(operand)))))
        });
        let call = over_columns.map_err(|error| error.to_string())?.data;
        self.held_names.push(name.to_string());
        self.held.push(Held { call, sql_type });
        Ok(Final::Held(self.held.len() - 1))
    }

    fn operand(&mut self, expression: Expr) -> String {
        let known = self.operands.iter().position(|operand| *operand == expression);
        let index = known.unwrap_or_else(|| {
            self.operands.push(expression);
            self.operands.len() - 1
        });
        format!("a{index}")
    }

    pub(crate) fn has_extrema(&self) -> bool {
        self.additive.iter().any(|argument| argument.low || argument.high)
    }

    /// The state's columns behind the keys.
    pub(crate) fn columns(&self) -> std::result::Result<Vec<StateColumn>, String> {
        let plain = |name: String, sql_type| StateColumn { name, sql_type, key: false };
        let mut columns = vec![plain(ROWS.into(), SqlType::Int8)];
        for (index, argument) in self.additive.iter().enumerate() {
            columns.push(plain(format!("n{index}"), SqlType::Int8));
            if argument.sum {
                let sum = sum_type(&argument.data_type).and_then(|sum| SqlType::from_data_type(&sum));
                columns.push(plain(format!("s{index}"), sum.ok_or("a sum without a type")?));
            }
            for (kept, name) in [(argument.low, "lo"), (argument.high, "hi")] {
                if kept {
                    columns.push(plain(format!("{name}{index}"), exact_type(&argument.data_type)?));
                }
            }
        }
        columns.extend((0..self.summed.len()).map(|index| plain(format!("z{index}"), SqlType::Bytea)));
        let held = self.held.iter().enumerate();
        columns.extend(held.map(|(index, held)| plain(format!("v{index}"), held.sql_type.clone())));
        Ok(columns)
    }

    /// What the aggregates are computed from: `x0…`, `y0_0…` and `a0…`.
    pub(crate) fn projected(&self) -> impl Iterator<Item = Expr> + '_ {
        let summed = self.summed.iter().enumerate().flat_map(|(index, summed)| {
            let operands = summed.operands.iter().enumerate();
            operands.map(move |(place, operand)| operand.clone().alias(format!("y{index}_{place}")))
        });
        let arguments = self.additive.iter().enumerate();
        let arguments = arguments.map(|(index, argument)| argument.expression.clone().alias(format!("x{index}")));
        let operands = self.operands.iter().enumerate();
        arguments.chain(summed).chain(operands.map(|(index, operand)| operand.clone().alias(format!("a{index}"))))
    }

    /// The arguments of which bounds are kept, named by `prefix` and their number.
    pub(crate) fn bounded<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = Expr> + 'a {
        let arguments = self.additive.iter().enumerate().filter(|(_, argument)| argument.low || argument.high);
        arguments.map(move |(index, argument)| argument.expression.clone().alias(format!("{prefix}{index}")))
    }

    /// The columns of the state that keep least (`true`) and greatest values.
    pub(crate) fn bounds(&self) -> impl Iterator<Item = (String, bool)> + '_ {
        self.additive.iter().enumerate().flat_map(|(index, argument)| {
            let least = argument.low.then(|| (format!("lo{index}"), true));
            least.into_iter().chain(argument.high.then(|| (format!("hi{index}"), false)))
        })
    }

    /// Whether a row's arguments, named so, are a bound of its group in the relation `known`. `None` where that cannot be told from
    /// their being equal.
    pub(crate) fn reach_bound(&self, prefix: &str, known: &str) -> Option<Expr> {
        let mut reached: Option<Expr> = None;
        for (index, argument) in self.additive.iter().enumerate() {
            for (kept, bound) in [(argument.low, "lo"), (argument.high, "hi")] {
                if !kept {
                    continue;
                }
                if !(argument.data_type.is_numeric() || argument.data_type.is_temporal()) {
                    return None;
                }
                let value = cast(col(Column::from_name(format!("{prefix}{index}"))), argument.data_type.clone());
                let equal = value.eq(col(Column::new(Some(known), format!("{bound}{index}"))));
                reached = Some(match reached {
                    Some(others) => others.or(equal),
                    None => equal,
                });
            }
        }
        reached
    }

    /// Every expression of the aggregates.
    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Expr> {
        let summed = self.summed.iter().flat_map(|summed| &summed.operands);
        self.additive.iter().map(|argument| &argument.expression).chain(summed).chain(&self.operands)
    }

    /// How a column of the state behind the keys is merged from runs. Of a state that holds values no runs are merged.
    pub(crate) fn merged(&self, name: &str) -> Expr {
        let value = col(Column::from_name(name));
        let summed = name.strip_prefix('z').and_then(|index| self.summed.get(index.parse::<usize>().ok()?));
        match (summed, name) {
            (Some(summed), _) => summed.sums.merged.call(vec![value]),
            (None, name) if name.starts_with("lo") => min(value),
            (None, name) if name.starts_with("hi") => max(value),
            (None, _) => sum(value),
        }
    }

    /// The aggregates over the columns of [`Self::projected`] and, where `signed`, the weight `w`.
    pub(crate) fn partials(&self, signed: bool) -> Result<Vec<Expr>> {
        let rows = if signed { sum(weight_as_count()) } else { count(lit(1_i64)) };
        let mut partials = vec![rows.alias(ROWS)];
        for (index, argument) in self.additive.iter().enumerate() {
            partials.extend(argument.partials(index, signed)?);
        }
        for (index, summed) in self.summed.iter().enumerate() {
            let operands = (0..summed.operands.len()).map(|place| col(Column::from_name(format!("y{index}_{place}"))));
            let weight = if signed { col("w") } else { lit(1_i8) };
            let sums = summed.sums.partial.call(operands.chain([weight]).collect());
            partials.push(sums.alias(format!("z{index}")));
        }
        let held = self.held.iter().enumerate();
        partials.extend(held.map(|(index, held)| held.call.clone().alias(format!("v{index}"))));
        Ok(partials)
    }
}

impl Argument {
    fn partials(&self, index: usize, signed: bool) -> Result<Vec<Expr>> {
        let value = || col(Column::from_name(format!("x{index}")));
        let present = if signed {
            sum(when(value().is_not_null(), weight_as_count()).otherwise(lit(0_i64))?)
        } else {
            count(value())
        };
        let mut partials = vec![present.alias(format!("n{index}"))];
        if self.sum {
            let exact =
                sum_type(&self.data_type).ok_or_else(|| DataFusionError::Plan("a sum without a type".into()))?;
            let wide = cast(value(), exact);
            let weighed = if signed { when(col("w").gt(lit(0_i8)), wide.clone()).otherwise(-wide)? } else { wide };
            partials.push(sum(weighed).alias(format!("s{index}")));
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

impl Arguments {
    /// The values of the aggregates in terms of the merged state.
    pub(crate) fn values(&self) -> impl Iterator<Item = Expr> + '_ {
        self.finals.iter().map(|kept| match kept {
            Final::Summed(index) => {
                self.summed[*index].sums.value.call(vec![col(Column::from_name(format!("z{index}")))])
            }
            kept => kept.column(),
        })
    }
}

impl Final {
    fn column(&self) -> Expr {
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
            Self::Summed(index) => column(format!("z{index}")),
            Self::Held(index) => column(format!("v{index}")),
        }
    }
}

fn weight_as_count() -> Expr {
    cast(col("w"), DataType::Int64)
}

/// The type of a group key or bound as the state stores it. Floating-point values are left out: equal ones may differ in bits.
pub(crate) fn exact_type(data_type: &DataType) -> std::result::Result<SqlType, String> {
    match SqlType::from_data_type(data_type) {
        Some(SqlType::Float4 | SqlType::Float8) => Err("it groups by floating-point values".into()),
        Some(SqlType::Interval | SqlType::Array(_)) | None => {
            Err("it groups by values of a type that a state does not store".into())
        }
        Some(sql_type) => Ok(sql_type),
    }
}

/// The type that holds the sum of any number of values exactly.
fn sum_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(DataType::Decimal128(38, 0)),
        DataType::Decimal128(precision, scale) if *precision > 28 => Some(DataType::Decimal256(76, *scale)),
        DataType::Decimal128(_, scale) => Some(DataType::Decimal128(38, *scale)),
        DataType::Decimal256(_, scale) => Some(DataType::Decimal256(76, *scale)),
        _ => None,
    }
}
