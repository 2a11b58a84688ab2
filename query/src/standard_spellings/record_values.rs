//! The columns of records that are made of json: their types, and what a member of a document is in each.
//!
//! A member becomes a value by the input of its type, as PostgreSQL has it: a text that is too long for a varchar(n) is an error, and an
//! array is made of an array of json.

use super::trees::arguments_of;
use super::windows::Context;
use crate::assignment::parsed_type;
use crate::error::{ErrorKind, QueryError};
use crate::functions::json::{ITEMS_AS_DOCUMENTS, ITEMS_AS_TEXTS};
use crate::functions::typed_input;
use crate::operators::sites::call_quoted;
use crate::sql_types::sql_type_of;
use crate::statement_grammar::fold;
use crate::user_types::{domain_named, missing, spelling};
use catalog::definition::Column;
use catalog::snapshot::Relation;
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, Expr, Ident, SelectItem, Spanned, TableAliasColumnDef, Value,
    helpers::attached_token::AttachedToken,
};

/// A column of records.
pub(super) struct RecordColumn {
    name: Ident,
    data_type: DataType,
    /// Of its values, those of a domain being of the base type.
    sql_type: SqlType,
    is_domain: bool,
    /// The value where the document has no such member.
    default: Option<Expr>,
}

/// The columns of a column definition list.
pub(super) fn declared_columns(listed: &[&TableAliasColumnDef]) -> Result<Vec<RecordColumn>, QueryError> {
    let columns = listed.iter().filter_map(|column| Some((column, column.data_type.as_ref()?)));
    columns.map(|(column, data_type)| RecordColumn::new(column.name.clone(), data_type.clone())).collect()
}

/// The columns of a record: `NULL::relation` or `ROW(…)::relation`.
pub(super) fn columns_of_base(
    function: &str,
    base: &Expr,
    context: Context<'_>,
) -> Result<Vec<RecordColumn>, QueryError> {
    let (value, name) = match base {
        Expr::Nested(inner) => return columns_of_base(function, inner, context),
        Expr::Cast { expr, data_type: DataType::Custom(name, _), .. } => (expr.as_ref(), name),
        _ => {
            let what = format!("{function} of a record that is not NULL::relation or ROW(…)::relation");
            return Err(QueryError::unsupported(what).hint("Name the relation whose columns the records have."));
        }
    };
    let known = context.planning.object_name(name)?;
    context.planning.depend_on_others();
    let columns = match context.planning.snapshot.relation(&known) {
        Some(Relation::Table(table)) => &table.definition.columns,
        Some(Relation::View(view)) => &view.definition.columns,
        Some(Relation::Sequence(_)) | None => {
            let place = context.statement.and_then(|statement| statement.place_of(name.span()));
            return Err(missing(&name.to_string().replace('"', "")).position(place));
        }
    };
    let mut records = columns.iter().map(|column| of_relation(column, context)).collect::<Result<Vec<_>, _>>()?;
    for (column, value) in records.iter_mut().zip(items_of(value, columns.len())?) {
        column.default = Some(value);
    }
    Ok(records)
}

/// Whether a record is `NULL::record`, which says nothing of its columns.
pub(super) fn is_open(base: &Expr) -> bool {
    match base {
        Expr::Nested(inner) => is_open(inner),
        Expr::Cast { data_type: DataType::Custom(name, _), .. } => {
            matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|name| fold(name) == "record"))
        }
        _ => false,
    }
}

/// The values of a row; none of NULL.
fn items_of(value: &Expr, count: usize) -> Result<Vec<Expr>, QueryError> {
    let items = match value {
        Expr::Nested(inner) => return items_of(inner, count),
        Expr::Value(value) if value.value == Value::Null => return Ok(Vec::new()),
        Expr::Tuple(items) => items.clone(),
        row => match arguments_of(row, "row") {
            Some(items) => items.into_iter().cloned().collect(),
            None => return Err(QueryError::unsupported("a record that is not NULL::relation or ROW(…)::relation")),
        },
    };
    if items.len() != count {
        let message = "cannot cast type record to a row type of other columns";
        return Err(QueryError::new(ErrorKind::CannotCoerce, message));
    }
    Ok(items)
}

/// A column as a relation has it.
fn of_relation(column: &Column, context: Context<'_>) -> Result<RecordColumn, QueryError> {
    let domain = column.domain.as_ref().and_then(|domain| context.planning.snapshot.types.get(&domain.id));
    let text = match (domain, column.digits) {
        (Some(domain), _) => {
            let [schema, name] = [&domain.name.schema, &domain.name.name].map(|part| Ident::with_quote('"', part));
            format!("{schema}.{name}")
        }
        (None, Some(digits)) => {
            let (first, rest) = column.sql_type.base_name().split_once(' ').map_or_else(
                || (column.sql_type.base_name(), String::new()),
                |(first, rest)| (first.to_string(), format!(" {rest}")),
            );
            format!("{first}({digits}){rest}")
        }
        (None, None) => spelling(&column.sql_type),
    };
    RecordColumn::new(Ident::with_quote('"', &column.name), parsed_type(&text)?)
}

impl RecordColumn {
    fn new(name: Ident, data_type: DataType) -> Result<Self, QueryError> {
        let domain = domain_named(&data_type)?;
        let sql_type = match &domain {
            Some(domain) => domain.sql_type(),
            None => sql_type_of(&data_type)?,
        };
        Ok(Self { name, data_type, sql_type, is_domain: domain.is_some(), default: None })
    }

    /// The column in the list of an alias.
    pub(super) fn named(&self) -> TableAliasColumnDef {
        TableAliasColumnDef { name: self.name.clone(), data_type: None }
    }

    /// The column's value in a document.
    pub(super) fn member(self, document: &Expr) -> SelectItem {
        let key = Expr::Value(Value::SingleQuotedString(fold(&self.name)).into());
        let part =
            |operator| Expr::BinaryOp { left: Box::new(document.clone()), op: operator, right: Box::new(key.clone()) };
        let (text, member) = (part(BinaryOperator::LongArrow), part(BinaryOperator::Arrow));
        let value = match &self.sql_type {
            SqlType::Json | SqlType::Jsonb => case(Expr::IsNotNull(Box::new(text)), self.cast(member.clone()), None),
            SqlType::Array(item) => {
                let is_document = matches!(**item, SqlType::Json | SqlType::Jsonb);
                let items = if is_document { ITEMS_AS_DOCUMENTS } else { ITEMS_AS_TEXTS };
                self.cast(call_quoted(items, vec![member.clone(), key.clone()]))
            }
            SqlType::Varchar { length_max: Some(_) } | SqlType::Bpchar { .. } => {
                let read = call_quoted(&typed_input::name_of(&self.sql_type), vec![text]);
                if self.is_domain { self.cast(read) } else { read }
            }
            _ => self.cast(text),
        };
        let value = match &self.default {
            Some(default) => case(Expr::IsNull(Box::new(member)), self.cast(default.clone()), Some(value)),
            None => value,
        };
        SelectItem::ExprWithAlias { expr: value, alias: self.name }
    }

    fn cast(&self, value: Expr) -> Expr {
        Expr::Cast {
            kind: CastKind::Cast,
            expr: Box::new(value),
            data_type: self.data_type.clone(),
            array: false,
            format: None,
        }
    }
}

fn case(condition: Expr, result: Expr, otherwise: Option<Expr>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result }],
        else_result: otherwise.map(Box::new),
    }
}
