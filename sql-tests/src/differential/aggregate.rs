//! Aggregates and window functions as productions: what stands before OVER, or in a select list with GROUP BY.

use super::expression::Generator;
use super::tree::{Mark, Piece, Role, Tree};
use super::values::Type;
use rand::Rng;
use rand::seq::IndexedRandom;

use Mark::{Double, FloatSum, None as Exact, RealSum, Scale, Variance};

/// Templates of aggregates, and how their values are compared. `{id}` is the column that makes an order complete.
const AGGREGATES: &[(&str, Mark)] = &[
    ("count(*)", Exact),
    ("count({A})", Exact),
    ("count(DISTINCT {A})", Exact),
    ("sum({int2})", Exact),
    ("sum({int4})", Exact),
    ("sum({int8})", Exact),
    ("sum({numeric})", Exact),
    ("sum(DISTINCT {int4})", Exact),
    ("sum({interval})", Exact),
    ("sum({float8})", FloatSum),
    ("sum({float4})", RealSum),
    ("avg({float8})", FloatSum),
    ("avg({float4})", FloatSum),
    ("avg({int2})", Exact),
    ("avg({int4})", Exact),
    ("avg({int8})", Exact),
    ("avg({numeric})", Exact),
    ("avg({interval})", Exact),
    ("min({A})", Exact),
    ("max({A})", Exact),
    ("min({text})", Exact),
    ("max({timestamptz})", Exact),
    ("bool_and({bool})", Exact),
    ("bool_or({bool})", Exact),
    ("every({bool})", Exact),
    ("bit_and({int4})", Exact),
    ("bit_or({int8})", Exact),
    ("bit_xor({int2})", Exact),
];

/// Aggregates that have an order of their own, or may have no frame. Correlations are of integers: where doubles are
/// all equal, PostgreSQL's answer is what their rounding left.
const ORDERED_AGGREGATES: &[(&str, Mark)] = &[
    ("string_agg({text}, ',' ORDER BY {id})", Exact),
    ("string_agg({text}, {text} ORDER BY {id} DESC)", Exact),
    ("string_agg(DISTINCT t, '|' ORDER BY t)", Exact),
    ("string_agg({bytea}, {bytea} ORDER BY {id})", Exact),
    ("array_agg({A} ORDER BY {id})", Exact),
    ("array_agg(DISTINCT i4 ORDER BY i4)", Exact),
    ("array_agg({int4} ORDER BY {int4} DESC NULLS LAST, {id})", Exact),
    ("mode() WITHIN GROUP (ORDER BY {A})", Exact),
    ("percentile_cont(0.5) WITHIN GROUP (ORDER BY {float8})", Exact),
    ("percentile_cont(0.25) WITHIN GROUP (ORDER BY {interval})", Exact),
    ("percentile_cont(0.9) WITHIN GROUP (ORDER BY {int4} DESC)", Exact),
    ("percentile_disc(0.5) WITHIN GROUP (ORDER BY {A})", Exact),
    ("percentile_disc(0) WITHIN GROUP (ORDER BY {text})", Exact),
    ("stddev({float8})", Variance),
    ("stddev_pop({float8})", Variance),
    ("variance({float8})", Variance),
    ("var_pop({float8})", Variance),
    ("var_samp({int4})", Variance),
    ("stddev_samp({numeric})", Variance),
    ("var_pop({int8})", Variance),
    ("stddev({float4})", Variance),
    ("corr(i8, i4)", Variance),
    ("covar_pop(i2, i8)", Variance),
    ("covar_samp(i4, i2)", Variance),
    ("regr_slope(i4, i8)", Variance),
    ("regr_intercept(i2, i4)", Variance),
    ("regr_r2(i8, i2)", Variance),
    ("regr_count({float8}, {float8})", Exact),
    ("regr_avgx(f8, i4)", Variance),
    ("regr_sxx(i4, i2)", Variance),
];

const WINDOW_FUNCTIONS: &[(&str, Mark)] = &[
    ("row_number()", Exact),
    ("rank()", Exact),
    ("dense_rank()", Exact),
    ("percent_rank()", Exact),
    ("cume_dist()", Exact),
    ("ntile({positive})", Exact),
    ("lag({A})", Exact),
    ("lag({A}, {positive})", Exact),
    ("lag({int4}, 1, {int4})", Exact),
    ("lag({text}, {n}, 'none')", Exact),
    ("lead({A})", Exact),
    ("lead({numeric}, 2, 0.5)", Scale),
    ("lead({date}, {n})", Exact),
    ("first_value({A})", Exact),
    ("last_value({A})", Exact),
    ("nth_value({A}, {positive})", Exact),
];

impl Generator<'_> {
    /// An aggregate over the columns, with FILTER now and then; `id` makes the order of rows complete.
    pub(crate) fn aggregate(&mut self, id: &str) -> Tree {
        let templates = if self.random.random_bool(0.6) { AGGREGATES } else { ORDERED_AGGREGATES };
        let aggregate = self.marked(templates, id);
        if aggregate.label.contains("WITHIN") || !self.random.random_bool(0.15) {
            return aggregate;
        }
        let condition = self.value(Type::Bool, 1, true);
        let filter = Tree {
            role: Role::Optional,
            label: "FILTER".into(),
            mark: Exact,
            pieces: vec![Piece::Text(" FILTER (WHERE ".into()), Piece::Tree(Box::new(condition), false), text(")")],
        };
        with_suffix(aggregate, filter)
    }

    /// An aggregate, and an expression over it now and then.
    pub(crate) fn aggregate_expression(&mut self, id: &str) -> Tree {
        let aggregate = self.aggregate(id);
        match (self.random.random_range(0..12), aggregate.label.as_str()) {
            (0, "count(*)") => around("-", aggregate, " + 1"),
            (0 | 1, "sum({int4})") => around("coalesce(", aggregate, ", 0)"),
            (0 | 1, "sum({numeric})") => around("round(", aggregate, ", 2)"),
            (0, "max({timestamptz})") => around("", aggregate, "::date"),
            (0 | 1, "min({text})") => around("upper(", aggregate, ")"),
            _ => aggregate,
        }
    }

    /// A call with OVER.
    pub(crate) fn window_call(&mut self, id: &str) -> Tree {
        let is_aggregate = self.random.random_bool(0.5);
        let call = self.marked(if is_aggregate { AGGREGATES } else { WINDOW_FUNCTIONS }, id);
        let partition = match self.random.random_range(0..4) {
            0 => Vec::new(),
            1 => vec![Tree::fixed("b")],
            2 => vec![Tree::fixed("i2"), Tree::fixed("b")],
            _ => vec![self.any_of(&[Type::Int4, Type::Text, Type::Date, Type::Bool], 1)],
        };
        let mut pieces = vec![text(" OVER (")];
        if !partition.is_empty() {
            pieces.push(Piece::Tree(Box::new(Tree::clause("PARTITION BY ", partition)), false));
        }
        // Peers are unequal only where the call does not look at their order.
        let peers = matches!(call.label.as_str(), "rank()" | "dense_rank()" | "percent_rank()" | "cume_dist()");
        let mut keys = Vec::new();
        if peers || self.random.random_bool(0.5) {
            let key = self.any_of(&[Type::Int4, Type::Text, Type::Date, Type::Numeric, Type::Float8], 0);
            let direction = ["", " DESC", " NULLS FIRST", " DESC NULLS LAST"].choose(self.random).copied();
            keys.push(around("", key, direction.unwrap_or_default()));
        }
        if !peers {
            keys.push(Tree::fixed(id));
        }
        let ordered_by_id = keys.len() == 1 && !peers;
        pieces.push(text(" "));
        pieces.push(Piece::Tree(Box::new(Tree { role: Role::Fixed, ..Tree::clause("ORDER BY ", keys) }), false));
        let frame = self.frame(ordered_by_id);
        pieces.push(Piece::Tree(Box::new(Tree::leaf(Role::Optional, "frame", frame)), false));
        pieces.push(text(")"));
        let over = Tree { role: Role::Fixed, label: "OVER".into(), mark: Exact, pieces };
        with_suffix(call, over)
    }

    fn frame(&mut self, ordered_by_id: bool) -> String {
        let (n, m) = (self.random.random_range(0..4), self.random.random_range(0..4));
        let units = match self.random.random_range(0..6) {
            0 => "ROWS",
            1 => "GROUPS",
            2 if ordered_by_id => "RANGE",
            3 => return " RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING".into(),
            _ => return String::new(),
        };
        match self.random.random_range(0..6) {
            0 => format!(" {units} {n} PRECEDING"),
            1 => format!(" {units} BETWEEN {n} PRECEDING AND {m} FOLLOWING"),
            2 => format!(" {units} BETWEEN UNBOUNDED PRECEDING AND {m} PRECEDING"),
            3 => format!(" {units} BETWEEN {n} FOLLOWING AND UNBOUNDED FOLLOWING"),
            4 => format!(" {units} BETWEEN CURRENT ROW AND {m} FOLLOWING"),
            _ => format!(" {units} BETWEEN {} FOLLOWING AND {m} FOLLOWING", n.min(m)),
        }
    }

    /// An expression of one of the types.
    pub(crate) fn any_of(&mut self, types: &[Type], depth: u32) -> Tree {
        let of = types.choose(self.random).copied().unwrap_or(Type::Int4);
        self.value(of, depth, true)
    }

    fn marked(&mut self, templates: &[(&str, Mark)], id: &str) -> Tree {
        let (template, mark) = templates.choose(self.random).copied().unwrap_or(("count(*)", Exact));
        let depth = u32::from(self.random.random_bool(0.4));
        let mut tree = self.instantiate(&template.replace("{id}", id), None, depth, true);
        tree.label = template.to_string();
        tree.mark = mark.max(mark_of_operands(&tree));
        // Minima of numerics that met have another scale, as what they are made of.
        for inherited in [Scale, Double] {
            if tree.mark == Exact && tree.has_mark(inherited) {
                tree.mark = inherited;
            }
        }
        tree
    }
}

/// The mark of an aggregate whose argument has another type than its template says.
fn mark_of_operands(tree: &Tree) -> Mark {
    let types: Vec<Type> = tree.children().filter_map(Tree::value_type).collect();
    let is = |functions: &[&str]| functions.iter().any(|function| tree.label.starts_with(function));
    if is(&["sum("]) && types.contains(&Type::Float4) {
        return RealSum;
    }
    // Intervals are added exactly, whatever they were computed from.
    if types.contains(&Type::Interval) {
        return Exact;
    }
    // A double anywhere in the argument may make one of it.
    let has_float = || tree.all().iter().any(|(_, part)| part.value_type().is_some_and(Type::is_float));
    if is(&["sum(", "avg("]) && has_float() {
        return FloatSum;
    }
    if is(&["stddev", "var", "regr", "corr"]) && !is(&["regr_count"]) { Variance } else { Exact }
}

fn text(text: &str) -> Piece {
    Piece::Text(text.into())
}

fn with_suffix(mut tree: Tree, suffix: Tree) -> Tree {
    tree.pieces.push(Piece::Tree(Box::new(suffix), false));
    tree
}

fn around(before: &str, tree: Tree, after: &str) -> Tree {
    Tree {
        role: Role::Value(None),
        label: format!("{before}{}{after}", tree.label),
        mark: Exact,
        pieces: vec![text(before), Piece::Tree(Box::new(tree), false), text(after)],
    }
}
