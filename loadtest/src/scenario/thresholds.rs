//! What a run must reach. What is not named is not judged; the books always are.

use serde::Deserialize;

/// Thresholds, all optional. Times are milliseconds and are counted from the *intended* beginning of what they measure.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// Of a hundred honest customers, how many left with their cash at least.
    pub paid_percent_min: Option<f64>,
    /// The same of those who arrived while no fault was on and none had ended in the last ten seconds.
    pub paid_percent_without_fault_min: Option<f64>,
    /// How many customers may leave without cash after they scanned, for whatever reason.
    pub failed_max: Option<u32>,
    /// How many customers may have to scan more than one code.
    pub scanned_again_max: Option<u32>,
    /// 99th percentile from the intended touch to the code.
    pub code_p99_ms_max: Option<u32>,
    /// 99th percentile of `Scan`.
    pub scan_p99_ms_max: Option<u32>,
    /// 99th percentile of `Approve`.
    pub approve_p99_ms_max: Option<u32>,
    /// 99th percentile from the approval's leaving the phone to the command's arrival at the ATM.
    pub dispense_p99_ms_max: Option<u32>,
    /// 99th percentile of the whole visit, without the customer's own time.
    pub whole_p99_ms_max: Option<u32>,
    /// 99th percentile from an ATM's loss of its line to its next Welcome, or from its first dial to it.
    pub connect_p99_ms_max: Option<u32>,
    /// Seconds after the end of the last fault until a second in which every honest customer was served, and from which on 99 of 100 were.
    pub recovered_s_max: Option<u32>,
    /// Of a hundred thieves, how many left with cash at most.
    pub thieves_paid_percent_max: Option<f64>,
    /// The gateway's memory at its highest, in MiB (resident set).
    pub gateway_rss_mib_max: Option<u32>,
    /// How much the gateway's memory grew from the middle of the run to its end, in MiB.
    pub gateway_rss_growth_mib_max: Option<u32>,
    /// 99th percentile of how late the generator itself was; above this the figures say nothing about the gateway. 100 if not named.
    pub generator_late_p99_ms_max: Option<u32>,
    /// How many withdrawals may be left for a person to decide. None if not named.
    pub suspects_max: Option<u32>,
}

impl Thresholds {
    pub(super) fn problems(&self) -> Vec<String> {
        let percents = [
            ("paid_percent_min", self.paid_percent_min),
            ("paid_percent_without_fault_min", self.paid_percent_without_fault_min),
            ("thieves_paid_percent_max", self.thieves_paid_percent_max),
        ];
        let wrong =
            percents.into_iter().filter(|(_, value)| value.is_some_and(|value| !(0.0..=100.0).contains(&value)));
        wrong.map(|(key, _)| format!("thresholds.{key}: must be 0 to 100")).collect()
    }
}
