//! What names of columns mean in a FROM list, as far as its syntax tells.
//!
//!     FROM t JOIN u USING (k)         k is t.k; it may be u.k by their types
//!     FROM t LEFT JOIN u USING (k)    k is t.k
//!     FROM t RIGHT JOIN u USING (k)   k is u.k
//!     FROM t FULL JOIN u USING (k)    k is neither
//!
//! What columns tables have is not known here: a name alone that no join merges is the column of the only table that has it.

use super::likeness::Likeness;
use super::trees::constraint_of;
use crate::statement_grammar::fold;
use datafusion::sql::sqlparser::ast::{Join, JoinConstraint, JoinOperator, Select, TableFactor, TableWithJoins};
use std::collections::HashMap;

/// The tables of a FROM list and the columns that its joins merge.
#[derive(Default)]
pub(super) struct FromColumns {
    tables: Vec<String>,
    merged: HashMap<String, Merged>,
    /// What columns mean that NATURAL may have merged.
    natural: Option<Merged>,
}

/// Which table's column a merged one is.
struct Merged {
    /// `None` where it is none, or nobody knows which.
    owner: Option<String>,
    /// Whether it may be that of another table than the owner.
    is_open: bool,
}

impl FromColumns {
    pub(super) fn of(select: &Select) -> Self {
        let mut columns = Self::default();
        for tables in &select.from {
            columns.add(tables);
        }
        columns
    }

    pub(super) fn has_table(&self, name: &str) -> bool {
        self.tables.iter().any(|table| table == name)
    }

    /// Whether a join may have made one column of those of that name.
    pub(super) fn may_merge(&self, column: &str) -> bool {
        self.natural.is_some() || self.merged.contains_key(column)
    }

    /// Whether a column is one with another of its name, each behind the name of its table or behind none.
    pub(super) fn likeness(&self, column: &str, one: Option<&str>, other: Option<&str>) -> Likeness {
        let table = match (one, other) {
            (Some(one), Some(other)) if one != other => return Likeness::Different,
            (Some(table), None) | (None, Some(table)) => table,
            _ => return Likeness::Same,
        };
        let Some(merged) = self.merged.get(column).or(self.natural.as_ref()) else { return Likeness::Same };
        match &merged.owner {
            Some(owner) if owner == table => Likeness::Same,
            _ if merged.is_open => Likeness::Unknown,
            _ => Likeness::Different,
        }
    }

    /// Adds an item of FROM. Returns its tables.
    fn add(&mut self, tables: &TableWithJoins) -> Vec<String> {
        let mut left = self.add_factor(&tables.relation);
        for join in &tables.joins {
            let right = self.add_factor(&join.relation);
            self.merge(join, &left, &right);
            left.extend(right);
        }
        left
    }

    fn add_factor(&mut self, factor: &TableFactor) -> Vec<String> {
        let name = match factor {
            TableFactor::NestedJoin { table_with_joins, alias: None } => return self.add(table_with_joins),
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::Function { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. } => Some(fold(&alias.name)),
            TableFactor::Table { name, .. } | TableFactor::Function { name, .. } => {
                name.0.last().and_then(|part| part.as_ident()).map(fold)
            }
            _ => None,
        };
        self.tables.extend(name.clone());
        name.into_iter().collect()
    }

    fn merge(&mut self, join: &Join, left: &[String], right: &[String]) {
        match constraint_of(&join.join_operator) {
            Some(JoinConstraint::Using(names)) => {
                for name in names.iter().filter_map(|name| name.0.last()?.as_ident()).map(fold) {
                    let merged = self.merged_by(join, self.owner(&name, left), self.owner(&name, right));
                    self.merged.insert(name, merged);
                }
            }
            Some(JoinConstraint::Natural) => {
                let owner = self.merged_by(join, only(left), only(right)).owner;
                self.natural = Some(Merged { owner, is_open: true });
            }
            _ => {}
        }
    }

    /// The table of a side that has a column.
    fn owner(&self, column: &str, side: &[String]) -> Option<String> {
        let merged = self.merged.get(column).and_then(|merged| merged.owner.clone());
        merged.filter(|owner| side.contains(owner)).or_else(|| only(side))
    }

    fn merged_by(&self, join: &Join, left: Option<String>, right: Option<String>) -> Merged {
        match &join.join_operator {
            JoinOperator::FullOuter(_) => Merged { owner: None, is_open: false },
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => Merged { is_open: right.is_none(), owner: right },
            JoinOperator::Left(_) | JoinOperator::LeftOuter(_) => Merged { is_open: left.is_none(), owner: left },
            _ => Merged { owner: left, is_open: true },
        }
    }
}

fn only(names: &[String]) -> Option<String> {
    match names {
        [name] => Some(name.clone()),
        _ => None,
    }
}

/// Whether a join makes one column of two.
pub(super) fn merges(join: &Join) -> bool {
    let constraint = constraint_of(&join.join_operator);
    matches!(constraint, Some(JoinConstraint::Using(_) | JoinConstraint::Natural))
}
