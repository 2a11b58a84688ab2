//! Errors as a user meets them: what kind, what to say, where.
//!
//! `ErrorKind` has one variant for each thing that a client may want to tell apart. The SQLSTATE for each stands in the
//! server room; this room only says what happened. Messages are PostgreSQL's: lowercase, no full stop; detail and hint are sentences.

use std::fmt;
use storage::error::StorageError;

/// What went wrong. Adding a variant breaks the build in the server's table of SQLSTATEs, on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    Syntax,
    UndefinedTable,
    /// What is asked for was before the past that is kept.
    SnapshotTooOld,
    UndefinedColumn,
    UndefinedFunction,
    UndefinedObject,
    UndefinedSchema,
    UndefinedDatabase,
    UndefinedCursor,
    UndefinedStatement,
    UndefinedParameter,
    AmbiguousColumn,
    AmbiguousFunction,
    AmbiguousParameter,
    DuplicateTable,
    DuplicateColumn,
    DuplicateSchema,
    DuplicateCursor,
    DuplicateStatement,
    DuplicateObject,
    DuplicateAlias,
    Grouping,
    Windowing,
    InvalidRecursion,
    DatatypeMismatch,
    IndeterminateDatatype,
    WrongObjectType,
    InvalidColumnReference,
    InvalidColumnDefinition,
    InvalidTableDefinition,
    InvalidObjectDefinition,
    InvalidParameterValue,
    CannotCoerce,
    DependentObjects,
    FeatureNotSupported,
    DivisionByZero,
    NumericOutOfRange,
    InvalidTextRepresentation,
    InvalidBinaryRepresentation,
    InvalidDatetimeFormat,
    DatetimeOutOfRange,
    /// Of a time zone.
    DisplacementOutOfRange,
    IntervalOutOfRange,
    StringTooLong,
    CharacterNotInRepertoire,
    UntranslatableCharacter,
    InvalidRegularExpression,
    InvalidArgumentForLimit,
    InvalidArgumentForOffset,
    InvalidSubstringLength,
    InvalidLogarithmArgument,
    InvalidPowerArgument,
    InvalidBucketArgument,
    ArraySubscript,
    NameTooLong,
    InvalidName,
    UndefinedFile,
    NullNotAllowed,
    InvalidFrameOffset,
    InvalidTablesampleArgument,
    InvalidNtileArgument,
    InvalidNthValueArgument,
    DataException,
    InvalidEscapeSequence,
    SqlJsonMemberNotFound,
    SqlJsonArrayNotFound,
    SqlJsonObjectNotFound,
    SqlJsonNumberNotFound,
    InvalidSqlJsonSubscript,
    NonNumericSqlJsonItem,
    SingletonSqlJsonItemRequired,
    CardinalityViolation,
    NotNullViolation,
    UniqueViolation,
    CheckViolation,
    GeneratedAlways,
    SequenceLimit,
    BadCopyFormat,
    ActiveTransaction,
    NoActiveTransaction,
    InFailedTransaction,
    ReadOnlyTransaction,
    InvalidSavepoint,
    SerializationFailure,
    ObjectNotReady,
    /// A setting that only the server's start gives a value.
    FixedAtStart,
    ObjectInUse,
    QueryCanceled,
    StatementTimeout,
    AdminShutdown,
    IdleInTransaction,
    IdleSession,
    OutOfMemory,
    DiskFull,
    TooManyConnections,
    ProgramLimitExceeded,
    TooManyColumns,
    StatementTooComplex,
    InsufficientPrivilege,
    ProtocolViolation,
    ReadOnlyServer,
    IoError,
    DataCorrupted,
    Internal,
}

/// PostgreSQL's routines that drivers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routine {
    /// pgjdbc, asyncpg and postgres.js prepare the statement again.
    RevalidateCachedQuery,
}

impl Routine {
    /// As PostgreSQL's source calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RevalidateCachedQuery => "RevalidateCachedQuery",
        }
    }
}

/// An error with all that PostgreSQL's protocol can carry of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct QueryError {
    pub kind: ErrorKind,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// 1-based character (not byte) offset in the text that the client sent.
    pub position: Option<usize>,
    /// The context line (`COPY sales, line 3, column amount: "x"`).
    pub context: Option<String>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
    /// The routine that would have found the error in PostgreSQL, where clients go by it.
    pub routine: Option<Routine>,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl QueryError {
    /// What storage says of a file.
    pub(crate) fn of_storage(error: &StorageError) -> Self {
        let kind = match error {
            StorageError::DiskFull { .. } => ErrorKind::DiskFull,
            StorageError::Corrupted { .. } => ErrorKind::DataCorrupted,
            _ => ErrorKind::IoError,
        };
        let told = Self::new(kind, error.to_string());
        match error.hint() {
            Some(hint) => told.hint(hint),
            None => told,
        }
    }

    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            context: None,
            schema: None,
            table: None,
            column: None,
            constraint: None,
            routine: None,
        }
    }

    /// Drivers know by the routine what an SQLSTATE alone does not tell.
    pub fn routine(mut self, routine: Routine) -> Self {
        self.routine = Some(routine);
        self
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn position(mut self, position: Option<usize>) -> Self {
        self.position = position.or(self.position);
        self
    }

    /// For a statement whose errors have no place, or one that the client did not write.
    pub fn without_position(mut self) -> Self {
        self.position = None;
        self
    }

    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// Adds a line to the context, below what is there.
    pub fn within(mut self, line: impl Into<String>) -> Self {
        let line = line.into();
        self.context = Some(match self.context {
            Some(inner) => format!("{inner}\n{line}"),
            None => line,
        });
        self
    }

    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = Some(table.into());
        self
    }

    pub fn column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }

    /// Something that Meridian does not have; say what to do instead in the hint.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::FeatureNotSupported, format!("{what} is not supported"))
    }
}

/// What a NOTICE says; the statement went on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub severity: NoticeSeverity,
    /// What it is about, where PostgreSQL gives it a code of its own.
    pub kind: Option<ErrorKind>,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeSeverity {
    Notice,
    Warning,
    Info,
}
