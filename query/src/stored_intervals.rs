//! Intervals and enums as scans of segments show them: what is 16 bytes in a file is an interval to everybody else.

use arrow::datatypes::{DataType, SchemaRef};
use catalog::sql_type::SqlType;
use datafusion::catalog::Session;
use datafusion::common::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::expressions::Column;
use datafusion::physical_plan::projection::ProjectionExec;
use std::sync::{Arc, LazyLock};
use storage::intervals::{is_stored_otherwise, shown as shown_array};

static SHOWN: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Shown { signature }))
});

/// The rows of a scan in the schema that is `wanted`, which differs in intervals and enums alone.
pub(crate) fn shown(
    scan: Arc<dyn ExecutionPlan>,
    wanted: &SchemaRef,
    state: &dyn Session,
) -> Result<Arc<dyn ExecutionPlan>> {
    if !wanted.fields().iter().any(|field| is_stored_otherwise(field.data_type())) {
        return Ok(scan);
    }
    let options = Arc::new(state.config_options().clone());
    let columns = wanted.fields().iter().enumerate().map(|(index, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
        let shown = match is_stored_otherwise(field.data_type()) {
            true => Arc::new(ScalarFunctionExpr::new(
                SHOWN.name(),
                Arc::clone(&SHOWN),
                vec![column],
                Arc::clone(field),
                Arc::clone(&options),
            )),
            false => column,
        };
        (shown, field.name().clone())
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), scan)?))
}

/// Reads a column of a segment as the type that its field in the plan has.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Shown {
    signature: Signature,
}

impl ScalarUDFImpl for Shown {
    fn name(&self) -> &str {
        "shown"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(SqlType::Interval.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let stored = args.args[0].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(shown_array(&stored, args.return_field.data_type())))
    }
}
