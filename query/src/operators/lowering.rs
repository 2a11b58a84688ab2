//! Lowering: sites become what computes them.
//!
//! Comparisons become DataFusion's own, with a cast where the sides differ, so that filters are pushed down and prune. Arithmetic
//! becomes a checked kernel, operators over dates and intervals the procedure of PostgreSQL's name. A literal beside a typed operand
//! is read by that type's reader here, once, and what cannot be read is an error at the literal.

use super::arithmetic::{arithmetic_call, negation_call};
use super::call::{Procedures, SiteCall, SiteKind, cast_result, is_left_to_arrow, negated_type};
use super::casts::{CastContext, cast_call, expression_field, literal};
use super::resolution::{Operand, Resolved, resolve, settled, unknown_field};
use crate::error::QueryError;
use crate::functions::aggregates::AVERAGE;
use crate::functions::concatenation;
use crate::functions::moments::INTERVAL_LENGTH;
use crate::functions::overload::Function;
use crate::scan::external;
use crate::types::Zone;
use arrow::datatypes::DataType;
use catalog::sql_type::SqlType;
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{Case, Cast, InList, Placeholder, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, ScalarUDF, Union,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::sync::Arc;

/// Replaces every site of a plan.
pub(crate) fn lower(plan: LogicalPlan, procedures: &Procedures, context: &CastContext) -> Result<LogicalPlan> {
    let lowering = Lowering { procedures, context };
    let lowered = plan.transform_up_with_subqueries(|node| lowering.node(node))?;
    Ok(lowered.data)
}

/// Replaces the sites of expressions without columns.
pub(crate) fn lower_expression(expression: Expr, procedures: &Procedures, context: &CastContext) -> Result<Expr> {
    let lowering = Lowering { procedures, context };
    let schema = DFSchema::empty();
    Ok(expression.transform_up(|part| lowering.expression(part, &schema))?.data)
}

/// Constant arguments of `generate_series` as DataFusion's takes them: bigints, or timestamps in nanoseconds with an interval.
/// Beside a timestamp a string is a timestamp in the second place and an interval in the third.
pub(crate) fn series_arguments(arguments: Vec<Expr>, context: &CastContext) -> Result<Vec<Expr>> {
    use arrow::datatypes::TimeUnit::Nanosecond;
    let of_moments = arguments.iter().any(|argument| {
        use ScalarValue::{Date32, IntervalMonthDayNano, TimestampMicrosecond};
        matches!(argument, Expr::Literal(TimestampMicrosecond(..) | Date32(_) | IntervalMonthDayNano(_), _))
    });
    let zone = arguments.iter().find_map(|argument| match argument {
        Expr::Literal(ScalarValue::TimestampMicrosecond(_, zone), _) => Some(zone.clone()),
        _ => None,
    });
    let moment = DataType::Timestamp(Nanosecond, zone.flatten());
    let converted = arguments.into_iter().enumerate().map(|(position, argument)| {
        let Expr::Literal(value, metadata) = argument else { return Ok(argument) };
        let value = match value {
            ScalarValue::Int16(_) | ScalarValue::Int32(_) => value.cast_to(&DataType::Int64)?,
            ScalarValue::Utf8(Some(text)) if of_moments => {
                let sql_type = if position == 2 { SqlType::Interval } else { SqlType::Timestamp };
                let read = literal(&text, &sql_type, context).map_err(external)?;
                if position == 2 { read } else { read.cast_to(&moment)? }
            }
            ScalarValue::TimestampMicrosecond(..) | ScalarValue::Date32(_) => value.cast_to(&moment)?,
            other => other,
        };
        Ok(Expr::Literal(value, metadata))
    });
    converted.collect()
}

struct Lowering<'a> {
    procedures: &'a Procedures,
    context: &'a CastContext,
}

/// An operand of a site: the expression, its type if it has one, its place in the text.
struct Argument {
    expression: Expr,
    known: Operand,
    place: Option<usize>,
}

impl Lowering<'_> {
    fn node(&self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let node = match node {
            LogicalPlan::Union(union) => self.union(union)?,
            other => other,
        };
        let schema = merge_schema(&node.inputs());
        let preserver = NamePreserver::new(&node);
        let sorts = matches!(node, LogicalPlan::Sort(_));
        let rewritten = node.map_expressions(|expression| {
            let name = preserver.save(&expression);
            let mut lowered = expression.transform_up(|part| self.expression(part, &schema))?;
            if sorts && lowered.data.get_type(&schema)? == SqlType::Interval.data_type() {
                lowered = self.interval_key(lowered.data)?;
            }
            Ok(lowered.update_data(|expression| name.restore(expression)))
        })?;
        // An input's types may have changed too.
        rewritten.map_data(LogicalPlan::recompute_schema)
    }

    /// Intervals sort by their length, a month having thirty days.
    fn interval_key(&self, interval: Expr) -> Result<Transformed<Expr>> {
        let Some(function) = self.procedures.get(INTERVAL_LENGTH) else { return Ok(Transformed::no(interval)) };
        let key = self.bound(function, vec![interval], &[Some(SqlType::Interval)]).map_err(external)?;
        Ok(Transformed::yes(key))
    }

    fn expression(&self, expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        match expression {
            Expr::ScalarFunction(call) if call.func.inner().downcast_ref::<SiteCall>().is_some() => {
                self.site(call, schema).map(Transformed::yes)
            }
            Expr::ScalarFunction(call) if call.func.name() == AVERAGE && is_interval(&call.args[0], schema) => {
                let ScalarFunction { args, .. } = call;
                let function = self.procedures.get("interval_div").cloned();
                let function = function.ok_or_else(|| external(QueryError::unsupported("the average of intervals")))?;
                let divided = self.bound(&function, args, &[Some(SqlType::Interval), Some(SqlType::Int8)]);
                divided.map(Transformed::yes).map_err(external)
            }
            Expr::ScalarFunction(call) if is_bound_here(&call.func) => {
                self.function(call, schema).map(Transformed::yes)
            }
            Expr::Case(case) => self.case(case, schema),
            Expr::Cast(cast) => Ok(match literal_integer(&cast) {
                Some(value) => Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(value)), None)),
                None => Transformed::no(Expr::Cast(cast)),
            }),
            Expr::InList(list) => self.in_list(list, schema),
            other => Ok(Transformed::no(other)),
        }
    }

    /// A function is bound to the overload that its arguments choose and to the session's time zone.
    fn function(&self, call: ScalarFunction, schema: &DFSchema) -> Result<Expr> {
        let ScalarFunction { func, args } = call;
        let types = args.iter().map(|argument| Ok(Argument::new(argument.clone(), None, schema)?.known));
        let types = types.collect::<Result<Vec<Operand>>>()?;
        self.bound(&func, args, &types).map_err(external)
    }

    fn bound(
        &self,
        function: &Arc<ScalarUDF>,
        args: Vec<Expr>,
        types: &[Operand],
    ) -> std::result::Result<Expr, QueryError> {
        let bound = match function.inner().downcast_ref::<Function>() {
            Some(typed) => typed.bound(types, self.context.zone)?,
            None => concatenation::bound(function, self.context.zone).unwrap_or_else(|| Arc::clone(function)),
        };
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(bound, args)))
    }

    fn site(&self, call: ScalarFunction, schema: &DFSchema) -> Result<Expr> {
        let ScalarFunction { func, args } = call;
        let site = func.inner().downcast_ref::<SiteCall>().expect("the caller looked");
        let places = site.places.operands.iter().copied().chain(std::iter::repeat(None));
        let arguments =
            args.into_iter().zip(places).map(|(expression, place)| Argument::new(expression, place, schema));
        let mut arguments = arguments.collect::<Result<Vec<Argument>>>()?.into_iter();
        let mut next = || arguments.next().expect("a site has the operands it was made with");
        let lowered = match &site.kind {
            SiteKind::Binary(operator) => self.binary(operator, next(), next()),
            SiteKind::Negation => self.negation(next()),
            SiteKind::Cast(to) => self.cast(next(), to),
        };
        lowered.map_err(|error| {
            let place = error.position.or(site.places.site);
            external(error.position(place))
        })
    }

    fn binary(
        &self,
        operator: &BinaryOperator,
        left: Argument,
        right: Argument,
    ) -> std::result::Result<Expr, QueryError> {
        let resolved = resolve(operator, &left.known, &right.known)?;
        if let Resolved::Native(native) = resolved {
            return Ok(native_expression(left, native, right));
        }
        let (left_type, right_type) = settled(operator, &left.known, &right.known);
        let (left, right) = (self.typed(left, &left_type)?, self.typed(right, &right_type)?);
        Ok(match resolved {
            Resolved::Comparison { operator, common, cast_to } => {
                let (left, right) = match (common, cast_to) {
                    (Some(common), Some(cast_to)) => (
                        self.to_common(left, &left_type, &common, &cast_to),
                        self.to_common(right, &right_type, &common, &cast_to),
                    ),
                    _ => (left, right),
                };
                binary_expression(left, operator, right)
            }
            Resolved::Arithmetic { operator, operands, result } => {
                let left = self.to_number(left, &left_type, &operands.0);
                let right = self.to_number(right, &right_type, &operands.1);
                arithmetic_call(operator, left, right, result)
            }
            Resolved::Quotient { operands, .. } => {
                let left = self.to_number(left, &left_type, &operands.0);
                let right = self.to_number(right, &right_type, &operands.1);
                crate::functions::aggregates::quotient(left, right)
            }
            Resolved::Procedure { name, swapped } => {
                let function = self.procedures.get(name).cloned();
                let function = function.ok_or_else(|| QueryError::unsupported(format!("function {name}")))?;
                let (arguments, types) = if swapped {
                    (vec![right, left], [Some(right_type), Some(left_type)])
                } else {
                    (vec![left, right], [Some(left_type), Some(right_type)])
                };
                self.bound(&function, arguments, &types)?
            }
            Resolved::Concatenation => {
                let (left, right) = (self.to_text(left, &left_type), self.to_text(right, &right_type));
                binary_expression(left, Operator::StringConcat, right)
            }
            Resolved::Pattern(pattern) => self.pattern(left, pattern, right)?,
            Resolved::Power => {
                let left = self.to_number(left, &left_type, &DataType::Float64);
                let right = self.to_number(right, &right_type, &DataType::Float64);
                datafusion::functions::math::expr_fn::power(left, right)
            }
            Resolved::Native(_) => unreachable!("handled above"),
        })
    }

    /// LIKE is DataFusion's; regular expressions have PostgreSQL's syntax, which `regexp_like` reads.
    fn pattern(&self, left: Expr, pattern: Operator, right: Expr) -> std::result::Result<Expr, QueryError> {
        let (ignore_case, negated) = match pattern {
            Operator::RegexMatch => (false, false),
            Operator::RegexIMatch => (true, false),
            Operator::RegexNotMatch => (false, true),
            Operator::RegexNotIMatch => (true, true),
            _ => return Ok(binary_expression(left, pattern, right)),
        };
        let function = self.procedures.get("regexp_like").cloned();
        let function = function.ok_or_else(|| QueryError::unsupported("function regexp_like"))?;
        let mut arguments = vec![left, right];
        let mut types = vec![Some(SqlType::Text); 2];
        if ignore_case {
            arguments.push(Expr::Literal(ScalarValue::Utf8View(Some("i".into())), None));
            types.push(Some(SqlType::Text));
        }
        let matches = self.bound(&function, arguments, &types)?;
        Ok(if negated { Expr::Not(Box::new(matches)) } else { matches })
    }

    fn negation(&self, operand: Argument) -> std::result::Result<Expr, QueryError> {
        let sql_type = negated_type(&operand.known)?;
        let value = self.typed(operand, &sql_type)?;
        if sql_type == SqlType::Interval {
            let function = self.procedures.get("interval_um").cloned();
            let function = function.ok_or_else(|| QueryError::unsupported("function interval_um"))?;
            return self.bound(&function, vec![value], &[Some(SqlType::Interval)]);
        }
        Ok(negation_call(value, sql_type.data_type()))
    }

    fn cast(&self, operand: Argument, to: &SqlType) -> std::result::Result<Expr, QueryError> {
        let value = match &operand.expression {
            Expr::Literal(value, _) => Some(value.clone()),
            _ => None,
        };
        let to = cast_result(&operand.known, to, value.as_ref())?;
        match operand.known.clone() {
            None => self.typed(operand, &to),
            Some(from) if is_left_to_arrow(&from) || is_left_to_arrow(&to) => {
                Ok(Expr::Cast(Cast::new_from_field(Box::new(operand.expression), Arc::new(expression_field(&to)))))
            }
            Some(from) => Ok(self.converted(operand.expression, &from, &to)),
        }
    }

    /// A literal or parameter of unknown type as a value of a type; other expressions as they are.
    fn typed(&self, argument: Argument, to: &SqlType) -> std::result::Result<Expr, QueryError> {
        if argument.known.is_some() {
            return Ok(argument.expression);
        }
        match argument.expression {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
                let to = &cast_result(&None, to, Some(&ScalarValue::Utf8(Some(text.clone()))))?;
                let to = match to {
                    // Beside a numeric column a literal keeps its own digits.
                    SqlType::Numeric { declared: true, .. } => to.clone(),
                    SqlType::Numeric { .. } => {
                        let (precision, scale) =
                            crate::types::natural_type(&text).map_err(|error| error.position(argument.place))?;
                        SqlType::Numeric { precision, scale, declared: false }
                    }
                    other => other.clone(),
                };
                let value = literal(&text, &to, self.context).map_err(|error| error.position(argument.place))?;
                Ok(Expr::Literal(value, metadata_of(&to)))
            }
            Expr::Literal(ScalarValue::Utf8(None) | ScalarValue::Null, _) => {
                let null = ScalarValue::try_from(&to.data_type()).unwrap_or(ScalarValue::Null);
                Ok(Expr::Literal(null, metadata_of(to)))
            }
            Expr::Placeholder(Placeholder { id, field: None }) => {
                Ok(Expr::Placeholder(Placeholder::new_with_field(id, Some(Arc::new(to.field("", true))))))
            }
            other => Ok(cast_call(other, SqlType::Text, to.clone(), self.context)),
        }
    }

    fn to_common(&self, value: Expr, from: &SqlType, common: &DataType, to: &SqlType) -> Expr {
        if from.data_type() == *common { value } else { self.converted(value, from, to) }
    }

    /// A number as an operand; widening is Arrow's own cast, which the optimiser sees through.
    fn to_number(&self, value: Expr, from: &SqlType, to: &DataType) -> Expr {
        if let Expr::Literal(literal, None) = &value
            && literal.data_type() != *to
            && let Ok(widened) = literal.cast_to(to)
            && matches!(
                to,
                DataType::Int16
                    | DataType::Int32
                    | DataType::Int64
                    | DataType::Decimal128(..)
                    | DataType::Decimal256(..)
            )
        {
            return Expr::Literal(widened, None);
        }
        match (from, to) {
            _ if from.data_type() == *to => value,
            (SqlType::Numeric { .. }, DataType::Float64) => self.converted(value, from, &SqlType::Float8),
            (SqlType::Numeric { .. }, DataType::Float32) => self.converted(value, from, &SqlType::Float4),
            _ => datafusion::logical_expr::cast(value, to.clone()),
        }
    }

    fn to_text(&self, value: Expr, from: &SqlType) -> Expr {
        match from {
            SqlType::Text | SqlType::Varchar { .. } | SqlType::Name => value,
            _ => self.converted(value, from, &SqlType::Text),
        }
    }

    fn converted(&self, value: Expr, from: &SqlType, to: &SqlType) -> Expr {
        if let Expr::Literal(literal, _) = &value
            && to.data_type() != DataType::Null
            && let Ok(array) = literal.to_array()
            && let Ok(cast) = super::casts::cast_array(&array, from, to, self.context)
            && let Ok(folded) = ScalarValue::try_from_array(&cast, 0)
        {
            return Expr::Literal(folded, metadata_of(to));
        }
        let widening = matches!(
            (from, to),
            (SqlType::Int2, SqlType::Int4 | SqlType::Int8 | SqlType::Float8)
                | (SqlType::Int4, SqlType::Int8 | SqlType::Float8)
                | (SqlType::Date, SqlType::Timestamp)
        );
        if widening {
            return datafusion::logical_expr::cast(value, to.data_type());
        }
        cast_call(value, from.clone(), to.clone(), self.context)
    }

    /// Branches of numerics and doubles meet in double precision.
    fn case(&self, mut case: Case, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let branches = || case.when_then_expr.iter().map(|(_, then)| then).chain(&case.else_expr);
        let types = branches().map(|branch| branch.get_type(schema)).collect::<Result<Vec<DataType>>>()?;
        if !mixes_floats(&types) {
            return Ok(Transformed::no(Expr::Case(case)));
        }
        let thens = case.when_then_expr.iter_mut().map(|(_, then)| then).chain(&mut case.else_expr);
        for branch in thens {
            **branch = self.as_double(branch.as_ref().clone(), schema)?;
        }
        Ok(Transformed::yes(Expr::Case(case)))
    }

    fn as_double(&self, value: Expr, schema: &DFSchema) -> Result<Expr> {
        Ok(match Argument::new(value.clone(), None, schema)?.known {
            Some(from @ SqlType::Numeric { .. }) => self.converted(value, &from, &SqlType::Float8),
            Some(SqlType::Float8) | None => value,
            Some(_) => datafusion::logical_expr::cast(value, DataType::Float64),
        })
    }

    /// The sides of a UNION too.
    fn union(&self, union: Union) -> Result<LogicalPlan> {
        let columns = union.schema.fields().len();
        let mixed: Vec<bool> = (0..columns)
            .map(|column| {
                let types = union.inputs.iter().filter_map(|input| input.schema().fields().get(column));
                mixes_floats(&types.map(|field| field.data_type().clone()).collect::<Vec<_>>())
            })
            .collect();
        if !mixed.contains(&true) {
            return Ok(LogicalPlan::Union(union));
        }
        let sides = union.inputs.iter().map(|input| {
            let schema = input.schema();
            let shown = schema.iter().zip(&mixed).map(|((qualifier, field), mixed)| {
                let column = Expr::from((qualifier, field));
                if !mixed {
                    return Ok(column);
                }
                Ok(self.as_double(column, schema)?.alias_qualified(qualifier.cloned(), field.name()))
            });
            let side = LogicalPlanBuilder::from(input.as_ref().clone()).project(shown.collect::<Result<Vec<_>>>()?)?;
            side.build().map(Arc::new)
        });
        Ok(LogicalPlan::Union(Union::try_new_with_loose_types(sides.collect::<Result<Vec<_>>>()?)?))
    }

    /// Strings among the items of IN are read by the type of the left side.
    fn in_list(&self, list: InList, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let InList { expr, list, negated } = list;
        let probe = Argument::new(expr.as_ref().clone(), None, schema)?;
        let Some(sql_type) = probe.known.filter(|known| !is_left_to_arrow(known)) else {
            return Ok(Transformed::no(Expr::InList(InList { expr, list, negated })));
        };
        let items = list.into_iter().map(|item| {
            let item = Argument::new(item, None, schema)?;
            self.typed(item, &sql_type).map_err(external)
        });
        let list = items.collect::<Result<Vec<Expr>>>()?;
        Ok(Transformed::yes(Expr::InList(InList { expr, list, negated })))
    }
}

impl Argument {
    fn new(expression: Expr, place: Option<usize>, schema: &DFSchema) -> Result<Self> {
        let (_, field) = expression.to_field(schema)?;
        let literal = match &expression {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        };
        let known = if unknown_field(&field, literal) { None } else { SqlType::from_field(&field) };
        Ok(Self { expression, known, place })
    }
}

/// DataFusion's own operator; `||` of arrays is one of its functions.
fn native_expression(left: Argument, operator: Operator, right: Argument) -> Expr {
    use datafusion::functions_nested::expr_fn::{array_append, array_concat, array_prepend};
    let is_array = |argument: &Argument| matches!(argument.known, Some(SqlType::Array(_)));
    match (operator, is_array(&left), is_array(&right)) {
        (Operator::StringConcat, true, true) => array_concat(vec![left.expression, right.expression]),
        (Operator::StringConcat, true, false) => array_append(left.expression, right.expression),
        (Operator::StringConcat, false, true) => array_prepend(left.expression, right.expression),
        _ => binary_expression(left.expression, operator, right.expression),
    }
}

fn is_interval(value: &Expr, schema: &DFSchema) -> bool {
    value.get_type(schema).is_ok_and(|data_type| data_type == SqlType::Interval.data_type())
}

/// Functions that lowering gives their overload and time zone.
fn is_bound_here(function: &ScalarUDF) -> bool {
    function.inner().downcast_ref::<Function>().is_some() || concatenation::bound(function, Zone::UTC).is_some()
}

/// Doubles beside numerics, which DataFusion would bring to a numeric of fixed digits.
fn mixes_floats(types: &[DataType]) -> bool {
    types.iter().any(DataType::is_floating) && types.iter().any(DataType::is_decimal)
}

fn binary_expression(left: Expr, operator: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
}

/// The value of an integer literal that was given its type by `sites`.
fn literal_integer(cast: &Cast) -> Option<i32> {
    match (cast.expr.as_ref(), cast.field.data_type()) {
        (Expr::Literal(ScalarValue::Int64(Some(value)), _), DataType::Int32) => i32::try_from(*value).ok(),
        _ => None,
    }
}

/// Metadata for a literal whose Arrow type does not say it all.
fn metadata_of(sql_type: &SqlType) -> Option<FieldMetadata> {
    let field = expression_field(sql_type);
    (!field.metadata().is_empty()).then(|| FieldMetadata::new_from_field(&field))
}
