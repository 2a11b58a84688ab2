//! What of an error reaches the client.

use super::*;

fn shown(fields: &[(u8, String)]) -> String {
    fields.iter().map(|(field, text)| format!("{}={text};", *field as char)).collect()
}

#[test]
fn every_field_of_an_error_reaches_the_client() {
    let mut error = QueryError::new(ErrorKind::NotNullViolation, "null value")
        .detail("Failing row contains (null).")
        .hint("Give one.")
        .position(Some(7))
        .context("COPY t, line 1")
        .table("t")
        .column("a")
        .routine(Routine::RevalidateCachedQuery);
    error.schema = Some("public".to_string());
    error.constraint = Some("t_check".to_string());
    assert_eq!(
        shown(&error_response(&error).fields),
        "S=ERROR;V=ERROR;C=23502;M=null value;D=Failing row contains (null).;H=Give one.;P=7;W=COPY t, line 1;\
         s=public;t=t;c=a;n=t_check;R=RevalidateCachedQuery;"
    );
}

#[test]
fn a_nul_in_a_message_does_not_cut_the_message_short() {
    let error = QueryError::new(ErrorKind::InvalidTextRepresentation, "bad: \"a\0b\"");
    assert_eq!(error_response(&error).fields[3].1, "bad: \"a\u{fffd}b\"");
}

#[test]
fn a_warning_is_not_called_a_notice() {
    let notice = Notice {
        severity: NoticeSeverity::Warning,
        kind: None,
        message: "careful".to_string(),
        detail: None,
        hint: None,
    };
    assert_eq!(shown(&notice_response(&notice).fields), "S=WARNING;V=WARNING;C=01000;M=careful;");
}

#[test]
fn a_refused_password_names_the_user_and_nothing_else() {
    let fatal = Fatal::InvalidPassword { user: "ada".to_string() };
    assert_eq!(
        shown(&fatal.response().fields),
        "S=FATAL;V=FATAL;C=28P01;M=password authentication failed for user \"ada\";"
    );
}
