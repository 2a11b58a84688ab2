//! Site calls: operators and casts while the planner works.
//!
//! A call is a function to DataFusion's planner. It answers with PostgreSQL's result type, or with PostgreSQL's error at the place in
//! the text, and never runs: [`super::lowering`] replaces it. Two calls are equal if they do the same, wherever they stand, so that
//! `SELECT a + 1 … GROUP BY a + 1` is one expression.

use super::casts::{CastContext, cast_type, expression_field, is_castable};
use super::checks::Check;
use super::meetings::{Guest, Meeting};
use super::modifiers::with_modifier;
use super::prefixes::{Prefix, no_prefix};
use super::resolution::{Operand, Resolved, resolve, settled, unknown_field, with_digits};
use super::set_arguments::SetArgument;
use crate::error::{ErrorKind, QueryError};
use crate::functions::overload::{self, innermost};
use crate::scan::external;
use crate::types::Zone;
use arrow::datatypes::{DataType, Field, FieldRef};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, ScalarValue, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What stands at a site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SiteKind {
    Binary(BinaryOperator),
    Prefix(Prefix),
    /// A prefix operator that nobody has.
    UnknownPrefix(String),
    Cast(SqlType),
    /// A cast after which numerics have exactly the digits of this type.
    CastToDigits(SqlType),
    /// `value operator ANY (array)`, or ALL.
    Elements {
        operator: BinaryOperator,
        all: bool,
    },
    /// Values that become one.
    Meeting(Meeting),
    /// The operand of AND, NOT and the like, by the construct that errors name.
    Condition(&'static str),
    /// A value that a construct takes as it is, if it is of one of its types.
    Checked(Check),
    /// A literal among the arguments of an aggregate or a window function.
    SetArgument(SetArgument),
    /// A value whose type has this modifier from here on.
    Modified(i32),
    /// A number of more digits than a numeric has, see `long_numbers`.
    LongNumber,
}

/// Where a site and its operands are: 1-based characters of the source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub site: Option<usize>,
    pub operands: Vec<Option<usize>>,
}

/// The functions that operators over dates and intervals are.
pub(crate) type Procedures = Arc<HashMap<String, Arc<ScalarUDF>>>;

/// A site as a function.
#[derive(Debug)]
pub(crate) struct SiteCall {
    name: String,
    pub kind: SiteKind,
    pub places: Places,
    procedures: Procedures,
    signature: Signature,
}

impl SiteCall {
    pub(crate) fn new(name: &str, kind: SiteKind, places: Places, procedures: Procedures) -> Self {
        let signature = Signature::variadic_any(Volatility::Immutable);
        Self { name: name.to_string(), kind, places, procedures, signature }
    }

    fn result(&self, fields: &[FieldRef], literals: &[Option<&ScalarValue>]) -> std::result::Result<Field, QueryError> {
        let operands: Vec<Operand> = fields
            .iter()
            .zip(literals.iter().chain(std::iter::repeat(&None)))
            .map(|(field, literal)| if unknown_field(field, *literal) { None } else { SqlType::from_field(field) })
            .collect();
        match (&self.kind, operands.as_slice()) {
            (SiteKind::Binary(operator), [left, right]) => {
                let guest = |known: &Operand, index: usize| Guest {
                    known: known.clone(),
                    literal: literals.get(index).copied().flatten(),
                    place: self.places.operands.get(index).copied().flatten(),
                };
                let guests = [guest(left, 0), guest(right, 1)];
                let (left, right) = with_digits(operator, &guests[0], &guests[1])?;
                let result = self.binary_result(operator, &left, &right, fields)?;
                let (left, right) = settled(operator, &left, &right);
                for (guest, to) in guests.iter().zip([left, right]).filter(|(guest, _)| guest.known.is_none()) {
                    check_literal(guest.literal, &to).map_err(|error| error.position(guest.place))?;
                }
                Ok(result)
            }
            (SiteKind::Prefix(prefix), [operand]) => match (prefix, prefix.operand_type(operand)?) {
                (Prefix::SquareRoot | Prefix::CubeRoot, _) => Ok(untyped(&SqlType::Float8)),
                (_, same) => Ok(untyped(&same)),
            },
            (SiteKind::LongNumber, [_]) => Ok(untyped(&SqlType::numeric())),
            (SiteKind::UnknownPrefix(symbol), [operand]) => Err(no_prefix(symbol, operand)),
            (SiteKind::Condition(construct), [operand]) => {
                super::conditions::check(construct, operand, literals.first().copied().flatten())?;
                Ok(untyped(&SqlType::Bool))
            }
            (SiteKind::Checked(Check::Cell), [_]) => Ok(Field::new("site", fields[0].data_type().clone(), true)),
            (SiteKind::Checked(check), [operand]) => {
                check.check(operand)?;
                Ok(fields[0].as_ref().clone())
            }
            (SiteKind::SetArgument(literal), [_, ..]) => Ok(match literal.literal_type(&operands)? {
                Some(sql_type) => expression_field(&sql_type),
                None => fields[0].as_ref().clone(),
            }),
            (SiteKind::Modified(modifier), [_]) => Ok(with_modifier(&fields[0], *modifier)),
            (SiteKind::Cast(to), [from]) => {
                let literal = literals.first().copied().flatten();
                let result = cast_result(from, to, literal)?;
                if from.is_none() {
                    check_literal(literal, &result)?;
                }
                Ok(expression_field(&result))
            }
            (SiteKind::CastToDigits(to), [_]) => Ok(expression_field(to)),
            (SiteKind::Meeting(meeting), _) => {
                let literals = literals.iter().copied().chain(std::iter::repeat(None));
                let places = self.places.operands.iter().copied().chain(std::iter::repeat(None));
                let guests = operands.iter().cloned().zip(literals).zip(places);
                let guests = guests.map(|((known, literal), place)| Guest { known, literal, place });
                let guests = guests.collect::<Vec<_>>();
                let result = meeting.result(&guests)?;
                if *meeting == Meeting::Array
                    && let SqlType::Array(item) = &result
                {
                    let mut open = guests.iter().filter(|guest| guest.known.is_none());
                    open.try_for_each(|guest| {
                        check_literal(guest.literal, item).map_err(|error| error.position(guest.place))
                    })?;
                }
                Ok(expression_field(&result))
            }
            (SiteKind::Elements { operator, .. }, [left, right]) => {
                super::elements::check(operator, left, right)?;
                Ok(Field::new("site", DataType::Boolean, true))
            }
            _ => unreachable!("a site has the operands it was made with"),
        }
    }

    fn binary_result(
        &self,
        operator: &BinaryOperator,
        left: &Operand,
        right: &Operand,
        fields: &[FieldRef],
    ) -> std::result::Result<Field, QueryError> {
        let data_type = match resolve(operator, left, right)? {
            Resolved::Comparison { .. } | Resolved::Keyed(_) | Resolved::Pattern(_) => DataType::Boolean,
            Resolved::Arithmetic { result, .. }
            | Resolved::Quotient { result, .. }
            | Resolved::Product { result, .. } => result,
            Resolved::Concatenation => DataType::Utf8View,
            Resolved::Procedure { name, swapped } => {
                let (left, right) = settled(operator, left, right);
                let types = if swapped { [right, left] } else { [left, right] };
                return self.procedure_result(name, &types);
            }
            Resolved::Bits { operands, .. } => operands.0.data_type(),
            Resolved::Converted(left, right) => {
                return self.binary_result(operator, &Some(left), &Some(right), fields);
            }
            Resolved::Native(native) => native_type(fields, native)?,
        };
        Ok(Field::new("site", data_type, true))
    }

    fn procedure_result(&self, name: &str, types: &[SqlType]) -> std::result::Result<Field, QueryError> {
        let function = self.procedures.get(name);
        let function = function
            .ok_or_else(|| QueryError::new(ErrorKind::UndefinedFunction, format!("function {name} is missing")))?;
        let fields: Vec<FieldRef> =
            types.iter().map(|sql_type| Arc::new(sql_type.field("", true)) as FieldRef).collect();
        let arguments = ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &[None, None] };
        let field = function.return_field_from_args(arguments);
        let known: Vec<Operand> = types.iter().cloned().map(Some).collect();
        field.map(|field| field.as_ref().clone()).map_err(|_| overload::no_function(name, &known))
    }
}

/// DataFusion's result for types that PostgreSQL's rules here do not cover.
fn native_type(fields: &[FieldRef], operator: Operator) -> std::result::Result<DataType, QueryError> {
    use datafusion::logical_expr::binary::BinaryTypeCoercer;
    // A literal is read as an array beside one.
    let is_list = |field: &Field| matches!(field.data_type(), DataType::List(_));
    let is_open = |field: &Field| matches!(field.data_type(), DataType::Utf8 | DataType::Null);
    if operator.supports_propagation()
        && ((is_list(&fields[0]) && is_open(&fields[1])) || (is_open(&fields[0]) && is_list(&fields[1])))
    {
        return Ok(DataType::Boolean);
    }
    let (left, right) = (fields[0].data_type(), fields[1].data_type());
    BinaryTypeCoercer::new(left, &operator, right).get_result_type().map_err(|_| {
        let shown = |field: &Field| SqlType::from_field(field).map_or("unknown".to_string(), |known| known.base_name());
        let (left, right) = (shown(&fields[0]), shown(&fields[1]));
        QueryError::new(ErrorKind::UndefinedFunction, format!("operator does not exist: {left} {operator} {right}"))
            .hint("No operator matches the given name and argument types. You might need to add explicit type casts.")
    })
}

/// A field that says no more than its Arrow type, as expressions without a modifier have.
fn untyped(sql_type: &SqlType) -> Field {
    Field::new("site", sql_type.data_type(), true)
}

/// Fails for a literal that its type cannot read, before what stands around it fails for another reason.
fn check_literal(literal: Option<&ScalarValue>, to: &SqlType) -> std::result::Result<(), QueryError> {
    match literal {
        Some(ScalarValue::Utf8(Some(text))) if !is_left_to_arrow(to) => {
            let context = CastContext { zone: Zone::UTC, now_micros: 0 };
            super::casts::literal(text, to, &context).map(|_| ())
        }
        _ => Ok(()),
    }
}

/// The type of `x::to`; a literal cast to plain numeric keeps its own digits.
pub(crate) fn cast_result(
    from: &Operand,
    to: &SqlType,
    literal: Option<&ScalarValue>,
) -> std::result::Result<SqlType, QueryError> {
    match from {
        None => match (to, literal) {
            (SqlType::Array(item), Some(ScalarValue::Utf8(Some(text))))
                if matches!(**item, SqlType::Numeric { declared: false, .. }) =>
            {
                let (precision, scale) = crate::types::natural_item_type(text)?;
                Ok(SqlType::Array(Box::new(SqlType::Numeric { precision, scale, declared: false })))
            }
            (SqlType::Numeric { declared: false, .. }, Some(ScalarValue::Utf8(Some(text)))) => {
                let (precision, scale) = crate::types::natural_type(text)?;
                Ok(SqlType::Numeric { precision, scale, declared: false })
            }
            _ => Ok(to.clone()),
        },
        Some(from) if is_castable(from, to) || is_left_to_arrow(from) || is_left_to_arrow(to) => {
            Ok(if has_digits(innermost(to)) { to.clone() } else { cast_type(from, to) })
        }
        Some(from) => Err(QueryError::new(
            ErrorKind::CannotCoerce,
            format!("cannot cast type {} to {}", from.base_name(), to.base_name()),
        )),
    }
}

/// Whether a type names the digits of its values, if only for itself.
fn has_digits(sql_type: &SqlType) -> bool {
    matches!(sql_type, SqlType::Numeric { .. }) && *sql_type != SqlType::numeric()
}

/// Types of the catalog, whose casts DataFusion makes.
pub(crate) fn is_left_to_arrow(sql_type: &SqlType) -> bool {
    matches!(innermost(sql_type), SqlType::Oid | SqlType::Reg(_) | SqlType::Char | SqlType::Name)
        && *sql_type != SqlType::Name
}

/// CASE as DataFusion names it.
fn shown_case(operand: bool, otherwise: bool, shown: &[String]) -> String {
    let (branches, last) = super::meetings::branches(operand, otherwise, shown);
    let mut name = "CASE".to_string();
    if operand {
        name.push_str(&format!(" {}", shown[0]));
    }
    for branch in branches.chunks(2) {
        name.push_str(&format!(" WHEN {} THEN {}", branch[0], branch[1]));
    }
    if let Some(last) = last {
        name.push_str(&format!(" ELSE {last}"));
    }
    name + " END"
}

impl PartialEq for SiteCall {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for SiteCall {}

impl Hash for SiteCall {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl ScalarUDFImpl for SiteCall {
    fn name(&self) -> &str {
        &self.name
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let shown: Vec<String> = args.iter().map(|argument| argument.schema_name().to_string()).collect();
        Ok(match &self.kind {
            SiteKind::Binary(operator) => format!("({} {operator} {})", shown[0], shown[1]),
            SiteKind::Prefix(prefix) => format!("({} {})", prefix.symbol(), shown[0]),
            SiteKind::UnknownPrefix(symbol) => format!("({symbol} {})", shown[0]),
            SiteKind::Condition(_) | SiteKind::Checked(_) | SiteKind::SetArgument(_) | SiteKind::LongNumber => {
                shown[0].clone()
            }
            SiteKind::Modified(modifier) => format!("{}({modifier})", shown[0]),
            SiteKind::Cast(to) | SiteKind::CastToDigits(to) => format!("{}::{to}", shown[0]),
            SiteKind::Meeting(Meeting::Case { operand, otherwise }) => shown_case(*operand, *otherwise, &shown),
            SiteKind::Meeting(Meeting::Distinct { negated }) => {
                format!("{} IS {}DISTINCT FROM {}", shown[0], if *negated { "NOT " } else { "" }, shown[1])
            }
            SiteKind::Meeting(meeting) => {
                format!("{}({})", meeting.construct().to_lowercase(), shown.join(","))
            }
            SiteKind::Elements { operator, all } => {
                format!("{} {operator} {}({})", shown[0], if *all { "ALL" } else { "ANY" }, shown[1])
            }
        })
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        self.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("a site's type depends on its fields")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let result = self.result(args.arg_fields, args.scalar_arguments);
        let place = match self.kind {
            SiteKind::Cast(_) => self.places.operands.first().copied().flatten().or(self.places.site),
            _ => self.places.site,
        };
        result.map(Arc::new).map_err(|error| {
            let place = if error.kind == ErrorKind::CannotCoerce { self.places.site } else { place };
            let place = match self.kind {
                // PostgreSQL does not say either which argument leaves the type open.
                SiteKind::SetArgument(_) if error.kind == ErrorKind::DatatypeMismatch => None,
                _ => error.position.or(place),
            };
            external(error.position(place))
        })
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("a site was not lowered")
    }
}
