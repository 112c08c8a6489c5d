//! What the app shows its customer: words that a real app has to have as well.

use cashgate_wire::proto::customer::v1::ScanResponse;

/// After a scan: which machine would pay. The customer compares it with the one in front of him; a code that was photographed elsewhere shows
/// another.
#[must_use]
pub fn after_scan(scan: &ScanResponse) -> String {
    let ScanResponse { atm_name, atm_place, .. } = scan;
    format!("The cash will come out of {atm_name}, {atm_place}. Go on only if that is the machine in front of you.")
}

/// With a code that is to be typed at the machine: who may know it, and where it belongs.
#[must_use]
pub fn with_confirm_code(code: &str) -> String {
    format!(
        "Type {code} at the machine in front of you, and nowhere else. Tell it to nobody: neither the bank nor the police will ever ask for it."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_named_with_its_place() {
        let scan =
            ScanResponse { atm_name: "ATM A1".into(), atm_place: "Shibuya, Tokyo".into(), ..ScanResponse::default() };
        let shown = after_scan(&scan);
        assert!(shown.contains("ATM A1") && shown.contains("Shibuya, Tokyo"), "{shown}");
    }

    #[test]
    fn a_code_comes_with_who_may_know_it_and_where_it_is_typed() {
        let shown = with_confirm_code("0417");
        for words in ["0417", "at the machine in front of you, and nowhere else", "to nobody"] {
            assert!(shown.contains(words), "{shown}");
        }
    }
}
