//! json_to_record and json_to_recordset, whose columns stand in a list behind the alias.
//!
//!     json_to_recordset(j) AS x(a int, b jsonb)
//!         LATERAL (SELECT CAST(e.d ->> 'a' AS int) AS a, … FROM "json_to_recordset@"(j) AS e(d)) AS x
//!
//! `"json_to_recordset@"` gives the objects of an array, `"json_to_record@"` the object; both refuse everything else.

use super::trees::quoted;
use super::windows::Context;
use crate::error::{ErrorKind, QueryError};
use crate::operators::sites::{call, call_quoted};
use crate::returning;
use crate::sql_types::sql_type_of;
use crate::statement_grammar::fold;
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, ObjectName, SelectItem, Spanned,
    TableAlias, TableAliasColumnDef, TableFactor, TableWithJoins, Value, helpers::attached_token::AttachedToken,
};

/// The functions, and what gives their documents: whether it is a set.
const FUNCTIONS: [(&str, &str, bool); 4] = [
    ("json_to_record", "json_to_record@", false),
    ("jsonb_to_record", "jsonb_to_record@", false),
    ("json_to_recordset", "json_to_recordset@", true),
    ("jsonb_to_recordset", "jsonb_to_recordset@", true),
];

/// The set of an array's objects has this name behind that of PostgreSQL's function, and so has the object.
const DOCUMENT: &str = "document";

/// Replaces a call in FROM.
pub(super) fn spelt_out(factor: &TableFactor, context: Context<'_>) -> Result<Option<TableFactor>, QueryError> {
    let (name, arguments, alias) = match factor {
        TableFactor::Table { name, args: Some(arguments), alias, .. } => (name, &arguments.args, alias),
        TableFactor::Function { name, args, alias, .. } => (name, args, alias),
        _ => return Ok(None),
    };
    let Some((_, source, is_set)) = known(name) else { return Ok(None) };
    let Some((alias, columns)) = alias.as_ref().and_then(|alias| Some((alias, definitions(alias)?))) else {
        let message = "a column definition list is required for functions returning \"record\"";
        let place = context.statement.and_then(|statement| statement.place_of(name.span()));
        return Err(QueryError::new(ErrorKind::Syntax, message).position(place));
    };
    let arguments = arguments.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value.clone()),
        _ => None,
    });
    let documents = match is_set {
        true => call("unnest", vec![call_quoted(source, arguments.collect())]),
        false => call_quoted(source, arguments.collect()),
    };
    let document = SelectItem::ExprWithAlias { expr: documents, alias: quoted(DOCUMENT) };
    let documents = returning::select(vec![document], Vec::new(), None, None)?;
    let relation = TableFactor::Derived {
        lateral: true,
        subquery: Box::new(documents),
        alias: Some(TableAlias { explicit: true, name: quoted(DOCUMENT), columns: Vec::new(), at: None }),
        sample: None,
    };
    let items = columns.into_iter().map(member).collect::<Result<Vec<_>, _>>()?;
    let from = vec![TableWithJoins { relation, joins: Vec::new() }];
    let subquery = Box::new(returning::select(items, from, None, None)?);
    let alias = Some(TableAlias { columns: Vec::new(), ..alias.clone() });
    Ok(Some(TableFactor::Derived { lateral: true, subquery, alias, sample: None }))
}

/// Refuses a call outside of FROM, where nothing says what the columns are.
pub(super) fn refuse_call(function: &Function) -> Result<(), QueryError> {
    let Some((name, ..)) = known(&function.name) else { return Ok(()) };
    let message = format!("could not determine row type for result of {name}");
    let hint =
        "Provide a non-null record argument, or call the function in the FROM clause using a column definition list.";
    Err(QueryError::new(ErrorKind::FeatureNotSupported, message).hint(hint))
}

fn known(name: &ObjectName) -> Option<(&'static str, &'static str, bool)> {
    let [part] = name.0.as_slice() else { return None };
    let name = part.as_ident().map(fold)?;
    FUNCTIONS.into_iter().find(|(known, ..)| *known == name)
}

/// The columns of an alias, if each has a type.
fn definitions(alias: &TableAlias) -> Option<Vec<&TableAliasColumnDef>> {
    let typed = !alias.columns.is_empty() && alias.columns.iter().all(|column| column.data_type.is_some());
    typed.then(|| alias.columns.iter().collect())
}

/// A member of the document as a value of a column's type; json null is NULL.
fn member(column: &TableAliasColumnDef) -> Result<SelectItem, QueryError> {
    let Some(data_type) = &column.data_type else { unreachable!("every column has a type") };
    let key = Expr::Value(Value::SingleQuotedString(fold(&column.name)).into());
    let part = |operator| Expr::BinaryOp {
        left: Box::new(Expr::Identifier(quoted(DOCUMENT))),
        op: operator,
        right: Box::new(key.clone()),
    };
    let cast = |value| Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(value),
        data_type: data_type.clone(),
        array: false,
        format: None,
    };
    let text = part(BinaryOperator::LongArrow);
    let value = match sql_type_of(data_type)? {
        SqlType::Json | SqlType::Jsonb => Expr::Case {
            case_token: AttachedToken::empty(),
            end_token: AttachedToken::empty(),
            operand: None,
            conditions: vec![CaseWhen {
                condition: Expr::IsNotNull(Box::new(text)),
                result: cast(part(BinaryOperator::Arrow)),
            }],
            else_result: None,
        },
        // A cast would cut what is too long, and PostgreSQL makes arrays of json's arrays.
        SqlType::Varchar { length_max: Some(_) } | SqlType::Bpchar { .. } | SqlType::Array(_) => {
            let message = format!("a column of type {data_type} in a column definition list");
            return Err(QueryError::unsupported(message).hint("Use text, json or jsonb."));
        }
        _ => cast(text),
    };
    Ok(SelectItem::ExprWithAlias { expr: value, alias: column.name.clone() })
}
