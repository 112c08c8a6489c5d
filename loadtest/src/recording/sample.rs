//! What gateway and generator used in a second.

use std::time::Duration;

/// One look, usually a second after the last. What could not be seen is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// When, since the load began.
    pub at: Duration,
    /// CPU time of the gateway since the last look, in hundredths of one core.
    pub gateway_cpu_percent: Option<f64>,
    /// Its resident memory, in KiB.
    pub gateway_rss_kib: Option<u64>,
    /// CPU time of this process since the last look, in hundredths of one core.
    pub generator_cpu_percent: Option<f64>,
    /// Calls that wait for an HSM.
    pub hsm_queue: Option<f64>,
    /// HSM signatures a second since the last look.
    pub hsm_signatures_per_s: Option<f64>,
    /// QR tokens minted a second since the last look.
    pub qr_tokens_per_s: Option<f64>,
    /// Durable steps of withdrawals a second since the last look.
    pub durable_steps_per_s: Option<f64>,
    /// ATMs whose stream is open, as this process sees it.
    pub atms_connected: u64,
    /// Customers in front of machines, or waiting for one.
    pub customers: u64,
}
