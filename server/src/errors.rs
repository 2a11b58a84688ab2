//! SQLSTATEs: what an error is called on the wire.
//!
//! This is the one file of the program that spells SQLSTATE strings. The rooms below say what happened with an
//! [`ErrorKind`]; the match here has no catch-all, so that a new kind breaks the build until it has a code.
//! The codes are those of PostgreSQL's appendix A.

use pgwire::messages::response::{ErrorResponse, NoticeResponse};
use query::error::{ErrorKind, Notice, NoticeSeverity, QueryError, Routine};

/// Why a connection is refused or ended by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fatal {
    Error(Box<QueryError>),
    InvalidPassword { user: String },
    UserMissing,
    ShuttingDown,
}

impl Fatal {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::from(QueryError::new(kind, message))
    }

    /// A client that does not keep to the protocol.
    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::ProtocolViolation, message)
    }

    /// What a client hears when the server is stopped under it.
    pub(crate) fn administrator() -> Self {
        Self::new(ErrorKind::AdminShutdown, "terminating connection due to administrator command")
    }

    /// A mistake of ours that was caught before it reached another connection.
    pub(crate) fn internal() -> Self {
        Self::from(QueryError::new(ErrorKind::Internal, "internal error").hint("The server's log says more."))
    }

    pub(crate) fn sqlstate(&self) -> &'static str {
        match self {
            Self::Error(error) => sqlstate(error.kind),
            Self::InvalidPassword { .. } => "28P01",
            Self::UserMissing => "28000",
            Self::ShuttingDown => "57P03",
        }
    }

    pub(crate) fn message(&self) -> String {
        match self {
            Self::Error(error) => error.message.clone(),
            Self::InvalidPassword { user } => format!("password authentication failed for user \"{user}\""),
            Self::UserMissing => "no PostgreSQL user name specified in startup packet".to_string(),
            Self::ShuttingDown => "the database system is shutting down".to_string(),
        }
    }

    /// The message that ends the connection.
    pub(crate) fn response(&self) -> ErrorResponse {
        ErrorResponse::new(match self {
            Self::Error(error) => fields("FATAL", self.sqlstate(), error),
            _ => headline("FATAL", self.sqlstate(), &self.message()),
        })
    }
}

impl From<QueryError> for Fatal {
    fn from(error: QueryError) -> Self {
        Self::Error(Box::new(error))
    }
}

/// The ErrorResponse for a statement that failed; the connection goes on.
pub(crate) fn error_response(error: &QueryError) -> ErrorResponse {
    ErrorResponse::new(fields("ERROR", sqlstate(error.kind), error))
}

/// The NoticeResponse for something worth saying about a statement that went on.
pub(crate) fn notice_response(notice: &Notice) -> NoticeResponse {
    let (severity, code) = match notice.severity {
        NoticeSeverity::Warning => ("WARNING", "01000"),
        NoticeSeverity::Notice => ("NOTICE", "00000"),
        NoticeSeverity::Info => ("INFO", "00000"),
    };
    let code = notice.kind.map_or(code, sqlstate);
    let mut fields = headline(severity, code, &notice.message);
    push(&mut fields, b'D', notice.detail.as_deref());
    push(&mut fields, b'H', notice.hint.as_deref());
    NoticeResponse::new(fields)
}

/// The SQLSTATE of an error.
pub(crate) fn sqlstate(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ProtocolViolation => "08P01",
        ErrorKind::FeatureNotSupported => "0A000",
        ErrorKind::CardinalityViolation => "21000",
        ErrorKind::StringTooLong => "22001",
        ErrorKind::NumericOutOfRange => "22003",
        ErrorKind::InvalidDatetimeFormat => "22007",
        ErrorKind::DatetimeOutOfRange => "22008",
        ErrorKind::DisplacementOutOfRange => "22009",
        ErrorKind::DivisionByZero => "22012",
        ErrorKind::IntervalOutOfRange => "22015",
        ErrorKind::InvalidSqlJsonSubscript => "22033",
        ErrorKind::NonNumericSqlJsonItem => "22036",
        ErrorKind::SingletonSqlJsonItemRequired => "22038",
        ErrorKind::SqlJsonArrayNotFound => "22039",
        ErrorKind::SqlJsonMemberNotFound => "2203A",
        ErrorKind::SqlJsonNumberNotFound => "2203B",
        ErrorKind::SqlJsonObjectNotFound => "2203C",
        ErrorKind::CharacterNotInRepertoire => "22021",
        ErrorKind::UntranslatableCharacter => "22P05",
        ErrorKind::InvalidParameterValue => "22023",
        ErrorKind::InvalidRegularExpression => "2201B",
        ErrorKind::InvalidArgumentForLimit => "2201W",
        ErrorKind::InvalidArgumentForOffset => "2201X",
        ErrorKind::InvalidSubstringLength => "22011",
        ErrorKind::InvalidLogarithmArgument => "2201E",
        ErrorKind::InvalidPowerArgument => "2201F",
        ErrorKind::InvalidBucketArgument => "2201G",
        ErrorKind::ArraySubscript => "2202E",
        ErrorKind::NullNotAllowed => "22004",
        ErrorKind::InvalidFrameOffset => "22013",
        ErrorKind::InvalidTablesampleArgument => "2202H",
        ErrorKind::InvalidNtileArgument => "22014",
        ErrorKind::InvalidNthValueArgument => "22016",
        ErrorKind::DataException => "22000",
        ErrorKind::SequenceLimit => "2200H",
        ErrorKind::InvalidEscapeSequence => "22025",
        ErrorKind::InvalidTextRepresentation => "22P02",
        ErrorKind::InvalidBinaryRepresentation => "22P03",
        ErrorKind::BadCopyFormat => "22P04",
        ErrorKind::NotNullViolation => "23502",
        ErrorKind::UniqueViolation => "23505",
        ErrorKind::CheckViolation => "23514",
        ErrorKind::ActiveTransaction => "25001",
        ErrorKind::ReadOnlyTransaction | ErrorKind::ReadOnlyServer => "25006",
        ErrorKind::NoActiveTransaction => "25P01",
        ErrorKind::InFailedTransaction => "25P02",
        ErrorKind::IdleInTransaction => "25P03",
        ErrorKind::UndefinedStatement => "26000",
        ErrorKind::DependentObjects => "2BP01",
        ErrorKind::UndefinedCursor => "34000",
        ErrorKind::InvalidSavepoint => "3B001",
        ErrorKind::UndefinedDatabase => "3D000",
        ErrorKind::UndefinedSchema => "3F000",
        ErrorKind::SerializationFailure => "40001",
        ErrorKind::InsufficientPrivilege => "42501",
        ErrorKind::Syntax => "42601",
        ErrorKind::DuplicateColumn => "42701",
        ErrorKind::AmbiguousColumn => "42702",
        ErrorKind::UndefinedColumn => "42703",
        ErrorKind::UndefinedObject => "42704",
        ErrorKind::DuplicateObject => "42710",
        ErrorKind::DuplicateAlias => "42712",
        ErrorKind::AmbiguousFunction => "42725",
        ErrorKind::AmbiguousParameter => "42P08",
        ErrorKind::Grouping => "42803",
        ErrorKind::DatatypeMismatch => "42804",
        ErrorKind::WrongObjectType => "42809",
        ErrorKind::GeneratedAlways => "428C9",
        ErrorKind::CannotCoerce => "42846",
        ErrorKind::UndefinedFunction => "42883",
        ErrorKind::UndefinedTable => "42P01",
        ErrorKind::UndefinedParameter => "42P02",
        ErrorKind::DuplicateCursor => "42P03",
        ErrorKind::DuplicateStatement => "42P05",
        ErrorKind::DuplicateSchema => "42P06",
        ErrorKind::DuplicateTable => "42P07",
        ErrorKind::InvalidName => "42602",
        ErrorKind::InvalidColumnDefinition => "42611",
        ErrorKind::NameTooLong => "42622",
        ErrorKind::InvalidColumnReference => "42P10",
        ErrorKind::InvalidTableDefinition => "42P16",
        ErrorKind::InvalidObjectDefinition => "42P17",
        ErrorKind::IndeterminateDatatype => "42P18",
        ErrorKind::Windowing => "42P20",
        ErrorKind::InvalidRecursion => "42P19",
        ErrorKind::DiskFull => "53100",
        ErrorKind::OutOfMemory => "53200",
        ErrorKind::TooManyConnections => "53300",
        ErrorKind::ProgramLimitExceeded => "54000",
        ErrorKind::StatementTooComplex => "54001",
        ErrorKind::TooManyColumns => "54011",
        ErrorKind::ObjectNotReady => "55000",
        ErrorKind::FixedAtStart => "55P02",
        ErrorKind::ObjectInUse => "55006",
        ErrorKind::QueryCanceled | ErrorKind::StatementTimeout => "57014",
        ErrorKind::AdminShutdown => "57P01",
        ErrorKind::IdleSession => "57P05",
        ErrorKind::IoError => "58030",
        ErrorKind::UndefinedFile => "58P01",
        ErrorKind::SnapshotTooOld => "72000",
        ErrorKind::Internal => "XX000",
        ErrorKind::DataCorrupted => "XX001",
    }
}

type Fields = Vec<(u8, String)>;

fn fields(severity: &str, code: &str, error: &QueryError) -> Fields {
    let mut fields = headline(severity, code, &error.message);
    push(&mut fields, b'D', error.detail.as_deref());
    push(&mut fields, b'H', error.hint.as_deref());
    push(&mut fields, b'P', error.position.map(|position| position.to_string()).as_deref());
    push(&mut fields, b'W', error.context.as_deref());
    push(&mut fields, b's', error.schema.as_deref());
    push(&mut fields, b't', error.table.as_deref());
    push(&mut fields, b'c', error.column.as_deref());
    push(&mut fields, b'n', error.constraint.as_deref());
    push(&mut fields, b'R', error.routine.map(Routine::name));
    fields
}

fn headline(severity: &str, code: &str, message: &str) -> Fields {
    let mut fields = Fields::new();
    for (field, text) in [(b'S', severity), (b'V', severity), (b'C', code), (b'M', message)] {
        push(&mut fields, field, Some(text));
    }
    fields
}

/// Fields end at their first NUL, so one that came in with a client's bytes must not end ours.
fn push(fields: &mut Fields, field: u8, text: Option<&str>) {
    if let Some(text) = text {
        fields.push((field, text.replace('\0', "\u{fffd}")));
    }
}

#[cfg(test)]
mod tests;
