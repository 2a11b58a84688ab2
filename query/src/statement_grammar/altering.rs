//! The grammar of ALTER.

use super::{Words, fold};
use crate::error::QueryError;
use crate::sequence_definition::SequenceOptions;
use crate::statement::{DropObject, StatementKind, UnkeptTarget};
use catalog::definition::IdentityKind;
use datafusion::sql::sqlparser::ast::{self, Ident};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// ALTER of a table, a view or a schema.
#[derive(Clone, Debug)]
pub(crate) struct Alteration {
    /// What the statement calls the object.
    pub object: DropObject,
    pub name: ast::ObjectName,
    pub if_exists: bool,
    pub actions: Vec<AlterAction>,
}

impl Alteration {
    /// The command as the client is told when it is done.
    pub(crate) fn command(&self) -> &'static str {
        match self.object {
            _ if matches!(self.actions.first(), Some(AlterAction::AddIndex { .. })) => "CREATE INDEX",
            DropObject::Index => "ALTER INDEX",
            DropObject::Table => "ALTER TABLE",
            DropObject::MaterializedView => "ALTER MATERIALIZED VIEW",
            DropObject::View => "ALTER VIEW",
            DropObject::Schema => "ALTER SCHEMA",
            DropObject::Sequence => "ALTER SEQUENCE",
        }
    }
}

/// One action of ALTER. Names are as they were written.
#[derive(Clone, Debug)]
pub(crate) enum AlterAction {
    AddColumn {
        column: Box<ast::ColumnDef>,
        if_not_exists: bool,
    },
    DropColumn {
        column: Ident,
        if_exists: bool,
        cascade: bool,
    },
    SetType {
        column: Ident,
        data_type: Box<ast::DataType>,
        using: Option<Box<ast::Expr>>,
    },
    SetDefault {
        column: Ident,
        default: Option<Box<ast::Expr>>,
    },
    SetNotNull {
        column: Ident,
        not_null: bool,
    },
    /// ADD GENERATED … AS IDENTITY.
    AddIdentity {
        column: Ident,
        kind: IdentityKind,
        options: Box<SequenceOptions>,
    },
    /// SET GENERATED, RESTART and SET of the options of an identity column's sequence.
    SetIdentity {
        column: Ident,
        kind: Option<IdentityKind>,
        options: Box<SequenceOptions>,
    },
    DropIdentity {
        column: Ident,
        if_exists: bool,
    },
    /// DROP EXPRESSION: a generated column becomes one that is written.
    DropExpression {
        column: Ident,
        if_exists: bool,
    },
    /// SET STATISTICS, SET STORAGE and SET COMPRESSION, which come to nothing.
    Tune {
        column: Ident,
        what: &'static str,
    },
    RenameColumn {
        from: Ident,
        to: Ident,
    },
    RenameTo(Ident),
    SetSchema(Ident),
    AddConstraint(Box<ast::TableConstraint>),
    DropConstraint {
        name: Ident,
        if_exists: bool,
    },
    RenameConstraint {
        from: Ident,
        to: Ident,
    },
    ValidateConstraint(Ident),
    /// SET and RESET of table options; `None` is the latter.
    SetOption {
        option: Ident,
        value: Option<Box<ast::Expr>>,
    },
    /// SET LOGGED and SET UNLOGGED.
    SetLogged(bool),
    /// CREATE UNIQUE INDEX.
    AddIndex {
        name: Option<Ident>,
        columns: Vec<Ident>,
        if_not_exists: bool,
    },
}

/// What PostgreSQL has and Meridian does not, by the words after the name.
const UNSUPPORTED: [&str; 20] = [
    "owner", "enable", "disable", "set", "reset", "cluster", "inherit", "no", "attach", "detach", "validate",
    "replica", "of", "not", "force", "depends", "add", "drop", "alter", "rename",
];

impl Words<'_> {
    pub(super) fn alter(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        self.take_nulls_distinct()?;
        self.order_identity_options()?;
        let object = if self.take("table") {
            DropObject::Table
        } else if self.take("view") {
            DropObject::View
        } else if self.take_all(&["materialized", "view"]) {
            DropObject::MaterializedView
        } else if self.take("schema") {
            DropObject::Schema
        } else if self.take("index") {
            return self.alter_index();
        } else {
            return self.unsupported_alteration();
        };
        let if_exists = object != DropObject::Schema && self.take_all(&["if", "exists"]);
        let _ = object == DropObject::Table && self.take("only");
        let name = self.object_name()?;
        let _ = self.take_token(&Token::Mul);
        let mut alteration = Alteration { object, name, if_exists, actions: Vec::new() };
        let target = match (object, alteration.name.0.last().and_then(|part| part.as_ident())) {
            (DropObject::Schema, Some(name)) => UnkeptTarget::Schema(fold(name)),
            _ => UnkeptTarget::Relation(alteration.name.clone()),
        };
        if let Some(owned) = self.new_owner(alteration.command(), target, if_exists)? {
            return Ok(owned);
        }
        loop {
            let start = self.next;
            let Some(action) = self.alter_action(object)? else {
                return Ok(StatementKind::Unsupported(self.unsupported_action(&alteration, start)));
            };
            let alone = matches!(
                action,
                AlterAction::RenameColumn { .. }
                    | AlterAction::RenameConstraint { .. }
                    | AlterAction::RenameTo(_)
                    | AlterAction::SetSchema(_)
            );
            let first = alteration.actions.is_empty();
            if alone && !first {
                self.next = start;
                return Err(self.unexpected());
            }
            alteration.actions.push(action);
            if alone || !self.take_token(&Token::Comma) {
                self.expect_end()?;
                return Ok(StatementKind::Alter(Box::new(alteration)));
            }
        }
    }

    fn alter_index(&mut self) -> Result<StatementKind, QueryError> {
        let if_exists = self.take_all(&["if", "exists"]);
        let name = self.object_name()?;
        if let Some(owned) = self.new_owner("ALTER INDEX", UnkeptTarget::Nothing, if_exists)? {
            return Ok(owned);
        }
        if !self.take_all(&["rename", "to"]) {
            return Ok(StatementKind::Unsupported(format!("ALTER INDEX … {}", self.action_at(self.next))));
        }
        let actions = vec![AlterAction::RenameTo(self.ident()?)];
        self.expect_end()?;
        Ok(StatementKind::Alter(Box::new(Alteration { object: DropObject::Index, name, if_exists, actions })))
    }

    /// One action; `None` for one that is PostgreSQL's and not ours.
    fn alter_action(&mut self, object: DropObject) -> Result<Option<AlterAction>, QueryError> {
        if object == DropObject::Schema {
            return match self.take_all(&["rename", "to"]) {
                true => Ok(Some(AlterAction::RenameTo(self.ident()?))),
                false => self.no_action(),
            };
        }
        if self.take_all(&["rename", "to"]) {
            return Ok(Some(AlterAction::RenameTo(self.ident()?)));
        }
        if self.take_all(&["set", "schema"]) {
            return Ok(Some(AlterAction::SetSchema(self.ident()?)));
        }
        if object == DropObject::Table && self.tokens.get(self.next + 1).is_some_and(|next| next.token == Token::LParen)
        {
            let sets = self.take("set");
            if sets || self.take("reset") {
                return self.option(sets).map(Some);
            }
        }
        if object == DropObject::Table && self.take_all(&["set", "logged"]) {
            return Ok(Some(AlterAction::SetLogged(true)));
        }
        if object == DropObject::Table && self.take_all(&["set", "unlogged"]) {
            return Ok(Some(AlterAction::SetLogged(false)));
        }
        if object == DropObject::Table && self.take_all(&["validate", "constraint"]) {
            return Ok(Some(AlterAction::ValidateConstraint(self.ident()?)));
        }
        if object == DropObject::Table && self.take_all(&["rename", "constraint"]) {
            let from = self.ident()?;
            self.expect("to")?;
            return Ok(Some(AlterAction::RenameConstraint { from, to: self.ident()? }));
        }
        if self.take("rename") {
            let _ = self.take("column");
            let from = self.ident()?;
            self.expect("to")?;
            return Ok(Some(AlterAction::RenameColumn { from, to: self.ident()? }));
        }
        let of_column = ["add", "drop", "alter"].iter().any(|word| self.peek_word().as_deref() == Some(*word));
        match of_column && object == DropObject::Table {
            true => self.column_action(),
            false => self.no_action(),
        }
    }

    /// `(retention = '24 months')` or `(retention)`: one option, as there is one that can be set.
    fn option(&mut self, sets: bool) -> Result<AlterAction, QueryError> {
        let _ = self.take_token(&Token::LParen);
        let option = self.ident()?;
        let value = if sets {
            if !self.take_token(&Token::Eq) {
                return Err(self.unexpected());
            }
            let rest = &self.tokens[self.next..];
            let length = rest.iter().position(|token| token.token == Token::RParen).unwrap_or(rest.len());
            let value = self.parse_part(&rest[..length], |parser| parser.parse_expr())?;
            self.next += length;
            Some(Box::new(value))
        } else {
            None
        };
        if !self.take_token(&Token::RParen) {
            return Err(self.unexpected());
        }
        Ok(AlterAction::SetOption { option, value })
    }

    fn no_action(&self) -> Result<Option<AlterAction>, QueryError> {
        let known = self.peek_word().is_some_and(|word| UNSUPPORTED.contains(&word.as_str()));
        if known { Ok(None) } else { Err(self.unexpected()) }
    }

    fn column_action(&mut self) -> Result<Option<AlterAction>, QueryError> {
        let second = self.word_at(self.next + 1).unwrap_or_default();
        match second.as_str() {
            "constraint" | "primary" | "unique" | "foreign" | "check" if self.take("add") => {
                return self.added_constraint();
            }
            "constraint" if self.take("drop") => {
                self.next += 1;
                let if_exists = self.take_all(&["if", "exists"]);
                let name = self.ident()?;
                let _ = self.take("cascade") || self.take("restrict");
                return Ok(Some(AlterAction::DropConstraint { name, if_exists }));
            }
            "constraint" => return Ok(None),
            "exclude" if self.adds_exclusion() => return Ok(None),
            _ => {}
        }
        if self.take("add") {
            let _ = self.take("column");
            let if_not_exists = self.take_all(&["if", "not", "exists"]);
            let definition = self.until_comma();
            let column = self.parse_part(&definition, |parser| parser.parse_column_def())?;
            return Ok(Some(AlterAction::AddColumn { column: Box::new(column), if_not_exists }));
        }
        if self.take("drop") {
            let _ = self.take("column");
            let if_exists = self.take_all(&["if", "exists"]);
            let column = self.ident()?;
            let cascade = self.take("cascade");
            let _ = !cascade && self.take("restrict");
            return Ok(Some(AlterAction::DropColumn { column, if_exists, cascade }));
        }
        self.expect("alter")?;
        let _ = self.take("column");
        let column = self.ident()?;
        self.of_one_column(column)
    }

    /// Whether `ADD EXCLUDE [USING method] (…)` follows, and not a column of that name.
    fn adds_exclusion(&self) -> bool {
        let behind = self.tokens.get(self.next + 2).map(|token| &token.token);
        let is_list = behind == Some(&Token::LParen) || self.word_at(self.next + 2).as_deref() == Some("using");
        self.peek_word().as_deref() == Some("add") && is_list
    }

    fn added_constraint(&mut self) -> Result<Option<AlterAction>, QueryError> {
        let start = self.next;
        let mut definition = self.until_comma();
        let word = |index: usize| match definition.get(index).map(|token| &token.token) {
            Some(Token::Word(word)) => word.value.to_ascii_lowercase(),
            _ => String::new(),
        };
        let count = definition.len();
        let not_valid = count > 2 && word(count - 2) == "not" && word(count - 1) == "valid";
        // Which is refused for what it is.
        let foreign = (0..count).any(|index| word(index) == "foreign" && word(index + 1) == "key");
        if not_valid && !foreign {
            return Err(QueryError::unsupported("ADD CONSTRAINT … NOT VALID")
                .hint("Leave NOT VALID out: the rows are checked when the constraint is added."));
        }
        let using_index = (0..count).any(|index| word(index) == "using" && word(index + 1) == "index");
        if using_index {
            return Err(QueryError::unsupported("ADD CONSTRAINT … USING INDEX").hint("Name the columns."));
        }
        if not_valid {
            definition.truncate(count - 2);
        }
        let parsed = self.parse_part(&definition, |parser| parser.parse_optional_table_constraint())?;
        match parsed {
            Some(constraint) => Ok(Some(AlterAction::AddConstraint(Box::new(constraint)))),
            None => {
                self.next = start;
                Err(self.unexpected())
            }
        }
    }

    fn of_one_column(&mut self, column: Ident) -> Result<Option<AlterAction>, QueryError> {
        if self.take_all(&["set", "not", "null"]) {
            return Ok(Some(AlterAction::SetNotNull { column, not_null: true }));
        }
        if self.take_all(&["drop", "not", "null"]) {
            return Ok(Some(AlterAction::SetNotNull { column, not_null: false }));
        }
        if self.take_all(&["drop", "default"]) {
            return Ok(Some(AlterAction::SetDefault { column, default: None }));
        }
        if self.take_all(&["set", "default"]) {
            let words = self.until_comma();
            let default = self.parse_part(&words, |parser| parser.parse_expr())?;
            return Ok(Some(AlterAction::SetDefault { column, default: Some(Box::new(default)) }));
        }
        if self.take_all(&["set", "data", "type"]) || self.take("type") {
            let mut words = self.until_comma();
            let is_using = |token: &TokenWithSpan| {
                matches!(&token.token, Token::Word(word)
                    if word.quote_style.is_none() && word.value.eq_ignore_ascii_case("using"))
            };
            let using = match words.iter().position(is_using) {
                Some(index) => {
                    let expression = self.parse_part(&words[index + 1..], |parser| parser.parse_expr())?;
                    words.truncate(index);
                    Some(Box::new(expression))
                }
                None => None,
            };
            let data_type = Box::new(self.parse_part(&words, |parser| parser.parse_data_type())?);
            return Ok(Some(AlterAction::SetType { column, data_type, using }));
        }
        self.of_one_computed_column(column)
    }

    fn of_one_computed_column(&mut self, column: Ident) -> Result<Option<AlterAction>, QueryError> {
        if self.take_all(&["add", "generated"]) {
            let kind = self.generated_when()?;
            self.expect("as")?;
            self.expect("identity")?;
            let options = Box::new(self.sequence_options_in_parentheses()?);
            return Ok(Some(AlterAction::AddIdentity { column, kind, options }));
        }
        if self.take_all(&["drop", "identity"]) {
            return Ok(Some(AlterAction::DropIdentity { column, if_exists: self.take_all(&["if", "exists"]) }));
        }
        if self.take_all(&["drop", "expression"]) {
            return Ok(Some(AlterAction::DropExpression { column, if_exists: self.take_all(&["if", "exists"]) }));
        }
        if self.take_all(&["set", "statistics"]) {
            self.number()?;
            return Ok(Some(AlterAction::Tune { column, what: "STATISTICS" }));
        }
        for (word, what) in [("storage", "STORAGE"), ("compression", "COMPRESSION")] {
            if self.take_all(&["set", word]) {
                self.identifier()?;
                return Ok(Some(AlterAction::Tune { column, what }));
            }
        }
        if self.changes_identity() {
            let (kind, options) = self.identity_changes()?;
            return Ok(Some(AlterAction::SetIdentity { column, kind, options: Box::new(options) }));
        }
        self.no_action()
    }

    /// Takes the tokens up to the next comma that stands outside of parentheses and brackets.
    fn until_comma(&mut self) -> Vec<TokenWithSpan> {
        let start = self.next;
        let mut depth = 0usize;
        while let Some(token) = self.peek() {
            match token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                Token::Comma if depth == 0 => break,
                _ => {}
            }
            self.next += 1;
        }
        self.tokens[start..self.next].to_vec()
    }

    pub(super) fn ident(&mut self) -> Result<Ident, QueryError> {
        let Some(TokenWithSpan { token: Token::Word(word), span }) = self.tokens.get(self.next) else {
            return Err(self.unexpected());
        };
        let ident = match word.quote_style {
            Some(quote) => Ident::with_quote_and_span(quote, *span, &word.value),
            None => Ident::with_span(*span, &word.value),
        };
        self.next += 1;
        Ok(ident)
    }
}
