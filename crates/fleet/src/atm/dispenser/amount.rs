//! Amounts as tokens write them: `50.00EUR`, `50000.00JPY`.
//!
//! The framework's comments, which come from the specification: a number that may have a fraction behind a `.`, both as ISO 4217 defines
//! them for the currency, then the currency's code in upper case. The yen has no minor unit; its tokens carry `.00` all the same, and a
//! fraction beyond the minor unit must be zero. The sample reads a fraction as a number of its own (`50.5EUR` is 5 cents there), so one
//! that is shorter than the minor unit could mean two things and is refused.

/// The digits behind the point of a currency, by ISO 4217.
fn minor_digits(currency: &str) -> usize {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "VND" | "VUV"
        | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// An amount in minor units as a token writes it, with at least two digits behind the point.
pub(super) fn written(minor_units: u64, currency: &str) -> String {
    let digits = minor_digits(currency);
    // The whole part has at least one digit.
    let text = format!("{minor_units:0>width$}", width = digits + 1);
    let (whole, fraction) = text.split_at(text.len() - digits);
    format!("{whole}.{fraction:0<2}{currency}")
}

/// Reads an amount: minor units and currency.
pub(super) fn read(text: &str) -> Option<(u64, &str)> {
    let (number, currency) = text.split_at_checked(text.len().checked_sub(3)?)?;
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let digits = minor_digits(currency);
    let (minor, beyond) = match fraction {
        Some(fraction) => fraction.split_at_checked(digits).filter(|_| !fraction.is_empty())?,
        None => ("", ""),
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let well_formed = !whole.is_empty()
        && all_digits(whole)
        && all_digits(minor)
        && beyond.bytes().all(|byte| byte == b'0')
        && currency.bytes().all(|byte| byte.is_ascii_uppercase());
    if !well_formed {
        return None;
    }
    // Without a fraction there are no minor units to read, only to fill up.
    let minor_units = format!("{whole}{minor:0<digits$}").parse().ok()?;
    Some((minor_units, currency))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_iso_4217_divides_them() {
        let rows = [
            (50_000, "JPY", "50000.00JPY"),
            (0, "JPY", "0.00JPY"),
            (5_000, "EUR", "50.00EUR"),
            (5, "EUR", "0.05EUR"),
            (1_205, "EUR", "12.05EUR"),
            (50_000, "KWD", "50.000KWD"),
            (7, "KWD", "0.007KWD"),
        ];
        for (minor_units, currency, text) in rows {
            assert_eq!(written(minor_units, currency), text);
            assert_eq!(read(text), Some((minor_units, currency)), "{text}");
        }
    }

    #[test]
    fn what_means_the_same_is_read_and_what_could_mean_two_things_is_not() {
        assert_eq!(read("50000JPY"), Some((50_000, "JPY")));
        assert_eq!(read("50000.0JPY"), Some((50_000, "JPY")));
        assert_eq!(read("50EUR"), Some((5_000, "EUR")));
        assert_eq!(read("50.000EUR"), Some((5_000, "EUR")));
        let refused = [
            "",
            "JPY",
            "1JP",
            ".5EUR",
            "1.EUR",
            "50.5EUR",
            "50.001EUR",
            "1.50JPY",
            "-1JPY",
            "+1JPY",
            "1 JPY",
            "1jpy",
            "1.00.00EUR",
            "1,00EUR",
            "1e3JPY",
            "99999999999999999999JPY",
            "1é",
        ];
        for text in refused {
            assert_eq!(read(text), None, "{text:?}");
        }
    }
}
