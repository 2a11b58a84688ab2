//! Lowering: sites become what computes them.
//!
//! Comparisons become DataFusion's own, with a cast where the sides differ, so that filters are pushed down and prune. Arithmetic
//! becomes a checked kernel, operators over dates and intervals the procedure of PostgreSQL's name. A literal beside a typed operand
//! is read by that type's reader here, once, and what cannot be read is an error at the literal.

use super::arithmetic::{arithmetic_call, exclusive_or};
use super::array_items::{slice_with_item_types, subquery_with_item_types, with_item_types};
use super::array_parameters;
use super::call::{Procedures, SiteCall, SiteKind};
use super::casts::{CastContext, cast_call, expression_field, is_text};
use super::date_bounds::{compared_casts, compared_dates};
use super::document_lowering::{check_documents, refuse_grouped_json};
use super::frames;
use super::grouping_sets::is_grouping_call;
use super::in_lists::keep_lists_apart;
use super::long_numbers::{is_long_number, refuse_alone};
use super::modifiers::{modified_value, typed_item, unmodified};
use super::prefixes::{Prefix, no_prefix};
use super::resolution::{Operand, Resolved, resolve, settled, unknown_field, with_digits};
use super::whole_expressions::of_one;
use crate::error::QueryError;
use crate::functions::in_zone;
use crate::functions::json::{ASSIGNED_ITEM, over_document};
use crate::functions::moments::INTERVAL_LENGTH;
use crate::functions::overload::{Function, innermost};
use crate::functions::quotients::AVERAGE;
use crate::scan::external;
use crate::set_operations::is_set_operation;
use crate::types::Zone;
use arrow::datatypes::DataType;
use catalog::sql_type::{MODIFIER_KEY, SqlType, TYPE_KEY};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::logical_expr::expr::{Cast, Like, Placeholder, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, ScalarUDF, Sort, lit, when};
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
    Ok(lowering.lowered(expression, &schema)?.data)
}

pub(super) struct Lowering<'a> {
    pub(super) procedures: &'a Procedures,
    pub(super) context: &'a CastContext,
}

/// An operand of a site: the expression, its type if it has one, its place in the text.
#[derive(Clone)]
pub(crate) struct Argument {
    pub(super) expression: Expr,
    pub(super) known: Operand,
    pub(super) place: Option<usize>,
    /// Whether it is an OID that prints as an object's name.
    pub(super) is_alias: bool,
    /// That of its field, where the type itself has none.
    modifier: i32,
}

impl Lowering<'_> {
    fn node(&self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let node = match node {
            LogicalPlan::Union(union) => self.union(union)?,
            LogicalPlan::Sort(sort) => LogicalPlan::Sort(with_distinct_keys(sort)),
            LogicalPlan::Join(join) if is_set_operation(&join) => self.set_operation(join)?,
            other => other,
        };
        refuse_grouped_json(&node)?;
        let schema = merge_schema(&node.inputs());
        let preserver = NamePreserver::new(&node);
        let sorts = matches!(node, LogicalPlan::Sort(_));
        let rewritten = node.map_expressions(|expression| {
            if let Expr::GroupingSet(sets) = expression {
                return self.grouping_set(sets, &preserver, &schema);
            }
            if is_grouping_call(&expression) {
                return self.grouping_call(expression, &preserver, &schema).map(Transformed::yes);
            }
            let name = preserver.save(&expression);
            let mut lowered = self.lowered(expression, &schema)?;
            if sorts && lowered.data.get_type(&schema)? == SqlType::Interval.data_type() {
                lowered = self.interval_key(lowered.data)?;
            }
            if sorts {
                lowered = lowered.map_data(|key| self.document_order(key, &schema))?;
            }
            Ok(lowered.update_data(|expression| name.restore(expression)))
        })?;
        // An input's types may have changed too.
        let rewritten = rewritten.map_data(LogicalPlan::recompute_schema)?;
        let rewritten = rewritten.map_data(|node| with_item_types(node, self.context))?;
        rewritten.map_data(|node| match node {
            LogicalPlan::Window(window) => frames::one_order_each(window),
            other => Ok(other),
        })
    }

    /// An expression without sites.
    pub(super) fn lowered(&self, expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let lowered = expression.transform_up(|part| self.expression(part, schema))?;
        refuse_alone(&lowered.data)?;
        Ok(lowered)
    }

    /// Intervals sort by their length, a month having thirty days.
    pub(super) fn interval_key(&self, interval: Expr) -> Result<Transformed<Expr>> {
        let Some(function) = self.procedures.get(INTERVAL_LENGTH) else { return Ok(Transformed::no(interval)) };
        let key = self.bound(function, vec![interval], &[Some(SqlType::Interval)]).map_err(external)?;
        Ok(Transformed::yes(key))
    }

    fn expression(&self, expression: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
        let expression = self.with_long_numbers(expression, schema)?;
        match expression {
            // What is around it says what it becomes.
            number if is_long_number(&number) => Ok(Transformed::no(number)),
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
            Expr::Placeholder(placeholder) => Ok(array_parameters::lowered(placeholder, self.context)),
            Expr::ScalarFunction(call) if matches!(call.func.name(), "array_element" | "array_slice") => {
                let is_slice = call.func.name() == "array_slice";
                let subscripted = subscripted(call, schema)?;
                Ok(Transformed::yes(if is_slice {
                    slice_with_item_types(subscripted, schema, self.context)?
                } else {
                    let (_, array) = subscripted.args[0].to_field(schema)?;
                    typed_item(Expr::ScalarFunction(subscripted), &array)
                }))
            }
            Expr::ScalarFunction(call) if call.func.name() == "struct" && !call.args.is_empty() => {
                Ok(Transformed::yes(row(call.args)))
            }
            Expr::ScalarFunction(call) if call.func.name() == ASSIGNED_ITEM => {
                Ok(Transformed::yes(Expr::ScalarFunction(over_document(call))))
            }
            Expr::ScalarFunction(call) => {
                check_documents(&call, schema)?;
                Ok(Transformed::no(Expr::ScalarFunction(call)))
            }
            Expr::AggregateFunction(call) => {
                let call = self.chosen_aggregate(call, schema)?;
                self.document_aggregate(call, schema).map(Transformed::yes)
            }
            Expr::WindowFunction(call) => match self.document_window(self.chosen_window(call, schema)?, schema)? {
                Expr::WindowFunction(window) => frames::settled(window, schema, self),
                other => Ok(Transformed::yes(other)),
            },
            Expr::Cast(cast) => Ok(match literal_integer(&cast) {
                Some(value) => Transformed::yes(Expr::Literal(ScalarValue::Int32(Some(value)), None)),
                None => Transformed::no(Expr::Cast(cast)),
            }),
            Expr::InList(list) => self.in_list(list, schema),
            Expr::BinaryExpr(both) if matches!(both.op, Operator::And | Operator::Or) => Ok(keep_lists_apart(both)),
            Expr::ScalarSubquery(subquery) => subquery_with_item_types(subquery, self.context).map(Transformed::yes),
            Expr::InSubquery(found) => self.in_subquery(found, schema),
            Expr::SetComparison(compared) => self.set_comparison(compared, schema),
            other => Ok(Transformed::no(other)),
        }
    }

    /// A function is bound to the overload that its arguments choose and to the session's time zone.
    pub(super) fn function(&self, call: ScalarFunction, schema: &DFSchema) -> Result<Expr> {
        let ScalarFunction { func, args } = call;
        let types = args.iter().map(|argument| Ok(Argument::new(argument.clone(), None, schema)?.known));
        let types = types.collect::<Result<Vec<Operand>>>()?;
        if let ("octet_length", [value], [Some(known @ SqlType::Bpchar { .. })]) =
            (func.name(), args.as_slice(), types.as_slice())
        {
            let padded = self.padded(value.clone(), known).map_err(external)?;
            return self.bound(&func, vec![padded], &[Some(SqlType::Text)]).map_err(external);
        }
        self.bound(&func, args, &types).map_err(external)
    }

    pub(super) fn bound(
        &self,
        function: &Arc<ScalarUDF>,
        args: Vec<Expr>,
        types: &[Operand],
    ) -> std::result::Result<Expr, QueryError> {
        let (bound, args) = match function.inner().downcast_ref::<Function>() {
            Some(typed) => {
                let args = self.typed_arguments(args, types, typed.argument_types(types)?)?;
                (typed.bound(types, self.context.zone)?, args)
            }
            None => {
                let bound = in_zone(function, self.context.zone).unwrap_or_else(|| Arc::clone(function));
                (bound, args)
            }
        };
        Ok(Expr::ScalarFunction(ScalarFunction::new_udf(bound, args)))
    }

    /// Parameters whose type nothing else says have that of the function's argument. Literals are read as values of it, whether the
    /// call is computed or not.
    fn typed_arguments(
        &self,
        args: Vec<Expr>,
        known: &[Operand],
        types: Vec<SqlType>,
    ) -> std::result::Result<Vec<Expr>, QueryError> {
        let typed = args.into_iter().zip(known).zip(types).map(|((argument, known), sql_type)| match &argument {
            Expr::Placeholder(Placeholder { field: None, .. }) => self.typed(open_argument(argument), &sql_type),
            Expr::Literal(ScalarValue::Utf8(Some(_)), _) if known.is_none() && !is_text(&sql_type) => {
                self.typed(open_argument(argument), &sql_type)
            }
            _ => Ok(argument),
        });
        typed.collect()
    }

    fn site(&self, call: ScalarFunction, schema: &DFSchema) -> Result<Expr> {
        let ScalarFunction { func, args } = call;
        let site = func.inner().downcast_ref::<SiteCall>().expect("the caller looked");
        let places = site.places.operands.iter().copied().chain(std::iter::repeat(None));
        let arguments =
            args.into_iter().zip(places).map(|(expression, place)| Argument::new(expression, place, schema));
        let arguments = arguments.collect::<Result<Vec<Argument>>>()?;
        if let SiteKind::Meeting(meeting) = site.kind {
            let met = self.meeting(meeting, arguments);
            return met.map_err(|error| {
                let place = error.position.or(site.places.site);
                external(error.position(place))
            });
        }
        if let SiteKind::SetArgument(literal) = &site.kind {
            return self.set_argument(literal, arguments).map_err(|error| {
                let place = error.position.or(site.places.site);
                external(error.position(place))
            });
        }
        let mut arguments = arguments.into_iter();
        let mut next = || arguments.next().expect("a site has the operands it was made with");
        let lowered = match &site.kind {
            SiteKind::Binary(operator) => self.binary(operator, next(), next()),
            SiteKind::Prefix(Prefix::Plus) => {
                let value = self.prefixed(Prefix::Plus, next());
                return value.map_err(external).and_then(|value| unmodified(value, schema));
            }
            SiteKind::Prefix(prefix) => self.prefixed(*prefix, next()),
            SiteKind::UnknownPrefix(symbol) => Err(no_prefix(symbol, &next().known)),
            SiteKind::Condition(construct) => self.condition(construct, next()),
            SiteKind::Checked(_) => Ok(next().expression),
            SiteKind::Modified(modifier) => return modified_value(next().expression, *modifier, schema),
            SiteKind::Cast(to) => {
                let operand = next();
                let vector = if is_text(to) { vector_of(&operand.expression, schema)? } else { None };
                match (self.extracted_integer(&operand, to, schema)?, vector) {
                    (Some(integer), _) => Ok(integer),
                    (None, Some(vector)) => Ok(self.converted(operand.expression, &vector, to)),
                    (None, None) => self.cast(operand, to),
                }
            }
            SiteKind::CastToDigits(to) => {
                let operand = next();
                let from = operand.known.unwrap_or(SqlType::Text);
                Ok(self.converted(operand.expression, &from, to))
            }
            SiteKind::Elements { operator, all } => self.elements(operator, *all, next(), next()),
            SiteKind::Meeting(_) | SiteKind::SetArgument(_) => unreachable!("handled above"),
            SiteKind::LongNumber => unreachable!("what is around it says what it becomes"),
        };
        lowered.map_err(|error| {
            let place = error.position.or(site.places.site);
            external(error.position(place))
        })
    }

    pub(super) fn binary(
        &self,
        operator: &BinaryOperator,
        left: Argument,
        right: Argument,
    ) -> std::result::Result<Expr, QueryError> {
        let (left_known, right_known) = with_digits(operator, &left.guest(), &right.guest())?;
        let resolved = resolve(operator, &left_known, &right_known)?;
        if let Resolved::Native(native) = resolved {
            let (left, right) = self.beside_arrays(left, right)?;
            return Ok(binary_expression(left.expression, native, right.expression));
        }
        if let Resolved::Bits { operator, operands } = resolved {
            return self.bits(operator, (left, right), &operands);
        }
        if let Resolved::Converted(left_type, right_type) = resolved {
            let left = self.as_operand(left, &left_type);
            let right = self.as_operand(right, &right_type);
            return self.binary(operator, left, right);
        }
        let (left_type, right_type) = settled(operator, &left_known, &right_known);
        let (left, right) = (self.typed(left, &left_type)?, self.typed(right, &right_type)?);
        Ok(match resolved {
            Resolved::Comparison { operator, cast_to: Some(moments), .. }
                if (left_type == SqlType::Date) != (right_type == SqlType::Date) =>
            {
                let (left, right) = ((left, &left_type), (right, &right_type));
                compared_dates(left, operator, right, &moments, self.context)
            }
            Resolved::Comparison { operator, .. }
                if let Some(bounded) = compared_casts(&left, operator, &right, &left_type, self.context) =>
            {
                bounded
            }
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
            Resolved::Keyed(operator) => self.keyed(left, operator, right)?,
            Resolved::Arithmetic { operator, operands, result } => {
                let left = self.to_number(left, &left_type, &operands.0);
                let right = self.to_number(right, &right_type, &operands.1);
                arithmetic_call(operator, left, right, result)
            }
            Resolved::Quotient { operands, .. } => {
                let left = self.to_number(left, &left_type, &operands.0);
                let right = self.to_number(right, &right_type, &operands.1);
                crate::functions::quotients::quotient(left, right)
            }
            Resolved::Product { operands, .. } => {
                let left = self.to_number(left, &left_type, &operands.0);
                let right = self.to_number(right, &right_type, &operands.1);
                crate::functions::products::product(left, right)
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
            Resolved::Pattern(pattern) => self.pattern(self.padded(left, &left_type)?, pattern, right)?,
            Resolved::Native(_) | Resolved::Bits { .. } | Resolved::Converted(..) => unreachable!("handled above"),
        })
    }

    /// An operand of a known type in another one.
    pub(super) fn as_operand(&self, operand: Argument, to: &SqlType) -> Argument {
        match &operand.known {
            Some(from) if from.oid() != to.oid() => {
                Argument::known(self.converted(operand.expression, from, to), to.clone())
            }
            _ => operand,
        }
    }

    fn bits(
        &self,
        operator: Operator,
        (left, right): (Argument, Argument),
        (left_type, right_type): &(SqlType, SqlType),
    ) -> std::result::Result<Expr, QueryError> {
        let operand = |argument: Argument, to: &SqlType| -> std::result::Result<Expr, QueryError> {
            let known = argument.known.clone();
            let value = self.typed(argument, to)?;
            Ok(known.map_or(value.clone(), |from| self.to_number(value, &from, &to.data_type())))
        };
        let (left, right) = (operand(left, left_type)?, operand(right, right_type)?);
        if matches!(operator, Operator::BitwiseShiftLeft | Operator::BitwiseShiftRight) {
            return Ok(shift(operator, left, right, left_type));
        }
        if operator == Operator::BitwiseXor {
            return Ok(exclusive_or(left, right));
        }
        Ok(binary_expression(left, operator, right))
    }

    /// A literal beside an array is read as one.
    fn beside_arrays(&self, left: Argument, right: Argument) -> std::result::Result<(Argument, Argument), QueryError> {
        let array_of = |argument: &Argument| match &argument.known {
            Some(array @ SqlType::Array(_)) if !matches!(innermost(array), SqlType::Reg(_)) => Some(array.clone()),
            _ => None,
        };
        let read = |literal: Argument, array: Option<SqlType>| -> std::result::Result<Argument, QueryError> {
            match array {
                Some(array) if literal.known.is_none() => {
                    let expression = self.typed(literal, &array)?;
                    Ok(Argument::known(expression, array))
                }
                _ => Ok(literal),
            }
        };
        let (left_array, right_array) = (array_of(&left), array_of(&right));
        Ok((read(left, right_array)?, read(right, left_array)?))
    }

    /// A char(n) with the blanks at its end, which patterns see.
    pub(super) fn padded(&self, value: Expr, known: &SqlType) -> std::result::Result<Expr, QueryError> {
        let SqlType::Bpchar { length: Some(length) } = known else { return Ok(value) };
        let function = self.procedures.get("rpad").cloned();
        let function = function.ok_or_else(|| QueryError::unsupported("function rpad"))?;
        let length = Expr::Literal(ScalarValue::Int32(Some(*length as i32)), None);
        let plain = cast_call(value, known.clone(), SqlType::Text, self.context);
        self.bound(&function, vec![plain, length], &[Some(SqlType::Text), Some(SqlType::Int4)])
    }

    /// LIKE is DataFusion's; regular expressions have PostgreSQL's syntax, which `regexp_like` reads.
    fn pattern(&self, left: Expr, pattern: Operator, right: Expr) -> std::result::Result<Expr, QueryError> {
        let (ignore_case, negated) = match pattern {
            Operator::RegexMatch => (false, false),
            Operator::RegexIMatch => (true, false),
            Operator::RegexNotMatch => (false, true),
            Operator::RegexNotIMatch => (true, true),
            Operator::LikeMatch => return Ok(like(false, false, left, right)),
            Operator::NotLikeMatch => return Ok(like(true, false, left, right)),
            Operator::ILikeMatch => return Ok(like(false, true, left, right)),
            Operator::NotILikeMatch => return Ok(like(true, true, left, right)),
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
}

impl Argument {
    pub(crate) fn new(expression: Expr, place: Option<usize>, schema: &DFSchema) -> Result<Self> {
        let (_, field) = expression.to_field(schema)?;
        let literal = match &expression {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        };
        let known = if unknown_field(&field, literal) { None } else { SqlType::from_field(&field) };
        let declared = field.metadata().get(TYPE_KEY).and_then(|text| SqlType::parse(text));
        let is_alias = matches!(declared, Some(SqlType::Reg(_)));
        let modifier = field.metadata().get(MODIFIER_KEY).and_then(|text| text.parse().ok()).unwrap_or(-1);
        // DataFusion numbers rows without a sign; SQL has no such type.
        let expression = match (&known, field.data_type().is_unsigned_integer()) {
            (Some(known), true) => datafusion::logical_expr::cast(expression, known.data_type()),
            _ => expression,
        };
        Ok(Self { expression, known, place, is_alias, modifier })
    }

    pub(super) fn modifier(&self) -> i32 {
        self.modifier
    }

    pub(super) fn operand(&self) -> Operand {
        self.known.clone()
    }

    pub(super) fn into_expression(self) -> Expr {
        self.expression
    }

    /// What an expression is that stands for this one.
    pub(super) fn standing_in(&self, expression: Expr) -> Self {
        Self { expression, ..self.clone() }
    }

    /// A value of a known type.
    pub(super) fn known(expression: Expr, known: SqlType) -> Self {
        Self { expression, known: Some(known), place: None, is_alias: false, modifier: -1 }
    }
}

/// An argument whose type nothing says.
fn open_argument(expression: Expr) -> Argument {
    Argument { expression, known: None, place: None, is_alias: false, modifier: -1 }
}

fn is_interval(value: &Expr, schema: &DFSchema) -> bool {
    value.get_type(schema).is_ok_and(|data_type| data_type == SqlType::Interval.data_type())
}

/// Arrays of the catalog's types whose items print by themselves, unlike those that are names of objects.
pub(super) fn is_array_of_plain(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Array(_)) && matches!(innermost(sql_type), SqlType::Name | SqlType::Char | SqlType::Oid)
}

/// A sort without the keys that are earlier ones under another name, as in `SELECT a AS x, a AS y … ORDER BY x, y`. DataFusion loses
/// sight of it where the rows come from several inputs, and refuses its own plan.
fn with_distinct_keys(mut sort: Sort) -> Sort {
    let LogicalPlan::Projection(below) = sort.input.as_ref() else { return sort };
    let mut seen = Vec::new();
    sort.expr.retain(|key| {
        let shown = match &key.expr {
            Expr::Column(column) => below.schema.maybe_index_of_column(column).map(|index| &below.expr[index]),
            _ => None,
        };
        let Some(shown) = shown.map(|shown| shown.clone().unalias()).filter(|shown| !shown.is_volatile()) else {
            return true;
        };
        let is_new = !seen.contains(&shown);
        seen.push(shown);
        is_new
    });
    sort
}

/// The vector that a value of the catalog is, which plans know as an array.
fn vector_of(value: &Expr, schema: &DFSchema) -> Result<Option<SqlType>> {
    Ok(SqlType::vector_of(&value.to_field(schema)?.1))
}

/// Subscripts are positions from 1, those of vectors from 0: what is before the first is not there, while DataFusion counts it from the
/// end.
fn subscripted(call: ScalarFunction, schema: &DFSchema) -> Result<ScalarFunction> {
    let ScalarFunction { func, mut args } = call;
    let is_element = func.name() == "array_element";
    let is_vector = args.first().map(|array| vector_of(array, schema)).transpose()?.flatten().is_some();
    for (position, argument) in args.iter_mut().enumerate().skip(1).take(2) {
        let mut place = datafusion::logical_expr::cast(std::mem::take(argument), DataType::Int64);
        if is_vector {
            place = binary_expression(place, Operator::Plus, lit(1_i64));
        }
        *argument = of_one(place, |place| {
            let one = lit(1_i64);
            let before = place.clone().lt(one.clone());
            match (is_element, position) {
                (true, _) => when(before, lit(ScalarValue::Int64(None))).otherwise(place),
                (false, 1) => when(before, one).otherwise(place),
                _ => when(before, lit(0_i64)).otherwise(place),
            }
        })?;
    }
    Ok(ScalarFunction { func, args })
}

/// `ROW(…)` with the names that PostgreSQL gives its parts, which documents show.
fn row(parts: Vec<Expr>) -> Expr {
    let named = parts.into_iter().enumerate().flat_map(|(index, part)| [lit(format!("f{}", index + 1)), part]);
    named_struct(named.collect())
}

/// Functions that lowering gives their overload and time zone.
fn is_bound_here(function: &ScalarUDF) -> bool {
    function.inner().downcast_ref::<Function>().is_some() || in_zone(function, Zone::UTC).is_some()
}

pub(super) fn binary_expression(left: Expr, operator: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(right)))
}

/// The operands of a shift have one type; one of a smallint is one of an integer, of which the low bits are kept.
fn shift(operator: Operator, value: Expr, count: Expr, value_type: &SqlType) -> Expr {
    use datafusion::logical_expr::cast;
    match value_type {
        SqlType::Int8 => binary_expression(value, operator, cast(count, DataType::Int64)),
        SqlType::Int4 => binary_expression(value, operator, count),
        _ => {
            let number = |value: i32| Expr::Literal(ScalarValue::Int32(Some(value)), None);
            let shifted = binary_expression(cast(value, DataType::Int32), operator, count);
            let low = binary_expression(shifted, Operator::BitwiseAnd, number(0xffff));
            let signed = binary_expression(low, Operator::BitwiseXor, number(0x8000));
            let signed = binary_expression(signed, Operator::Minus, number(0x8000));
            cast(signed, DataType::Int16)
        }
    }
}

fn like(negated: bool, ignores_case: bool, value: Expr, pattern: Expr) -> Expr {
    Expr::Like(Like::new(negated, Box::new(value), Box::new(pattern), None, ignores_case))
}

/// The value of an integer literal that was given its type by `sites`.
fn literal_integer(cast: &Cast) -> Option<i32> {
    match (cast.expr.as_ref(), cast.field.data_type()) {
        (Expr::Literal(ScalarValue::Int64(Some(value)), _), DataType::Int32) => i32::try_from(*value).ok(),
        _ => None,
    }
}

/// Metadata for a literal whose Arrow type does not say it all.
pub(super) fn metadata_of(sql_type: &SqlType) -> Option<FieldMetadata> {
    let field = expression_field(sql_type);
    (!field.metadata().is_empty()).then(|| FieldMetadata::new_from_field(&field))
}
