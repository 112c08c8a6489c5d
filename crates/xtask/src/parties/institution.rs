//! An institution's consumer of the event feed, which alerts its customers and its fraud desk.

use serde_json::Value;

use super::{SOON, text};
use crate::process::Process;
use crate::site::Site;

/// To the customer, on a contact that is older than the phone.
pub(crate) const CUSTOMER: &str = "customer_old_contact";
/// To the bank's analysts.
pub(crate) const FRAUD_DESK: &str = "fraud_desk";

/// Starts the consumer on its place in the feed.
pub(crate) fn listen(site: &Site, institution: &str) -> Result<Process, String> {
    let mut command = site.fleet("alerts");
    command.args(["--gateway", &format!("https://127.0.0.1:{}", site.ports().api)]);
    site.identify(&mut command, &format!("institution-{institution}"));
    command.arg("--state").arg(site.folder().join(format!("alerts-{institution}.json")));
    let name = format!("alerts-{institution}");
    Process::start(&name, &mut command, &site.log(&name))
}

/// Waits for what is said to `whom` about a phone, such as `refused`.
pub(crate) fn wait_for(consumer: &mut Process, whom: &str, about: &str, device: &str) -> Result<Value, String> {
    let is_it = |alert: &Value| {
        (text(alert, "alert"), text(alert, "about"), text(alert, "device_id"))
            == (whom.to_owned(), about.to_owned(), device.to_owned())
    };
    consumer.wait_for(&format!("{about} of {device} for {whom}"), SOON, is_it)
}
