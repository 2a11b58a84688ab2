//! Whether expressions of one SELECT are one to PostgreSQL, which compares them when it has looked up what is in them.
//!
//! Here only their syntax is known. So there are three answers: what is one by its words alone is the same; what computes something else,
//! whatever the types of its columns, is different; and anything may be behind the rest.
//!
//!     a + 1, (t.a + 1)          the same
//!     a, b    a, a + 0          different
//!     a, a::int                 unknown: the same where `a` is an integer
//!     '1'::date, '01'::date     unknown

use super::from_columns::FromColumns;
use super::nesting::each_expr;
use super::plain_forms::plain;
use crate::syntax_walks::walk_mut;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, NamedWindowDefinition, Select, Subscript, Value, ValueWithSpan, VisitorMut, WindowSpec,
    WindowType,
};
use std::mem::discriminant;
use std::ops::ControlFlow;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    Same,
    Different,
    Unknown,
}

/// Compares the expressions of a SELECT and its ORDER BY.
pub(super) struct Comparison<'a> {
    columns: FromColumns,
    windows: &'a [NamedWindowDefinition],
}

impl<'a> Comparison<'a> {
    pub(super) fn of(select: &'a Select) -> Self {
        Self { columns: FromColumns::of(select), windows: &select.named_window }
    }

    pub(super) fn likeness(&self, one: &Expr, other: &Expr) -> Likeness {
        self.of_plain(&plain(one, self.windows), &plain(other, self.windows))
    }

    /// Whether an expression may be a column of a table once its type is known.
    pub(super) fn may_be_column(&self, expression: &Expr) -> bool {
        kind(without_casts(&plain(expression, self.windows))) == Kind::Column
    }

    fn of_plain(&self, one: &Expr, other: &Expr) -> Likeness {
        if one == other {
            return Likeness::Same;
        }
        if let (Some(one), Some(other)) = (self.unqualified(one), self.unqualified(other))
            && one.expression == other.expression
        {
            return self.of_columns(&one.columns, &other.columns);
        }
        if self.differs(one, other) { Likeness::Different } else { Likeness::Unknown }
    }

    /// Compares columns pair by pair.
    fn of_columns(&self, some: &[Column], others: &[Column]) -> Likeness {
        let pairs = some.iter().zip(others);
        let all =
            pairs.map(|(one, other)| self.columns.likeness(&one.name, one.table.as_deref(), other.table.as_deref()));
        all.fold(Likeness::Same, |likeness, next| match (likeness, next) {
            (Likeness::Different, _) | (_, Likeness::Different) => Likeness::Different,
            (Likeness::Same, next) => next,
            (Likeness::Unknown, _) => Likeness::Unknown,
        })
    }

    /// An expression with its columns behind no table's name; `None` where there are queries in it.
    fn unqualified(&self, expression: &Expr) -> Option<Unqualified> {
        let has_query = each_expr(expression, |part, queries| match part {
            Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. } => ControlFlow::Break(()),
            _ if queries > 0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        if has_query.is_break() {
            return None;
        }
        let mut expression = expression.clone();
        let mut visitor = Unqualifier { from: &self.columns, columns: Vec::new() };
        let _ = walk_mut(&mut expression, &mut visitor);
        Some(Unqualified { expression, columns: visitor.columns })
    }

    /// Whether two plain expressions are surely not one.
    fn differs(&self, one: &Expr, other: &Expr) -> bool {
        if let (Expr::Cast { data_type: one, .. }, Expr::Cast { data_type: other, .. }) = (one, other)
            && is_known(one)
            && is_known(other)
            && discriminant(one) != discriminant(other)
        {
            return true;
        }
        let is_cast = |expression: &Expr| matches!(expression, Expr::Cast { .. });
        if is_cast(one) || is_cast(other) {
            return self.operands_differ(without_casts(one), without_casts(other));
        }
        match (kind(one), kind(other)) {
            (Kind::Other, Kind::Other) => discriminant(one) == discriminant(other) && self.computed_differ(one, other),
            (Kind::Other, Kind::Computed | Kind::Constant) | (Kind::Computed | Kind::Constant, Kind::Other) => false,
            (Kind::Column, Kind::Column) => self.columns_differ(one, other),
            (Kind::Constant, Kind::Constant) => constants_differ(one, other),
            (Kind::Computed, Kind::Computed) => {
                discriminant(one) != discriminant(other) || self.computed_differ(one, other)
            }
            _ => true,
        }
    }

    /// The same of what something is computed of, where literals get types: two texts may be one date.
    fn operands_differ(&self, one: &Expr, other: &Expr) -> bool {
        match (text(one), text(other)) {
            (Some(one), Some(other)) => texts_differ(one, other),
            _ if kind(one) == Kind::Constant && discriminant_of_constant(one) != discriminant_of_constant(other) => {
                !matches!(kind(other), Kind::Constant | Kind::Other)
            }
            _ => self.of_plain(one, other) == Likeness::Different,
        }
    }

    fn any_differs<'e>(
        &self,
        some: impl IntoIterator<Item = &'e Expr>,
        others: impl IntoIterator<Item = &'e Expr>,
    ) -> bool {
        let (some, others): (Vec<_>, Vec<_>) = (some.into_iter().collect(), others.into_iter().collect());
        some.len() != others.len() || some.iter().zip(others).any(|(one, other)| self.operands_differ(one, other))
    }

    fn columns_differ(&self, one: &Expr, other: &Expr) -> bool {
        let (one, other) = (self.unqualified(one), self.unqualified(other));
        one.zip(other).is_some_and(|(one, other)| match (one.columns.as_slice(), other.columns.as_slice()) {
            ([one], [other]) => one.name != other.name,
            // What stands behind a name of no table is a field of a column, or a column of an outer query.
            _ => false,
        })
    }

    fn computed_differ(&self, one: &Expr, other: &Expr) -> bool {
        match (one, other) {
            (Expr::Function(one), Expr::Function(other)) => self.calls_differ(one, other),
            (
                Expr::BinaryOp { left: one_left, op: one, right: one_right },
                Expr::BinaryOp { left: other_left, op: other, right: other_right },
            ) => {
                one != other
                    || self.operands_differ(one_left, other_left)
                    || self.operands_differ(one_right, other_right)
            }
            (Expr::UnaryOp { op: one, expr: one_operand }, Expr::UnaryOp { op: other, expr: other_operand }) => {
                one != other || self.operands_differ(one_operand, other_operand)
            }
            (
                Expr::InList { expr: one, list: one_list, negated: one_negated },
                Expr::InList { expr: other, list: other_list, negated: other_negated },
            ) => {
                one_negated != other_negated
                    || self.operands_differ(one, other)
                    || self.any_differs(one_list, other_list)
            }
            (Expr::IsNull(one), Expr::IsNull(other))
            | (Expr::IsNotNull(one), Expr::IsNotNull(other))
            | (Expr::IsTrue(one), Expr::IsTrue(other))
            | (Expr::IsNotTrue(one), Expr::IsNotTrue(other))
            | (Expr::IsFalse(one), Expr::IsFalse(other))
            | (Expr::IsNotFalse(one), Expr::IsNotFalse(other))
            | (Expr::IsUnknown(one), Expr::IsUnknown(other))
            | (Expr::IsNotUnknown(one), Expr::IsNotUnknown(other)) => self.operands_differ(one, other),
            (Expr::Case { .. }, Expr::Case { .. }) => self.any_differs(branches(one), branches(other)),
            (Expr::Tuple(one), Expr::Tuple(other)) => self.any_differs(one, other),
            (Expr::Array(one), Expr::Array(other)) => self.any_differs(&one.elem, &other.elem),
            (
                Expr::CompoundFieldAccess { root: one, access_chain: one_chain },
                Expr::CompoundFieldAccess { root: other, access_chain: other_chain },
            ) => self.operands_differ(one, other) || self.accesses_differ(one_chain, other_chain),
            (
                Expr::Collate { expr: one, collation: one_collation },
                Expr::Collate { expr: other, collation: other_collation },
            ) => one_collation != other_collation || self.operands_differ(one, other),
            _ => false,
        }
    }

    fn accesses_differ(&self, some: &[AccessExpr], others: &[AccessExpr]) -> bool {
        let pair_differs = |(one, other): (&AccessExpr, &AccessExpr)| match (one, other) {
            (AccessExpr::Dot(one), AccessExpr::Dot(other)) => one != other,
            (
                AccessExpr::Subscript(Subscript::Index { index: one }),
                AccessExpr::Subscript(Subscript::Index { index: other }),
            ) => self.operands_differ(one, other),
            _ => discriminant(one) != discriminant(other),
        };
        some.len() != others.len() || some.iter().zip(others).any(pair_differs)
    }

    fn calls_differ(&self, one: &Function, other: &Function) -> bool {
        if one.name != other.name || one.over.is_some() != other.over.is_some() {
            return true;
        }
        if self.any_differs(one.filter.as_deref(), other.filter.as_deref()) {
            return true;
        }
        if let (Some(WindowType::WindowSpec(one)), Some(WindowType::WindowSpec(other))) = (&one.over, &other.over)
            && self.windows_differ(one, other)
        {
            return true;
        }
        match (&one.args, &other.args) {
            (FunctionArguments::List(one), FunctionArguments::List(other)) => self.arguments_differ(one, other),
            _ => false,
        }
    }

    fn windows_differ(&self, one: &WindowSpec, other: &WindowSpec) -> bool {
        let keys = |spec: &'_ WindowSpec| spec.order_by.iter().map(|key| key.expr.clone()).collect::<Vec<_>>();
        one.window_name.is_none()
            && other.window_name.is_none()
            && (self.any_differs(&one.partition_by, &other.partition_by) || self.any_differs(&keys(one), &keys(other)))
    }

    fn arguments_differ(&self, one: &FunctionArgumentList, other: &FunctionArgumentList) -> bool {
        let pair_differs = |(one, other): (&FunctionArg, &FunctionArg)| match (one, other) {
            (FunctionArg::Unnamed(FunctionArgExpr::Expr(one)), FunctionArg::Unnamed(FunctionArgExpr::Expr(other))) => {
                self.operands_differ(one, other)
            }
            (FunctionArg::Unnamed(one), FunctionArg::Unnamed(other)) => discriminant(one) != discriminant(other),
            _ => false,
        };
        let is_named =
            |list: &FunctionArgumentList| !list.args.iter().all(|one| matches!(one, FunctionArg::Unnamed(_)));
        one.duplicate_treatment != other.duplicate_treatment
            || (one.args.len() != other.args.len() && !is_named(one) && !is_named(other))
            || one.args.iter().zip(&other.args).any(pair_differs)
    }
}

// ---- kinds of expressions ----

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Column,
    Constant,
    /// What is another expression where its variant is another one.
    Computed,
    Other,
}

fn kind(expression: &Expr) -> Kind {
    match expression {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => Kind::Column,
        Expr::Value(_) => Kind::Constant,
        Expr::BinaryOp { op: BinaryOperator::PGCustomBinaryOperator(_) | BinaryOperator::Overlaps, .. } => Kind::Other,
        Expr::Function(_)
        | Expr::BinaryOp { .. }
        | Expr::UnaryOp { .. }
        | Expr::Case { .. }
        | Expr::Tuple(_)
        | Expr::Array(_)
        | Expr::CompoundFieldAccess { .. }
        | Expr::Collate { .. }
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_) => Kind::Computed,
        _ => Kind::Other,
    }
}

fn without_casts(expression: &Expr) -> &Expr {
    match expression {
        Expr::Cast { expr, .. } => without_casts(expr),
        other => other,
    }
}

/// Whether a type is no other one under another name.
fn is_known(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Custom(..) | DataType::Array(_))
}

/// What a CASE is made of, each missing part as nothing.
fn branches(case: &Expr) -> Vec<&Expr> {
    let Expr::Case { operand, conditions, else_result, .. } = case else { return Vec::new() };
    let pairs = conditions.iter().flat_map(|branch| [&branch.condition, &branch.result]);
    operand.as_deref().into_iter().chain(pairs).chain(else_result.as_deref()).collect()
}

// ---- constants ----

fn text(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text),
        _ => None,
    }
}

fn discriminant_of_constant(expression: &Expr) -> Option<std::mem::Discriminant<Value>> {
    match expression {
        Expr::Value(constant) => Some(discriminant(&constant.value)),
        _ => None,
    }
}

fn constants_differ(one: &Expr, other: &Expr) -> bool {
    let (Expr::Value(one), Expr::Value(other)) = (one, other) else { return false };
    match (&one.value, &other.value) {
        (Value::Number(one, _), Value::Number(other, _)) => {
            let is_zero = |digits: &str| digits.parse::<f64>() == Ok(0.0);
            one != other && !(is_zero(one) && is_zero(other))
        }
        (one, other) => one != other,
    }
}

/// Whether two texts are no values of one type in two spellings, as those with digits and words for booleans may be.
fn texts_differ(one: &str, other: &str) -> bool {
    let letters =
        |text: &str| text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let (one, other): (String, String) = (letters(one), letters(other));
    let has_digit = |text: &str| text.contains(|letter: char| letter.is_numeric());
    let is_truth = |text: &str| matches!(text, "t" | "true" | "y" | "yes" | "on" | "f" | "false" | "n" | "no" | "off");
    let are_truths = is_truth(&one) && is_truth(&other);
    one != other && !has_digit(&one) && !has_digit(&other) && !are_truths
}

// ---- columns ----

/// A column's name, and that of its table where that stands before it.
struct Column {
    table: Option<String>,
    name: String,
}

struct Unqualified {
    expression: Expr,
    /// The columns in it, in their order.
    columns: Vec<Column>,
}

struct Unqualifier<'a> {
    from: &'a FromColumns,
    columns: Vec<Column>,
}

impl VisitorMut for Unqualifier<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(name) => self.columns.push(Column { table: None, name: name.value.clone() }),
            Expr::CompoundIdentifier(names) => {
                if let [.., table, column] = names.as_slice()
                    && self.from.has_table(&table.value)
                {
                    self.columns.push(Column { table: Some(table.value.clone()), name: column.value.clone() });
                    *expression = Expr::Identifier(column.clone());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
