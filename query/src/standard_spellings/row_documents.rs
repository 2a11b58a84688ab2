//! Rows of which json is made: `json_agg(t)`, `to_json(array_agg(t))`, `row_to_json((SELECT x FROM (SELECT a, b) x))`.
//!
//! A row that is an argument itself, or is what a subquery or array_agg there gives, is a struct, whose fields the functions write
//! as members. Where it meets other values it is a document already, of which a document is made as it is:
//!
//!     to_json(array_agg(t))          to_json(array_agg(struct))
//!     to_json(coalesce(t, u))        to_json(coalesce(row_to_json(struct), u))
//!     to_json(ARRAY(SELECT t …))     to_json(ARRAY(SELECT row_to_json(struct) …))

use super::row_names::{Meaning, meaning_in};
use super::trees::quoted;
use super::whole_rows::Rows;
use crate::operators::sites::call;
use crate::output_names::output_name;
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, Query, SelectItem, SetExpr,
};

/// Functions that make documents of values of any type.
const DOCUMENT_FUNCTIONS: [&str; 12] = [
    "row_to_json",
    "array_to_json",
    "to_json",
    "to_jsonb",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "json_build_array",
    "jsonb_build_array",
    "json_build_object",
    "jsonb_build_object",
];

/// What becomes of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Struct,
    Document,
}

impl Rows<'_> {
    /// Rows among the arguments of a call.
    pub(super) fn in_documents(&mut self, function: &mut Function, name: &str, outer: Option<bool>) {
        let FunctionArguments::List(list) = &mut function.args else { return };
        if !DOCUMENT_FUNCTIONS.contains(&name) {
            return;
        }
        let mut made_document = false;
        for argument in &mut list.args {
            if let FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) = argument {
                made_document |= self.in_value(value, Shape::Struct, outer) == Some(Shape::Document);
            }
        }
        if made_document && name == "row_to_json" {
            function.name = ObjectName::from(vec![Ident::new("to_json")]);
        }
    }

    /// Rows that a value is made of; what they have become, where there are some.
    fn in_value(&mut self, value: &mut Expr, shape: Shape, outer: Option<bool>) -> Option<Shape> {
        if let Some(outer) = outer
            && self.is_row(value)
        {
            let object = self.object(outer);
            *value = match shape {
                Shape::Struct => object,
                Shape::Document => call("row_to_json", vec![object]),
            };
            return Some(shape);
        }
        match value {
            Expr::Nested(inner) => self.in_value(inner, shape, outer),
            Expr::Subquery(query) => self.in_query(query, shape, outer),
            Expr::Function(function) => self.in_function(function, shape, outer),
            Expr::Case { conditions, else_result, .. } => {
                let results = conditions.iter_mut().map(|branch| &mut branch.result);
                self.in_all(results.chain(else_result.as_deref_mut()), Shape::Document, outer)
            }
            Expr::Array(array) => self.in_all(array.elem.iter_mut(), Shape::Document, outer),
            _ => None,
        }
    }

    fn in_all<'e>(
        &mut self,
        values: impl Iterator<Item = &'e mut Expr>,
        shape: Shape,
        outer: Option<bool>,
    ) -> Option<Shape> {
        values.fold(None, |made, value| self.in_value(value, shape, outer).or(made))
    }

    fn in_function(&mut self, function: &mut Function, shape: Shape, outer: Option<bool>) -> Option<Shape> {
        let name = function.name.0.last().and_then(|part| part.as_ident()).map(fold)?;
        match &mut function.args {
            FunctionArguments::Subquery(query) if name == "array" => self.in_query(query, Shape::Document, outer),
            FunctionArguments::List(list) => {
                let values = list.args.iter_mut().filter_map(|argument| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
                    _ => None,
                });
                match name.as_str() {
                    "array_agg" => self.in_all(values, shape, outer),
                    "coalesce" | "nullif" => self.in_all(values, Shape::Document, outer),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The only output of a subquery. The name is one of its own FROM, or of that of the query around it.
    fn in_query(&mut self, query: &mut Query, shape: Shape, outer: Option<bool>) -> Option<Shape> {
        let SetExpr::Select(select) = query.body.as_mut() else { return None };
        let [item] = select.projection.as_mut_slice() else { return None };
        let (value, alias) = match item {
            SelectItem::UnnamedExpr(value) => (value.clone(), quoted(&output_name(value))),
            SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), alias.clone()),
            _ => return None,
        };
        let mut value = value;
        let made = match (meaning_in(&select.from, self.name), outer) {
            _ if !self.is_own() => return None,
            (Some(Meaning::Row { outer }), _) => self.in_value(&mut value, shape, Some(outer))?,
            (None, Some(_)) if self.is_row(&value) => {
                value = self.further_out();
                Shape::Struct
            }
            _ => return None,
        };
        *item = SelectItem::ExprWithAlias { expr: value, alias };
        Some(made)
    }
}
