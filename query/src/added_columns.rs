//! ADD COLUMN: what a column brings along, and what the rows that are there have in it.
//!
//!     no default, or one that is the same for all   ▶   its missing value; the rows stay as they are
//!     a volatile default, numbers, a generation     ▶   computed for each row; all rows are written anew

use crate::altering::Alter;
use crate::assignment::{default_of, default_value};
use crate::bound_expressions::parse;
use crate::definitions::check_defaults;
use crate::engine_error::translate;
use crate::error::{ErrorKind, NoticeSeverity, QueryError};
use crate::keys::definition as key_definition;
use crate::row_rules::RowRules;
use crate::sequence_definition::column_sequences;
use crate::sequences::ended;
use crate::session::Session;
use crate::statement::StatementKind;
use crate::statement_grammar::fold;
use crate::table_definition::{check_columns, define_column};
use crate::table_rules::{add_rules, generated_columns, generation};
use catalog::definition::{Column, TableDefinition};
use catalog::ids::ColumnId;
use catalog::missing::MissingValue;
use catalog::sequence::{SequenceDefinition, SequenceValue};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, Volatility};
use datafusion::sql::sqlparser::ast::{self, ColumnOption};
use futures::StreamExt;
use std::sync::Arc;

/// A column that comes with a value for each row that is there.
#[derive(Debug)]
pub(crate) struct Computed {
    pub id: ColumnId,
    /// What a row gets; `None` for a generated column, which its own rule computes.
    pub value: Option<ast::Expr>,
}

impl Alter<'_> {
    pub(crate) async fn add(
        &mut self,
        session: &mut Session,
        column: &ast::ColumnDef,
        if_not_exists: bool,
    ) -> Result<(), QueryError> {
        let name = fold(&column.name);
        if let Some(message) = self.taken(&name).filter(|_| if_not_exists) {
            session.notice_of(NoticeSeverity::Notice, ErrorKind::DuplicateColumn, format!("{message}, skipping"));
            return Ok(());
        }
        self.refuse_taken(&name)?;
        let id = self.next.next_column();
        let defined = {
            let _types = self.planning.knows_types();
            define_column(id.0 as usize - 1, column, &self.next.name.name, self.statement)?
        };
        let of_table = |option: &ColumnOption| match option {
            ColumnOption::PrimaryKey(_) | ColumnOption::Unique(_) | ColumnOption::Check(_) => true,
            ColumnOption::Generated { generation_expr, .. } => generation_expr.is_some(),
            _ => false,
        };
        let options = column.options.iter().filter(|option| !of_table(&option.option)).cloned().collect();
        let plain = ast::ColumnDef { options, ..column.clone() };
        let (mut added, sequence) = self.bound_alone(session, defined, &plain).await?;
        let generated = generated_columns(&self.alone(added.clone()), &template(column)?, self.statement)?;
        if let Some(sequence) = sequence {
            let numbers = numbering(&sequence, self.version.rows_live())?;
            let (value, last) = numbers.unzip();
            self.computed.push(Computed { id, value });
            self.sequences.push((sequence, last));
        } else if added.domain.is_some() && generated.is_empty() && self.version.rows_live() == 0 {
            // No row has a value that the domain could refuse.
            self.depend_on_rows();
        } else if added.missing_value().is_some() || (added.domain.is_some() && generated.is_empty()) {
            match is_volatile(&default_value(self.planning, &added)?) {
                true => self.computed.push(Computed { id, value: Some(default_of(&added)?) }),
                false => added.missing = self.value_now(session, &added).await?,
            }
        } else if !generated.is_empty() {
            self.computed.push(Computed { id, value: None });
        }
        if self.computed.iter().any(|computed| computed.id == id) {
            added.nulls_before = added.not_null;
        } else if added.not_null && added.missing.is_none() {
            self.not_null.push(id);
        }
        self.next.columns.push(added);
        for (_, expression) in generated {
            self.generate(&expression)?;
        }
        self.add_keys(session, key_definition::of_column(column)?)?;
        for option in &column.options {
            if let ColumnOption::Check(check) = &option.option {
                self.add_check(session, option.name.as_ref().or(check.name.as_ref()), &check.expr)?;
            }
        }
        Ok(())
    }

    /// Makes the last column a generated one.
    fn generate(&mut self, expression: &ast::Expr) -> Result<(), QueryError> {
        let last = self.next.columns.len() - 1;
        let mut all = vec![(last, expression.clone())];
        for (position, column) in self.next.columns.iter().enumerate() {
            if let Some(bound) = &column.generated {
                all.push((position, parse(&bound.text)?));
            }
        }
        let bound = generation(self.planning, &self.next, last, expression, &all, self.statement)?;
        self.next.columns[last].generated = Some(bound);
        Ok(())
    }

    /// What a default is now, which the rows have that are there.
    async fn value_now(&self, session: &Session, column: &Column) -> Result<Option<MissingValue>, QueryError> {
        let value = default_value(self.planning, column)?;
        let plan = LogicalPlanBuilder::empty(true).project([value.alias("value")]).and_then(LogicalPlanBuilder::build);
        let plan = plan.map_err(|error| translate(error, None))?;
        let planning = Arc::new(self.planning.again());
        let mut rows = crate::dispatch::run_plan(session, &planning, plan, None).await?;
        let batch =
            rows.next().await.ok_or_else(|| QueryError::new(ErrorKind::Internal, "a default without value"))??;
        let array = arrow::compute::cast(batch.column(0), &column.sql_type.data_type())
            .map_err(|error| translate(error.into(), None))?;
        let alone = self.alone(Column { not_null: false, ..column.clone() });
        let rules = RowRules::compile(&planning, &Arc::new(alone))?;
        let row = rules.checked(vec![array]).map_err(|violation| violation.error)?;
        Ok(MissingValue::new(Arc::clone(row.column(0))))
    }

    /// The column with its default bound and checked, as CREATE TABLE does it, and the sequence that it numbers its rows by.
    /// `written` is its syntax.
    pub(crate) async fn bound_alone(
        &self,
        session: &Session,
        column: Column,
        written: &ast::ColumnDef,
    ) -> Result<(Column, Option<SequenceDefinition>), QueryError> {
        let mut alone = self.alone(column);
        check_columns(&alone.columns)?;
        let create = template(written)?;
        let new_id = || session.engine.catalog.allocate_object();
        let mut sequences = column_sequences(self.planning, &mut alone, (&create, &[]), new_id)?;
        add_rules(self.planning, &mut alone, &create, new_id, self.statement)?;
        check_defaults(self.planning, &alone).await?;
        Ok((alone.columns.remove(0), sequences.pop()))
    }

    /// The table with one column and no rules.
    fn alone(&self, column: Column) -> TableDefinition {
        TableDefinition::new(self.next.id, self.next.name.clone(), vec![column])
    }
}

/// The syntax of a table with one column.
fn template(column: &ast::ColumnDef) -> Result<ast::CreateTable, QueryError> {
    let template = crate::statement::parse("CREATE TABLE t (a integer)")?.into_iter().next();
    let Some(StatementKind::CreateTable(mut create)) = template.map(|statement| statement.kind) else {
        return Err(QueryError::new(ErrorKind::Internal, "a template was not parsed as what it is"));
    };
    create.definition.columns = vec![column.clone()];
    Ok(create.definition)
}

/// The numbers that a sequence gives so many rows, and its value after that; `None` where there are no rows.
fn numbering(sequence: &SequenceDefinition, rows: u64) -> Result<Option<(ast::Expr, SequenceValue)>, QueryError> {
    let Some(steps) = rows.checked_sub(1) else { return Ok(None) };
    let (start, increment) = (sequence.start, sequence.increment);
    let last = i64::try_from(steps).ok().and_then(|steps| start.checked_add(steps.checked_mul(increment)?));
    let Some(last) = last.filter(|last| (sequence.min..=sequence.max).contains(last)) else {
        return Err(ended(sequence));
    };
    let numbers = parse(&format!("(CAST(row_number() OVER () AS bigint) - 1) * {increment} + {start}"))?;
    Ok(Some((numbers, SequenceValue { last, called: true })))
}

fn is_volatile(value: &Expr) -> bool {
    let mut volatile = false;
    let walked = value.apply(|part| {
        if let Expr::ScalarFunction(call) = part {
            volatile |= call.func.signature().volatility == Volatility::Volatile;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("the walk itself does not fail");
    volatile
}
