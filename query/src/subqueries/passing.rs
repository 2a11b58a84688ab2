//! Functions that give their argument back, for what they say about it to the planner.

use arrow::datatypes::{DataType, Field, FieldRef};
use catalog::sql_type::SqlType;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use std::sync::Arc;

/// What a function says about its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Says {
    /// It is the subquery of that name; two subqueries with the same text have the same.
    Named,
    /// It is a cell of VALUES: of a type, and no column of a table.
    Cell,
    /// It may be NULL, as a subquery without rows is.
    Nullable,
    /// It is a subquery that may have too many rows, which is an error only where its value is asked for.
    Asked,
    /// It is computed for each row that has the other arguments, which are columns.
    Beside,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Passing {
    name: String,
    says: Says,
    signature: Signature,
}

pub(super) fn passing(name: &str, says: Says) -> Arc<ScalarUDF> {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Passing { name: name.to_string(), says, signature }))
}

pub(super) fn nullable(expr: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(passing("nullable", Says::Nullable), vec![expr]))
}

/// A value that changes with each call, for each row that has those columns: DataFusion computes what names none of a side of a join, or of
/// any side, before the join.
pub(super) fn beside(value: Expr, columns: Vec<Expr>) -> Expr {
    if columns.is_empty() {
        return value;
    }
    let signature = Signature::any(columns.len() + 1, Volatility::Immutable);
    let function = Passing { name: "beside".to_string(), says: Says::Beside, signature };
    ScalarUDF::new_from_impl(function).call(std::iter::once(value).chain(columns).collect())
}

/// A subquery of a branch of CASE, say.
pub(super) fn asked(subquery: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(passing("asked", Says::Asked), vec![subquery]))
}

/// The plan of a subquery that [`asked`] marks.
pub(super) fn asked_subquery(call: &ScalarFunction) -> Option<&LogicalPlan> {
    let passing = call.func.inner().downcast_ref::<Passing>()?;
    match &call.args[0] {
        Expr::ScalarSubquery(subquery) if passing.says == Says::Asked => Some(&subquery.subquery),
        _ => None,
    }
}

/// The subquery that a function only names.
pub(super) fn named_subquery(call: &ScalarFunction) -> Option<&Expr> {
    let passing = call.func.inner().downcast_ref::<Passing>()?;
    (passing.says == Says::Named).then(|| &call.args[0])
}

impl ScalarUDFImpl for Passing {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type depends on the argument's field")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let field = &args.arg_fields[0];
        Ok(match self.says {
            Says::Named | Says::Asked | Says::Beside => Arc::clone(field),
            Says::Nullable => Arc::new(field.as_ref().clone().with_nullable(true)),
            Says::Cell => Arc::new(cell_field(field)),
        })
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(args.args.swap_remove(0))
    }
}

/// Cells of a column of VALUES must not differ in more than their types.
fn cell_field(field: &Field) -> Field {
    match SqlType::from_field(field) {
        None | Some(SqlType::Varchar { .. } | SqlType::Numeric { .. }) => {
            Field::new("cell", field.data_type().clone(), true)
        }
        Some(sql_type) => crate::operators::casts::expression_field(&sql_type),
    }
}
