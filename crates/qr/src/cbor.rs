//! The few heads of deterministic CBOR (RFC 8949 section 4.2.1) that a token is written with.
//!
//! Written by hand, because a busy gateway writes a hundred thousand tokens a second. Reading is left to libraries, and tests hold
//! that they write the same bytes.

/// An unsigned number in its shortest form.
pub(crate) fn unsigned(to: &mut Vec<u8>, value: u64) {
    head(to, 0, value);
}

/// A byte string.
pub(crate) fn bytes(to: &mut Vec<u8>, value: &[u8]) {
    bytes_head(to, value.len());
    to.extend_from_slice(value);
}

/// The head of a byte string whose content the caller writes.
pub(crate) fn bytes_head(to: &mut Vec<u8>, length: usize) {
    head(to, 2, length as u64);
}

/// A text string.
pub(crate) fn text(to: &mut Vec<u8>, value: &str) {
    head(to, 3, value.len() as u64);
    to.extend_from_slice(value.as_bytes());
}

/// The head of an array.
pub(crate) fn array(to: &mut Vec<u8>, items: usize) {
    head(to, 4, items as u64);
}

/// The head of a map.
pub(crate) fn map(to: &mut Vec<u8>, pairs: usize) {
    head(to, 5, pairs as u64);
}

/// -1, which has one byte.
pub(crate) const MINUS_1: u8 = 0x20;
/// -7, which has one byte.
pub(crate) const MINUS_7: u8 = 0x26;

/// How many bytes the head of `argument` has.
pub(crate) const fn head_length(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

fn head(to: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let [a, b, c, d, e, f, g, h] = argument.to_be_bytes();
    match head_length(argument) {
        1 => to.push(major | h),
        2 => to.extend_from_slice(&[major | 24, h]),
        3 => to.extend_from_slice(&[major | 25, g, h]),
        5 => to.extend_from_slice(&[major | 26, e, f, g, h]),
        _ => to.extend_from_slice(&[major | 27, a, b, c, d, e, f, g, h]),
    }
}

#[cfg(test)]
mod tests {
    use ciborium::Value;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes);
        bytes
    }

    fn by_ciborium(value: impl Into<Value>) -> Vec<u8> {
        written(|to| ciborium::into_writer(&value.into(), to).unwrap())
    }

    #[test]
    fn numbers_are_written_as_ciborium_writes_them() {
        for boundary in [0, 24, 0x100, 0x1_0000, 0x1_0000_0000, u64::MAX] {
            for value in [boundary.wrapping_sub(1), boundary, boundary.wrapping_add(1)] {
                let bytes = written(|to| unsigned(to, value));
                assert_eq!(bytes, by_ciborium(value), "{value}");
                assert_eq!(bytes.len(), head_length(value), "{value}");
            }
        }
        assert_eq!((vec![MINUS_1], vec![MINUS_7]), (by_ciborium(-1), by_ciborium(-7)));
    }

    #[test]
    fn strings_arrays_and_maps_are_written_as_ciborium_writes_them() {
        for length in [0, 1, 23, 24, 255, 256] {
            let content = "x".repeat(length);
            assert_eq!(written(|to| text(to, &content)), by_ciborium(content.as_str()), "{length}");
            assert_eq!(written(|to| bytes(to, content.as_bytes())), by_ciborium(content.as_bytes()), "{length}");
            let zeros = vec![Value::from(0); length];
            let array = written(|to| {
                array(to, length);
                to.extend(std::iter::repeat_n(0, length));
            });
            assert_eq!(array, by_ciborium(Value::Array(zeros.clone())), "{length}");
            let map = written(|to| {
                map(to, length);
                to.extend(std::iter::repeat_n(0, 2 * length));
            });
            assert_eq!(map, by_ciborium(Value::Map(zeros.iter().cloned().zip(zeros.clone()).collect())), "{length}");
        }
    }
}
