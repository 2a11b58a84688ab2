//! Needles are where a loop over the bytes finds them.

use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn every_needle_is_found_and_nothing_else(
        bytes in proptest::collection::vec(prop_oneof![Just(b','), Just(b'\n'), Just(b'"'), any::<u8>()], 1..200),
        at in 0..200usize,
    ) {
        let at = at % bytes.len();
        let needles = Needles::new(b',', b'\n', b'"');
        let block = bytes[at..].iter().take(Needles::BLOCK_BYTES).enumerate();
        let expected = block.filter(|(_, byte)| b",\n\"".contains(byte)).fold(0, |hits, (place, _)| hits | 1u64 << place);
        prop_assert_eq!(needles.find(&bytes, at), expected);
    }
}
