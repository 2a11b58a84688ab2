//! What DataFusion asks of a [`Planning`]: functions, types, options and the sources behind names.

use super::Planning;
use crate::bound_expressions::volatility;
use crate::domains::cast_function;
use crate::error::{ErrorKind, QueryError};
use crate::functions::array_aggregates::{ARRAY_OF_VALUES, of_values};
use crate::functions::overload::no_function;
use crate::functions::series::GENERATE_SERIES;
use crate::functions::series_table::SeriesTable;
use crate::functions::{self, excluded_frames, variadic};
use crate::operators::call::Procedures;
use crate::operators::casts::CastContext;
use crate::operators::lowering::lower_expression;
use crate::operators::open_call::opened;
use crate::pg_catalog;
use crate::scan::external;
use crate::subqueries::{ARRAY_OF_ROWS, naming_function, of_rows};
use crate::unknown_function::{UnknownFunction, types_of};
use crate::view_verification::{self, VERIFY};
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use catalog::sql_type::SqlType;
use datafusion::common::{DFSchema, Result, ScalarValue, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::logical_plan::builder::LogicalTableSource;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, Volatility, WindowUDF};
use std::sync::Arc;

impl ContextProvider for Planning {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        self.resolve(&name)
    }

    fn get_table_function_source(&self, name: &str, args: Vec<Expr>) -> Result<Arc<dyn TableSource>> {
        if name == VERIFY && args.len() <= 1 {
            if self.needs_no_rows() {
                return Ok(Arc::new(LogicalTableSource::new(view_verification::schema(args.is_empty()))));
            }
            self.depend_on_others();
            let plan = self.nested(|| match self.constants(args)?.first() {
                Some((argument, _)) => view_verification::plan(self, argument),
                None => view_verification::plan_of_all(self),
            })?;
            return Ok(provider_as_source(Arc::new(ViewTable::new(plan, None))));
        }
        if let Some((schema, function)) = name.rsplit_once('.') {
            return Err(external(self.no_function_of(schema, function, &types_of(&args)?)));
        }
        if name != GENERATE_SERIES {
            return Err(external(no_function(name, &types_of(&args)?)));
        }
        let args = match self.inference.lock().as_mut() {
            Some(inference) => inference.constants(name, args)?,
            None => args,
        };
        let table = SeriesTable::new(&self.constants(args)?, self.cast_context()).map_err(external)?;
        Ok(provider_as_source(Arc::new(table)))
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(datafusion::datasource::cte_worktable::CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(crate::sql_types::PostgresTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if let Some(naming) = naming_function(name) {
            return Some(naming);
        }
        let function = self.scalar_function(name)?;
        Some(if self.infers() { opened(function) } else { function })
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        if name == ARRAY_OF_ROWS {
            return self.state.aggregate_functions().get("array_agg").map(of_rows);
        }
        if name == ARRAY_OF_VALUES {
            return self.state.aggregate_functions().get("array_agg").map(of_values);
        }
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        let known = self.state.window_functions().get(name).cloned();
        known.or_else(|| excluded_frames::function(name, |aggregate| self.get_aggregate_meta(aggregate)))
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

impl Planning {
    /// The error of a function that is called by a schema's name; none stands in one of the user's.
    fn no_function_of(&self, schema: &str, name: &str, types: &[Option<SqlType>]) -> QueryError {
        let is_schema = self.snapshot.schemas.contains_key(schema) || pg_catalog::is_system_schema(schema);
        if !is_schema && !schema.contains('.') {
            return QueryError::new(ErrorKind::UndefinedSchema, format!("schema \"{schema}\" does not exist"));
        }
        let error = no_function(&format!("{schema}.{name}"), types);
        let is_known = name == VERIFY
            || pg_catalog::returns_set(name)
            || self.state.scalar_functions().contains_key(name)
            || self.state.aggregate_functions().contains_key(name);
        if is_known { error.hint(format!("Perhaps you meant the function \"{name}\".")) } else { error }
    }

    /// What a name means that is called: a site, a function, or the error that there is none.
    fn scalar_function(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        if let Some(site) = self.sites.lock().function(name, self.procedures()) {
            return Some(site);
        }
        if let Some(variadic) = variadic::function(name, |inner| self.scalar_function(inner)) {
            return Some(variadic);
        }
        if let Some(cast) = cast_function(self, name) {
            return Some(cast);
        }
        if let Some(input) = functions::typed_input::function(name) {
            return Some(input);
        }
        let own = functions::session_function(name, &self.facts);
        let known = own.or_else(|| self.state.scalar_functions().get(name).cloned());
        known.or_else(|| UnknownFunction::for_name(name, &self.state))
    }

    /// The functions that operators over dates and intervals are.
    pub(super) fn procedures(&self) -> &Procedures {
        &self.engine.procedures
    }

    pub(crate) fn cast_context(&self) -> CastContext {
        CastContext::from_options(self.state.config_options())
    }

    /// The values of constant expressions, with their types.
    pub(super) fn constants(&self, expressions: Vec<Expr>) -> Result<Vec<(ScalarValue, Option<SqlType>)>> {
        let (schema, context) = (DFSchema::empty(), self.cast_context());
        let no_columns = RecordBatch::try_new_with_options(
            Arc::new(arrow::datatypes::Schema::empty()),
            Vec::new(),
            &RecordBatchOptions::new().with_row_count(Some(1)),
        )?;
        let values = expressions.into_iter().map(|expression| {
            let lowered = lower_expression(expression, self.procedures(), &context)?;
            if volatility(&lowered) != Volatility::Immutable {
                self.depend_on_now();
            }
            let known = types_of(std::slice::from_ref(&lowered))?.remove(0);
            let value = self.state.create_physical_expr(lowered, &schema)?.evaluate(&no_columns)?;
            Ok((ScalarValue::try_from_array(&value.into_array(1)?, 0)?, known))
        });
        values.collect()
    }
}
