//! Numbers for a person.

/// An amount: `30,000 yen`.
pub(crate) fn yen(amount: i64) -> String {
    format!("{} yen", grouped(amount))
}

/// A number with commas.
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        let shown: Vec<String> = [0, 999, 1_000, 30_000, -1_234_567].map(grouped).into();
        assert_eq!(shown, ["0", "999", "1,000", "30,000", "-1,234,567"]);
    }
}
