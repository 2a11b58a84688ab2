//! The grammar of sequences: CREATE and ALTER SEQUENCE, identity columns, OVERRIDING. Options come in any order.

use super::Words;
use crate::error::{ErrorKind, QueryError};
use crate::sequence_definition::SequenceOptions;
use crate::statement::{AlterSequence, Overriding, StatementKind, UnkeptTarget, position_of};
use catalog::definition::IdentityKind;
use datafusion::sql::sqlparser::ast::ObjectName;
use datafusion::sql::sqlparser::tokenizer::Token;

impl Words<'_> {
    /// Whether the statement begins with CREATE [TEMPORARY | UNLOGGED] SEQUENCE.
    pub(super) fn creates_sequence(&self) -> bool {
        let kinds = ["local", "global", "temporary", "temp", "unlogged"];
        let is_kind = |index: &usize| self.word_at(*index).is_some_and(|word| kinds.contains(&word.as_str()));
        (1..).find(|index| !is_kind(index)).and_then(|index| self.word_at(index)).as_deref() == Some("sequence")
    }

    pub(super) fn create_sequence(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 1;
        let _ = self.take("local") || self.take("global");
        let temporary = self.take("temporary") || self.take("temp");
        let _ = self.take("unlogged");
        self.expect("sequence")?;
        let if_not_exists = self.take_all(&["if", "not", "exists"]);
        let name = self.object_name()?;
        let options = self.sequence_options()?;
        self.refuse_sequence_name(&options)?;
        Ok(StatementKind::CreateSequence { name, temporary, if_not_exists, options: Box::new(options) })
    }

    /// Behind ALTER.
    pub(super) fn alter_sequence(&mut self) -> Result<StatementKind, QueryError> {
        self.next += 2;
        let if_exists = self.take_all(&["if", "exists"]);
        let name = self.object_name()?;
        if let Some(owned) = self.new_owner("ALTER SEQUENCE", UnkeptTarget::Relation(name.clone()), if_exists)? {
            return Ok(owned);
        }
        let change = if self.take_all(&["rename", "to"]) {
            AlterSequence::Rename(self.identifier()?)
        } else if self.take_all(&["set", "schema"]) {
            AlterSequence::SetSchema(self.identifier()?)
        } else {
            if self.next >= self.tokens.len() {
                return Err(self.unexpected());
            }
            let options = self.sequence_options()?;
            self.refuse_sequence_name(&options)?;
            AlterSequence::Options(Box::new(options))
        };
        Ok(StatementKind::AlterSequence { name, if_exists, change })
    }

    pub(super) fn object_name(&mut self) -> Result<ObjectName, QueryError> {
        let start = self.next;
        self.identifier()?;
        while self.take_token(&Token::Period) {
            self.identifier()?;
        }
        self.parse_part(&self.tokens[start..self.next], |parser| parser.parse_object_name(false))
    }

    fn sequence_options(&mut self) -> Result<SequenceOptions, QueryError> {
        let mut options = SequenceOptions::default();
        while self.peek().is_some_and(|token| *token != Token::RParen) {
            self.new_sequence_option(&mut options)?;
        }
        Ok(options)
    }

    /// Takes one option, which must not be there yet.
    fn new_sequence_option(&mut self, options: &mut SequenceOptions) -> Result<(), QueryError> {
        let first = self.next;
        match self.sequence_option(options)? {
            true => Err(conflicting().position(self.place_at(first))),
            false => Ok(()),
        }
    }

    /// Only an identity column says what its sequence is called.
    fn refuse_sequence_name(&self, options: &SequenceOptions) -> Result<(), QueryError> {
        if options.name.is_none() {
            return Ok(());
        }
        let word = |index: usize| self.word_at(index).unwrap_or_default();
        let found = (2..self.tokens.len()).find(|index| word(*index) == "sequence" && word(index + 1) == "name");
        let error = QueryError::new(ErrorKind::Syntax, "invalid sequence option SEQUENCE NAME");
        Err(error.position(found.and_then(|index| self.place_at(index))))
    }

    fn place_at(&self, index: usize) -> Option<usize> {
        self.tokens.get(index).and_then(|token| position_of(self.source, token.span.start))
    }

    /// The options of an identity column's sequence, if any are given.
    pub(super) fn sequence_options_in_parentheses(&mut self) -> Result<SequenceOptions, QueryError> {
        if !self.take_token(&Token::LParen) {
            return Ok(SequenceOptions::default());
        }
        let options = self.sequence_options()?;
        match self.take_token(&Token::RParen) {
            true => Ok(options),
            false => Err(self.unexpected()),
        }
    }

    /// `ALWAYS` or `BY DEFAULT`.
    pub(super) fn generated_when(&mut self) -> Result<IdentityKind, QueryError> {
        if self.take("always") {
            return Ok(IdentityKind::Always);
        }
        self.expect("by")?;
        self.expect("default")?;
        Ok(IdentityKind::ByDefault)
    }

    /// Whether SET GENERATED, RESTART or SET of an option of a sequence follows.
    pub(super) fn changes_identity(&self) -> bool {
        match self.peek_word().as_deref() {
            Some("restart") => true,
            Some("set") => {
                self.word_at(self.next + 1).as_deref() == Some("generated") || self.begins_option(self.next + 1)
            }
            _ => false,
        }
    }

    /// What ALTER COLUMN says of an identity column, one after the other.
    pub(super) fn identity_changes(&mut self) -> Result<(Option<IdentityKind>, SequenceOptions), QueryError> {
        let (mut kind, mut options) = (None, SequenceOptions::default());
        while self.changes_identity() {
            if self.take_all(&["set", "generated"]) {
                let given = self.generated_when()?;
                if kind.replace(given).is_some() {
                    return Err(conflicting());
                }
                continue;
            }
            if self.take("set") {
                for (word, option) in [("as", "as"), ("restart", "restart"), ("owned", "owned_by")] {
                    if self.peek_word().as_deref() == Some(word) {
                        let message = format!("sequence option \"{option}\" not supported here");
                        return Err(QueryError::new(ErrorKind::Syntax, message).position(self.place_at(self.next)));
                    }
                }
            }
            self.new_sequence_option(&mut options)?;
        }
        Ok((kind, options))
    }

    /// Takes one option; true where it was there before.
    fn sequence_option(&mut self, options: &mut SequenceOptions) -> Result<bool, QueryError> {
        Ok(if self.take("as") {
            let rest = self.rest().to_vec();
            let end = rest.iter().take_while(|token| is_word(&token.token)).count().max(1);
            // The type is the words up to the next option's first.
            let end = (1..end).find(|at| self.begins_option(self.next + at)).unwrap_or(end);
            let data_type = self.parse_part(&rest[..end.min(rest.len())], |parser| parser.parse_data_type())?;
            self.next += end;
            options.data_type.replace(data_type).is_some()
        } else if self.take("increment") {
            let _ = self.take("by");
            let number = self.number()?;
            options.increment.replace(number).is_some()
        } else if self.take("minvalue") {
            let number = self.number()?;
            options.min.replace(Some(number)).is_some()
        } else if self.take("maxvalue") {
            let number = self.number()?;
            options.max.replace(Some(number)).is_some()
        } else if self.take_all(&["no", "minvalue"]) {
            options.min.replace(None).is_some()
        } else if self.take_all(&["no", "maxvalue"]) {
            options.max.replace(None).is_some()
        } else if self.take_all(&["no", "cycle"]) {
            options.cycle.replace(false).is_some()
        } else if self.take("cycle") {
            options.cycle.replace(true).is_some()
        } else if self.take("cache") {
            let number = self.number()?;
            options.cache.replace(number).is_some()
        } else if self.take("start") {
            let _ = self.take("with");
            let number = self.number()?;
            options.start.replace(number).is_some()
        } else if self.take("restart") {
            let given =
                self.take("with") || matches!(self.peek(), Some(Token::Number(..) | Token::Minus | Token::Plus));
            let number = if given { Some(self.number()?) } else { None };
            options.restart.replace(number).is_some()
        } else if self.take_all(&["owned", "by"]) {
            let owner = if self.take("none") { None } else { Some(self.object_name()?) };
            options.owned_by.replace(owner).is_some()
        } else if self.take_all(&["sequence", "name"]) {
            let name = self.object_name()?;
            options.name.replace(name).is_some()
        } else {
            return Err(self.unexpected());
        })
    }

    fn begins_option(&self, index: usize) -> bool {
        let options = ["increment", "minvalue", "maxvalue", "no", "cycle", "cache", "start", "restart", "owned", "as"];
        self.word_at(index).is_some_and(|word| options.contains(&word.as_str()))
    }

    /// An integer with its sign.
    pub(super) fn number(&mut self) -> Result<i64, QueryError> {
        let negative = self.take_token(&Token::Minus);
        let _ = !negative && self.take_token(&Token::Plus);
        let Some(Token::Number(text, _)) = self.peek().cloned() else { return Err(self.unexpected()) };
        let signed = if negative { format!("-{text}") } else { text };
        let number = signed.parse().map_err(|_| {
            let message = format!("value \"{signed}\" is out of range for type bigint");
            QueryError::new(ErrorKind::NumericOutOfRange, message)
        })?;
        self.next += 1;
        Ok(number)
    }
}

fn conflicting() -> QueryError {
    QueryError::new(ErrorKind::Syntax, "conflicting or redundant options")
}

fn is_word(token: &Token) -> bool {
    matches!(token, Token::Word(_))
}

impl Words<'_> {
    /// Takes `OVERRIDING { SYSTEM | USER } VALUE` out of an INSERT.
    pub(super) fn take_overriding(&mut self) -> Overriding {
        for index in 0..self.tokens.len() {
            let word = |ahead: usize| self.word_at(index + ahead);
            if word(0).as_deref() != Some("overriding") || word(2).as_deref() != Some("value") {
                continue;
            }
            let overriding = match word(1).as_deref() {
                Some("system") => Overriding::System,
                Some("user") => Overriding::User,
                _ => continue,
            };
            self.tokens.drain(index..index + 3);
            return overriding;
        }
        Overriding::Nothing
    }

    /// Takes SEQUENCE NAME out of the options of each `AS IDENTITY (…)`, which sqlparser does not read: what it says, for each identity
    /// column in order.
    pub(super) fn take_identity_names(&mut self) -> Result<Vec<Option<ObjectName>>, QueryError> {
        let mut names = Vec::new();
        for index in 0.. {
            if index >= self.tokens.len() {
                break;
            }
            let is_word = |at: usize, word: &str| self.word_at(at).as_deref() == Some(word);
            if !is_word(index, "as") || !is_word(index + 1, "identity") {
                continue;
            }
            let open = index + 2;
            if self.tokens.get(open).is_none_or(|token| token.token != Token::LParen) {
                names.push(None);
                continue;
            }
            let close = self.closing(open)?;
            let found = (open + 1..close).find(|at| is_word(*at, "sequence") && is_word(at + 1, "name"));
            let Some(start) = found else {
                names.push(None);
                continue;
            };
            self.next = start + 2;
            names.push(Some(self.object_name()?));
            self.tokens.drain(start..self.next);
            if self.tokens.get(open + 1).is_some_and(|token| token.token == Token::RParen) {
                self.tokens.drain(open..open + 2);
            }
        }
        self.next = 0;
        Ok(names)
    }

    /// Puts the options of each `AS IDENTITY (…)` into the one order that sqlparser reads.
    pub(super) fn order_identity_options(&mut self) -> Result<(), QueryError> {
        let mut index = 0;
        while index + 1 < self.tokens.len() {
            let opens =
                self.word_at(index).as_deref() == Some("identity") && self.tokens[index + 1].token == Token::LParen;
            index += 1;
            if !opens {
                continue;
            }
            let close = self.closing(index)?;
            let starts: Vec<usize> =
                (index + 1..close).filter(|at| self.begins_option(*at) && !self.follows_no(*at)).collect();
            if starts.first().is_some_and(|first| *first == index + 1) {
                let ends = starts.iter().skip(1).chain([&close]);
                let mut options: Vec<_> = starts.iter().zip(ends).map(|(start, end)| *start..*end).collect();
                options.sort_by_key(|option| self.option_rank(option.start));
                let ordered: Vec<_> = options.into_iter().flat_map(|option| self.tokens[option].to_vec()).collect();
                self.tokens.splice(index + 1..close, ordered);
            }
            index = close;
        }
        Ok(())
    }

    fn follows_no(&self, index: usize) -> bool {
        self.word_at(index - 1).as_deref() == Some("no")
    }

    fn option_rank(&self, index: usize) -> usize {
        let word = self.word_at(index).filter(|word| word != "no").or_else(|| self.word_at(index + 1));
        let order = ["increment", "minvalue", "maxvalue", "start", "cache", "cycle"];
        order.iter().position(|known| word.as_deref() == Some(*known)).unwrap_or(order.len())
    }
}
