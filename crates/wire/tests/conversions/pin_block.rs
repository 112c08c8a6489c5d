//! An encrypted PIN goes through unseen and unchanged.

use cashgate_wire::corebank::place_hold;
use cashgate_wire::customer::{ApproveRequest, approve};
use cashgate_wire::proto::customer::v1::PinBlock;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use crate::given::{approve_request, terms};

fn approved_with(pin: PinBlock) -> ApproveRequest {
    let mut request = approve_request();
    request.pin_block = Some(pin);
    approve(request).unwrap()
}

fn sample() -> PinBlock {
    PinBlock { block: vec![0xa5; 16], key_serial_number: vec![0x5a; 10] }
}

/// Whether a text shows the bytes of [`sample`] in one of the ways in which bytes are printed.
fn shows(printed: &str) -> bool {
    let printed = printed.to_lowercase();
    ["165", "90", "a5", "5a"].iter().any(|shown| printed.contains(shown))
}

proptest! {
    #[test]
    fn core_banking_gets_the_bytes_that_the_app_sent(
        block in prop_oneof![vec(any::<u8>(), 8), vec(any::<u8>(), 16)], key_serial_number in vec(any::<u8>(), 0..=16),
    ) {
        let sent = PinBlock { block, key_serial_number };
        let passed = place_hold(&terms(), approved_with(sent.clone()).pin_block).pin_block.unwrap();
        prop_assert_eq!(passed.encode_to_vec(), sent.encode_to_vec());
    }
}

#[test]
fn an_approval_does_not_print_its_pin_block() {
    assert_eq!(format!("{:?}", approved_with(sample()).pin_block), "Some(PinBlock(..))");
    let pretty = format!("{:#?}", approved_with(sample()).pin_block.unwrap());
    assert_eq!(pretty, "PinBlock(..)");
}

#[test]
fn the_message_to_core_banking_does_not_print_it_either() {
    let request = place_hold(&terms(), approved_with(sample()).pin_block);
    let printed = format!("{:?}", request.pin_block);
    assert!(!shows(&printed), "{printed}");
}
