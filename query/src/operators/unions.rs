//! UNION, INTERSECT and EXCEPT: every column has one type on all sides.
//!
//!     SELECT 1 UNION SELECT '2'         '2' is an integer
//!     SELECT 1 UNION SELECT 'a'         invalid input syntax for type integer: "a"
//!     SELECT real EXCEPT SELECT numeric double precision
//!     SELECT a UNION SELECT b           integer and text cannot be matched

use super::lowering::{Argument, Lowering};
use super::meetings::{Guest, common};
use super::modifiers::unmodified;
use super::resolution::{Operand, unknown_field};
use crate::domains::domain_of;
use crate::error::QueryError;
use crate::scan::external;
use catalog::ids::ObjectId;
use catalog::sql_type::{MODIFIER_KEY, SqlType};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::Alias;
use datafusion::logical_expr::{Distinct, Expr, Join, JoinType, LogicalPlan, Projection, Union};
use std::sync::Arc;

/// A column of one side: its type and modifier, or the literal that it is.
struct Item {
    known: Operand,
    modifier: i32,
    domain: Option<ObjectId>,
    literal: Option<ScalarValue>,
}

/// What becomes of a column on all sides.
#[derive(Default)]
struct Shared {
    /// `None` where it stays what it is.
    to: Option<SqlType>,
    /// Whether sides have modifiers or domains, and not all the same.
    without_modifier: bool,
}

impl Lowering<'_> {
    /// The sides of a UNION in common types.
    pub(super) fn union(&self, union: Union) -> Result<LogicalPlan> {
        match self.sides("UNION", &union.inputs)? {
            None => Ok(LogicalPlan::Union(union)),
            Some(sides) => Ok(LogicalPlan::Union(Union::try_new_with_loose_types(sides)?)),
        }
    }

    /// The sides of EXCEPT or INTERSECT, which is a join.
    pub(super) fn set_operation(&self, join: Join) -> Result<LogicalPlan> {
        let construct = if join.join_type == JoinType::LeftAnti { "EXCEPT" } else { "INTERSECT" };
        let Some(mut sides) = self.sides(construct, &[Arc::clone(&join.left), Arc::clone(&join.right)])? else {
            return Ok(LogicalPlan::Join(join));
        };
        let (right, left) = (sides.pop(), sides.pop());
        let (Some(left), Some(right)) = (left, right) else { return Ok(LogicalPlan::Join(join)) };
        LogicalPlan::Join(Join { left, right, ..join }).recompute_schema()
    }

    /// Sides with their columns in common types; `None` where they have them already.
    fn sides(&self, construct: &str, sides: &[Arc<LogicalPlan>]) -> Result<Option<Vec<Arc<LogicalPlan>>>> {
        let width = sides.iter().map(|side| side.schema().fields().len()).min().unwrap_or(0);
        let mut types = Vec::with_capacity(width);
        let mut differ = false;
        for column in 0..width {
            let items: Vec<Item> = sides.iter().map(|side| item(side, column)).collect();
            if items.iter().all(|item| item.known.is_none() && item.literal.is_none()) {
                types.push(Shared::default());
                continue;
            }
            let guests: Vec<Guest<'_>> = items.iter().map(Item::guest).collect();
            let common = common(construct, &guests).map_err(external)?;
            let differs = |pair: &[Item]| (pair[0].modifier, pair[0].domain) != (pair[1].modifier, pair[1].domain);
            let without_modifier = items.windows(2).any(differs);
            differ |= without_modifier || items.iter().any(|item| item.known.as_ref() != Some(&common));
            types.push(Shared { to: Some(common), without_modifier });
        }
        if !differ {
            return Ok(None);
        }
        let sides = sides.iter().map(|side| self.in_types(side, &types).map(Arc::new));
        sides.collect::<Result<Vec<_>>>().map(Some)
    }

    /// A side with its columns in some types, below its DISTINCT.
    fn in_types(&self, side: &LogicalPlan, types: &[Shared]) -> Result<LogicalPlan> {
        if let LogicalPlan::Distinct(Distinct::All(input)) = side {
            return Ok(LogicalPlan::Distinct(Distinct::All(Arc::new(self.in_types(input, types)?))));
        }
        if let LogicalPlan::Projection(projection) = side {
            let items = projection.expr.iter().zip(projection.schema.iter()).zip(types);
            let items = items.map(|((item, (_, field)), to)| self.typed_item(item, field.name(), to, side));
            return Projection::try_new(items.collect::<Result<_>>()?, Arc::clone(&projection.input))
                .map(LogicalPlan::Projection);
        }
        let shown = side.schema().iter().zip(types).map(|((qualifier, field), to)| {
            let column = Expr::from((qualifier, field));
            match self.shared(column.clone(), to, side.schema())? {
                Some(value) => Ok(value.alias_qualified(qualifier.cloned(), field.name())),
                None => Ok(column),
            }
        });
        let shown = shown.collect::<Result<Vec<Expr>>>()?;
        Projection::try_new(shown, Arc::new(side.clone())).map(LogicalPlan::Projection)
    }

    /// An item of a select list in a type, under its own name.
    fn typed_item(&self, item: &Expr, name: &str, to: &Shared, side: &LogicalPlan) -> Result<Expr> {
        let LogicalPlan::Projection(projection) = side else { return Ok(item.clone()) };
        let Some(typed) = self.shared(item.clone().unalias(), to, projection.input.schema())? else {
            return Ok(item.clone());
        };
        Ok(match item {
            Expr::Alias(alias) => Expr::Alias(Alias { expr: Box::new(typed), ..alias.clone() }),
            Expr::Column(column) => typed.alias_qualified(column.relation.clone(), name),
            _ => typed.alias(name),
        })
    }

    /// A column's value as all sides have it; `None` where it has been that.
    fn shared(&self, value: Expr, shared: &Shared, schema: &DFSchema) -> Result<Option<Expr>> {
        let Some(to) = &shared.to else { return Ok(None) };
        let argument = Argument::new(value.clone(), None, schema)?;
        let value = match argument.known.as_ref() == Some(to) {
            true if !shared.without_modifier => return Ok(None),
            true => value,
            false => self.met_as(argument, to).map_err(external)?,
        };
        if shared.without_modifier { unmodified(value, schema).map(Some) } else { Ok(Some(value)) }
    }

    /// The value in exactly this type, its modifier included.
    fn met_as(&self, argument: Argument, to: &SqlType) -> std::result::Result<Expr, QueryError> {
        match argument.known.clone() {
            Some(from) if from != *to && from.data_type() == to.data_type() => {
                Ok(super::casts::cast_call(argument.expression, from, to.clone(), self.context))
            }
            _ => self.met(argument, to),
        }
    }
}

impl Item {
    fn guest(&self) -> Guest<'_> {
        Guest { known: self.known.clone(), literal: self.literal.as_ref(), place: None }
    }
}

/// A side's column, with the literal that it is if its type is open.
fn item(side: &LogicalPlan, column: usize) -> Item {
    let field = side.schema().field(column);
    let literal = match items_of(side) {
        LogicalPlan::Projection(projection) => match projection.expr[column].clone().unalias() {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        },
        _ => None,
    };
    let known = if unknown_field(field, literal.as_ref()) { None } else { SqlType::from_field(field) };
    let modifier = field.metadata().get(MODIFIER_KEY).and_then(|text| text.parse().ok()).unwrap_or(-1);
    Item { known, modifier, domain: domain_of(field), literal }
}

/// What computes a side's columns.
fn items_of(side: &LogicalPlan) -> &LogicalPlan {
    match side {
        LogicalPlan::Distinct(Distinct::All(input)) => items_of(input),
        LogicalPlan::Sort(sort) => items_of(&sort.input),
        LogicalPlan::Limit(limit) => items_of(&limit.input),
        LogicalPlan::SubqueryAlias(alias) => items_of(&alias.input),
        other => other,
    }
}
