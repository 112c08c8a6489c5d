//! The percentile distribution of a histogram as HdrHistogram's own tools write and plot it (`.hgrm`).

#![allow(clippy::float_arithmetic, reason = "percentiles; no money")]

use std::fmt::Write;

use hdrhistogram::Histogram;

/// Half of what is left is looked at in so many steps.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// In milliseconds. The recorded values are microseconds.
pub(super) fn distribution(histogram: &Histogram<u64>) -> String {
    let mut text = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut count = 0_u64;
    for step in histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        count += step.count_since_last_iteration();
        let (value, quantile) = (milliseconds(step.value_iterated_to()), step.quantile_iterated_to());
        // Writing into a text cannot fail.
        let _ = if quantile < 1.0 {
            writeln!(text, "{value:12.3} {quantile:2.12} {count:10} {:14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(text, "{value:12.3} {quantile:2.12} {count:10}")
        };
    }
    let _ = writeln!(
        text,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n#[Max     = {:12.3}, Total count    = {:12}]\n#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.mean() / 1_000.0,
        histogram.stdev() / 1_000.0,
        milliseconds(histogram.max()),
        histogram.len(),
        histogram.buckets(),
        2_048,
    );
    text
}

#[allow(clippy::cast_precision_loss, reason = "ten minutes are 6e8 microseconds")]
fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_ends_at_the_largest_value_and_counts_all() {
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        for ms in 1..=100_u64 {
            histogram.record(ms * 1_000).unwrap();
        }
        let text = distribution(&histogram);
        assert!(text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"), "{text}");
        assert!(text.contains("Total count    =          100"), "{text}");
        let last = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        let fields: Vec<&str> = last.split_whitespace().collect();
        assert_eq!((fields[1], fields[2]), ("1.000000000000", "100"), "{text}");
        assert!(fields[0].starts_with("100."), "{text}");
    }
}
