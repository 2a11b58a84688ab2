//! Where sites stand in the statement's text: at an operator, at `::`, at the minus before an operand. Places are 1-based characters.

use super::call::{Places, SiteKind};
use super::meetings::Meeting;
use super::sites::{Annotator, PREFIX};
use crate::standard_spellings::trees::bare;
use catalog::sql_type::SqlType;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Spanned,
    Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::tokenizer::Span;

impl Annotator<'_> {
    pub(super) fn place(&self, expression: &Expr) -> Option<usize> {
        if let Some((SiteKind::Meeting(Meeting::Array), places)) = self.site_of(expression) {
            return places.site;
        }
        let place = self.source.as_ref()?.place_of(expression.span().start)?;
        Some(self.subquery_place(place).unwrap_or(place))
    }

    /// The parenthesis of a subquery, or the EXISTS before it, where a query begins at a place.
    fn subquery_place(&self, place: usize) -> Option<usize> {
        const EXISTS: &str = "exists";
        let text = self.source.as_ref()?.text();
        let start = self.source.as_ref()?.byte_at(place)?;
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let word = text[start..].split(|letter| !is_part(letter)).next().unwrap_or_default();
        if !["select", "with"].iter().any(|first| word.eq_ignore_ascii_case(first)) {
            return None;
        }
        let open = text[..start].trim_end().strip_suffix('(')?;
        let before = open.trim_end();
        let exists = before.len().checked_sub(EXISTS.len());
        let exists = exists.filter(|at| before.get(*at..).is_some_and(|text| text.eq_ignore_ascii_case(EXISTS)));
        Some(self.source.as_ref()?.place_at(exists.unwrap_or(open.len())))
    }

    /// Where an operator stands: the first time its symbol comes after the left operand.
    pub(super) fn operator_place(&self, left: &Expr, operator: &BinaryOperator) -> Option<usize> {
        let source = self.source.as_ref()?;
        let end = left.span().end;
        source.place_of(end)?;
        let byte = source.byte_of(end);
        let rest = source.text().get(byte..)?;
        let found = match keywords(operator) {
            // The word may be the one or the other; both stand right behind the operand.
            Some(words) => {
                let text = rest.to_ascii_lowercase();
                words.iter().filter_map(|word| text.find(word)).min()?
            }
            None => rest.find(&operator.to_string())?,
        };
        Some(source.place_at(byte + found))
    }

    /// Where a word, in small letters, stands for the first time after an expression.
    pub(super) fn word_after(&self, expression: &Expr, word: &str) -> Option<usize> {
        let source = self.source.as_ref()?;
        let end = expression.span().end;
        source.place_of(end)?;
        let byte = source.byte_of(end);
        let found = source.text().get(byte..)?.to_ascii_lowercase().find(word)?;
        Some(source.place_at(byte + found))
    }

    /// The site that an expression became.
    pub(super) fn site_of(&self, expression: &Expr) -> Option<&(SiteKind, Places)> {
        let Expr::Function(function) = expression else { return None };
        let name = &function.name.0.first()?.as_ident()?.value;
        self.sites.kinds.get(name.strip_prefix(PREFIX)?.parse::<usize>().ok()?)
    }

    /// The text of a literal number that was made a numeric, which may have more digits than that holds.
    pub(super) fn numeric_literal(&self, expression: &Expr) -> Option<Expr> {
        let expression = bare(expression);
        let (SiteKind::Cast(SqlType::Numeric { declared: false, .. }) | SiteKind::LongNumber, places) =
            self.site_of(expression)?
        else {
            return None;
        };
        let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = expression else { return None };
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(text))] = list.args.as_slice() else { return None };
        // What the user has cast stands behind its operand.
        (places.site == places.operands.first().copied().flatten()).then(|| text.clone())
    }

    /// The digits of a literal number that became a text, which is cast to a numeric.
    pub(super) fn digits_as_text(&self, expression: &Expr) -> Option<(String, Span)> {
        let Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(digits), span }) =
            self.numeric_literal(expression)?
        else {
            return None;
        };
        let source = self.source.as_ref()?;
        let start = source.byte_at(source.place_of(span.start)?)?;
        let first = source.text()[start..].chars().next()?;
        // The text of `numeric '1'` begins with a quote.
        (first.is_ascii_digit() || first == '.').then_some((digits, span))
    }

    /// Where a cast stands: at its `::`, or at the word CAST.
    pub(super) fn cast_place(&self, operand: &Expr, kind: &CastKind) -> Option<usize> {
        let source = self.source.as_ref()?;
        let (start, end) = (operand.span().start, operand.span().end);
        source.place_of(start)?;
        let byte = match kind {
            CastKind::DoubleColon => {
                let inner = self.site_of(operand).and_then(|(_, places)| places.site);
                let behind_inner = inner.and_then(|place| source.byte_at(place + 1)).unwrap_or(0);
                let end = source.byte_of(end).max(behind_inner);
                end + source.text().get(end..)?.find("::")?
            }
            _ => last_word(source.text().get(..source.byte_of(start))?, "cast")?,
        };
        Some(source.place_at(byte))
    }

    /// Where the word behind a `::` starts.
    pub(super) fn after_symbol(&self, place: usize) -> Option<usize> {
        let source = self.source.as_ref()?;
        let behind = source.byte_at(place + 2).map_or("", |byte| &source.text()[byte..]).chars();
        Some(place + 2 + behind.take_while(|character| character.is_whitespace()).count())
    }

    /// Where the name of a type stands that is not the parser's.
    pub(super) fn name_place(&self, data_type: &DataType) -> Option<usize> {
        let DataType::Custom(name, _) = data_type else { return None };
        self.source.as_ref()?.place_of(name.span().start)
    }

    /// Where a symbol before an operand stands.
    pub(super) fn symbol_before(&self, place: usize, symbol: &str) -> Option<usize> {
        let source = self.source.as_ref()?;
        let byte = source.text()[..source.byte_at(place)?].rfind(symbol)?;
        Some(source.place_at(byte))
    }
}

/// Where a word, in whatever letters, stands last in a text.
fn last_word(text: &str, word: &str) -> Option<usize> {
    text.as_bytes().windows(word.len()).rposition(|found| found.eq_ignore_ascii_case(word.as_bytes()))
}

/// The words that may stand for an operator that has some.
fn keywords(operator: &BinaryOperator) -> Option<&'static [&'static str]> {
    use BinaryOperator as B;
    match operator {
        B::PGLikeMatch => Some(&["like", "~~"]),
        B::PGILikeMatch => Some(&["ilike", "~~*"]),
        B::PGNotLikeMatch => Some(&["not", "!~~"]),
        B::PGNotILikeMatch => Some(&["not", "!~~*"]),
        _ => None,
    }
}
