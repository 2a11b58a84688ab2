//! Calls of functions, as far as their names and words decide what they are: before their arguments have types.
//!
//!     current_date, localtime(3)     casts of the statement's time
//!     mod(a, b), date(x)             an operator, a cast
//!     coalesce(a, b), greatest(…)    values that meet
//!     round(x, 2)                    another function than round(x)

use super::checks::Check;
use super::json_syntax::{aggregate_of_array, order_distinct};
use super::meetings::Meeting;
use super::modifiers::Modifier;
use super::sites::{
    Annotator, INSTANT, LITERAL_INT4, call, call_named, integer_literal, is_text_literal, marked, plain_values,
};
use super::window_syntax;
use crate::functions::json;
use crate::functions::rounding::{ROUND_TO, TRUNC_TO};
use crate::functions::unicode::NORMAL_FORMS;
use crate::statement_grammar::fold;
use crate::subqueries::ARRAY_OF_ROWS;
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned, Value,
};
use datafusion::sql::sqlparser::tokenizer::Span;

impl Annotator<'_> {
    /// Functions that are an operator's other name, or one of several functions by their number of arguments.
    pub(super) fn function(&mut self, mut function: Function) -> Expr {
        let name = match function.name.0.as_slice() {
            [part] => part.as_ident().map(fold).unwrap_or_default(),
            _ => String::new(),
        };
        if let Some(now) = self.clock(&name, function.name.span(), &function.args) {
            return now;
        }
        if let Some(spelt) = window_syntax::spelt_out(&function, &name) {
            return spelt;
        }
        self.type_literals(&mut function, &name);
        if let Some((_, ended)) = json::AGGREGATES.iter().find(|(known, _)| *known == name) {
            return aggregate_of_array(function, &name, ended);
        }
        let FunctionArguments::List(list) = &mut function.args else { return Expr::Function(function) };
        if let Some(meeting) = Meeting::of_function(&name)
            && let Some(values) = plain_values(&list.args)
            && (meeting != Meeting::NullIf || values.len() == 2)
        {
            return self.meeting(meeting, values);
        }
        if let ("array_agg" | ARRAY_OF_ROWS | "string_agg", [FunctionArg::Unnamed(FunctionArgExpr::Expr(value)), ..]) =
            (name.as_str(), list.args.as_slice())
        {
            let value = value.clone();
            order_distinct(list, &value);
        }
        if let ("count", [FunctionArg::Unnamed(argument)], None) =
            (name.as_str(), list.args.as_mut_slice(), list.duplicate_treatment)
            && let FunctionArgExpr::Expr(counted) = argument
            && integer_literal(counted).is_some()
        {
            *argument = FunctionArgExpr::Wildcard;
        }
        if let ("trim_scale", [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))]) =
            (name.as_str(), list.args.as_mut_slice())
            && is_text_literal(value)
        {
            *value = self.cast(value.clone(), SqlType::numeric());
        }
        if let ("date", [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))]) = (name.as_str(), list.args.as_slice()) {
            let value = value.clone();
            let called = self.source.as_ref().and_then(|source| source.place_of(function.name.span().start));
            let value = if is_text_literal(&value) { value } else { self.checked(Check::Date, value, called) };
            return self.cast(value, SqlType::Date);
        }
        if let ("normalize", [_, FunctionArg::Unnamed(form)]) = (name.as_str(), list.args.as_mut_slice()) {
            name_normal_form(form);
        }
        if name == "make_interval"
            && let Some(parts) = positional_interval(&list.args)
        {
            return call(&name, parts);
        }
        let mut arguments = list.args.iter().filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Some(expression),
            _ => None,
        });
        let pair = (arguments.next(), arguments.next(), arguments.next());
        let (Some(left), Some(right), None) = pair else { return Expr::Function(function) };
        match name.as_str() {
            "mod" => {
                let (left, right) = (left.clone(), right.clone());
                self.binary(BinaryOperator::Modulo, left, right)
            }
            "round" | "trunc" => {
                let (left, right) = (left.clone(), right.clone());
                let number = if is_text_literal(&left) { self.cast(left, SqlType::numeric()) } else { left };
                let digits = if is_text_literal(&right) { self.cast(right, SqlType::Int4) } else { right };
                call(if name == "round" { ROUND_TO } else { TRUNC_TO }, vec![number, digits])
            }
            _ => Expr::Function(function),
        }
    }

    /// The names of the statement's time; those without a zone are what the session's clocks show then.
    fn clock(&mut self, name: &str, span: Span, arguments: &FunctionArguments) -> Option<Expr> {
        let digits = match arguments {
            FunctionArguments::None => None,
            FunctionArguments::List(list) => match plain_values(&list.args) {
                None if list.args.is_empty() => None,
                Some(values) if has_digits(name) && values.len() == 1 => {
                    Some(integer_literal(&values[0])?.0.parse::<u8>().ok()?.min(6))
                }
                _ => return None,
            },
            FunctionArguments::Subquery(_) => return None,
        };
        let shown = match name {
            "now" | "current_timestamp" | "transaction_timestamp" => None,
            "localtimestamp" => Some(SqlType::Timestamp),
            "current_date" => Some(SqlType::Date),
            "localtime" => Some(SqlType::Time),
            "current_time" => Some(SqlType::TimeTz),
            _ => return None,
        };
        let mut named = Ident::new("now");
        named.span = span;
        let instant = marked(call_named(named, Vec::new()), INSTANT);
        let value = match shown {
            Some(to) => self.cast(instant, to),
            None => instant,
        };
        Some(match digits {
            Some(digits) => self.modified(value, Modifier::of_digits(digits)),
            None => value,
        })
    }
}

/// Whether a name of the statement's time takes the digits of its seconds.
fn has_digits(name: &str) -> bool {
    ["current_timestamp", "current_time", "localtimestamp", "localtime"].contains(&name)
}

/// The keyword in `normalize(x, NFC)` is an argument.
fn name_normal_form(form: &mut FunctionArgExpr) {
    if let FunctionArgExpr::Expr(Expr::Identifier(keyword)) = form
        && NORMAL_FORMS.contains(&fold(keyword).as_str())
    {
        *form = FunctionArgExpr::Expr(Expr::Value(Value::SingleQuotedString(keyword.value.clone()).into()));
    }
}

/// The order of make_interval's arguments.
const INTERVAL_PARTS: [&str; 7] = ["years", "months", "weeks", "days", "hours", "mins", "secs"];

/// `make_interval(days => 10)` with every argument in its place.
fn positional_interval(arguments: &[FunctionArg]) -> Option<Vec<Expr>> {
    let mut parts: Vec<Option<Expr>> = vec![None; INTERVAL_PARTS.len()];
    for (position, argument) in arguments.iter().enumerate() {
        let (position, value) = match argument {
            FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } if name.quote_style != Some('\'') => {
                (INTERVAL_PARTS.iter().position(|part| *part == fold(name))?, value)
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => (position, value),
            _ => return None,
        };
        *parts.get_mut(position)? = Some(value.clone());
    }
    let zero = || marked(Expr::Value(Value::Number("0".into(), false).into()), LITERAL_INT4);
    Some(parts.into_iter().map(|part| part.unwrap_or_else(zero)).collect())
}
