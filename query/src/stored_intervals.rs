//! Intervals as scans of segments show them: what is 16 bytes in a file is an interval to everybody else.

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

static STORED_INTERVAL: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let signature = Signature::any(1, Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(StoredInterval { signature }))
});

/// The rows of a scan in the schema that is `wanted`, which differs in intervals alone.
pub(crate) fn shown(
    scan: Arc<dyn ExecutionPlan>,
    wanted: &SchemaRef,
    state: &dyn Session,
) -> Result<Arc<dyn ExecutionPlan>> {
    let is_interval = |data_type: &DataType| matches!(data_type, DataType::Interval(_));
    if !wanted.fields().iter().any(|field| is_interval(field.data_type())) {
        return Ok(scan);
    }
    let options = Arc::new(state.config_options().clone());
    let columns = wanted.fields().iter().enumerate().map(|(index, field)| {
        let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
        let shown = match is_interval(field.data_type()) {
            true => Arc::new(ScalarFunctionExpr::new(
                STORED_INTERVAL.name(),
                Arc::clone(&STORED_INTERVAL),
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

/// Reads 16 bytes as an interval.
#[derive(Debug, PartialEq, Eq, Hash)]
struct StoredInterval {
    signature: Signature,
}

impl ScalarUDFImpl for StoredInterval {
    fn name(&self) -> &str {
        "stored_interval"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(SqlType::Interval.data_type())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let bytes = args.args[0].to_array(args.number_rows)?;
        Ok(ColumnarValue::Array(storage::intervals::intervals_of(&bytes)))
    }
}
