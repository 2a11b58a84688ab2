//! Which bodies the codec may see.

use super::*;

fn objection(message_type: u8, body: &[u8]) -> Objection {
    check(message_type, body).unwrap_err()
}

#[test]
fn whole_bodies_pass() {
    for (message_type, body) in [
        (b'Q', &b"SELECT 1\0"[..]),
        (b'P', b"s\0SELECT 1\0\0\x01\0\0\0\x17"),
        (b'D', b"Ss\0"),
        (b'C', b"P\0"),
        (b'E', b"p\0\0\0\0\x05"),
        (b'S', b""),
        (b'H', b""),
        (b'c', b""),
        (b'X', b""),
        (b'f', b"why\0"),
    ] {
        assert_eq!(check(message_type, body), Ok(()), "{}", message_type as char);
    }
}

/// A Bind with this body.
fn bind(body: &[u8]) -> Result<Bind, Objection> {
    Bind::read(&[&b"B\0\0\0\0"[..], body].concat().into())
}

const BIND_BODY: &[u8] = b"p\0s\0\0\x01\0\x01\0\x03\xff\xff\xff\xff\0\0\0\x01x\0\0\0\0\0\x01\0\0";

#[test]
fn parameters_of_a_bind_stay_where_they_lie() {
    let bind = bind(BIND_BODY).unwrap();
    assert_eq!((bind.portal.as_str(), bind.statement.as_str()), ("p", "s"));
    assert_eq!((bind.parameter_formats, bind.result_formats), (vec![1], vec![0]));
    let values: Vec<_> = bind.parameters.iter().map(|place| place.clone().map(|place| &bind.values[place])).collect();
    assert_eq!(values, [None, Some(&b"x"[..]), Some(&b""[..])]);
}

#[test]
fn every_cut_of_a_bind_is_refused() {
    for end in 0..BIND_BODY.len() {
        assert!(bind(&BIND_BODY[..end]).is_err(), "{end}");
    }
    assert!(bind(&[BIND_BODY, b"x"].concat()).is_err());
}

#[test]
fn a_value_that_is_cut_is_told_by_its_number() {
    for (portal, place) in [("", "unnamed portal parameter $2"), ("p", "portal \"p\" parameter $2")] {
        let objection = bind(&[portal.as_bytes(), b"\0s\0\0\0\0\x02\xff\xff\xff\xff\0\0\0\x09x"].concat()).unwrap_err();
        assert_eq!(objection.message, "insufficient data left in message");
        assert_eq!(objection.context.as_deref(), Some(place));
    }
}

#[test]
fn names_of_a_bind_are_texts() {
    let objection = bind(b"\xc3(\0s\0\0\0\0\0\0\0").unwrap_err();
    assert_eq!(objection.message, "invalid byte sequence for encoding \"UTF8\": 0xc3");
}

#[test]
fn the_first_bad_byte_of_a_text_is_named() {
    assert_eq!(objection(b'Q', b"ab\xc3(\0").message, "invalid byte sequence for encoding \"UTF8\": 0xc3");
}

#[test]
fn every_type_without_a_limit_is_one_that_clients_cannot_send() {
    let known: Vec<u8> = (0..=u8::MAX).filter(|message_type| length_max(*message_type).is_some()).collect();
    assert_eq!(known, b"BCDEFHPQSXcdfp");
}
