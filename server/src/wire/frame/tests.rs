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
        (b'B', b"p\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x01x\0\x01\0\0"),
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

#[test]
fn every_cut_of_a_bind_is_refused() {
    let body = b"p\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x01x\0\x01\0\0";
    for end in 0..body.len() {
        assert!(check(b'B', &body[..end]).is_err(), "{end}");
    }
}

#[test]
fn the_first_bad_byte_of_a_text_is_named() {
    assert_eq!(objection(b'Q', b"ab\xc3(\0"), Objection::BadText(0xc3));
}

#[test]
fn every_type_without_a_limit_is_one_that_clients_cannot_send() {
    let known: Vec<u8> = (0..=u8::MAX).filter(|message_type| length_max(*message_type).is_some()).collect();
    assert_eq!(known, b"BCDEFHPQSXcdfp");
}
