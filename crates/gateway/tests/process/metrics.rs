//! What `/metrics` tells of customers, without telling who they are.

use crate::harness::{Atm, Phone, Site, yen};

const SERVED: &str = "rpc_server_call_duration_seconds_count";
const CALLED: &str = "rpc_client_call_duration_seconds_count";

#[tokio::test]
async fn every_call_is_counted_by_rpc_and_code() {
    let site = Site::ready().await;
    let approve = |code| {
        let site = &site;
        async move {
            let labels =
                [("rpc_method", "cashgate.customer.v1.CustomerService/Approve"), ("rpc_response_status_code", code)];
            site.metric(SERVED, &labels).await
        }
    };
    let page = site.page("/metrics").await;
    let listed = format!(
        "{SERVED}{{rpc_method=\"cashgate.customer.v1.CustomerService/Approve\",rpc_response_status_code=\"OK\"}} 0"
    );
    assert!(page.contains(&listed), "it is listed before it is called");

    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let shown = atm.shows_code().await;
    phone.scan(&shown.qr_text).await.unwrap();
    let mut wrong = phone.approval(&shown.qr_text, &yen(10_000));
    wrong.signature = vec![0x30, 0];
    phone.bank.approve(wrong).await.unwrap_err();
    let approval = phone.approval(&shown.qr_text, &yen(10_000));
    let withdrawal_id = phone.bank.approve(approval).await.unwrap().into_inner().withdrawal_id;
    atm.pays_out().await;
    phone.watch_to_end(&withdrawal_id).await;

    assert_eq!((approve("OK").await, approve("PERMISSION_DENIED").await), (1, 1));
    for rpc in ["PlaceHold", "ConfirmHold"] {
        let method = format!("cashgate.corebank.v1.CoreBankingService/{rpc}");
        let labels = [("rpc_method", method.as_str()), ("rpc_response_status_code", "OK")];
        assert_eq!(site.metric(CALLED, &labels).await, 1, "{rpc}");
    }
}

#[tokio::test]
async fn a_withdrawal_shows_in_every_figure_that_is_about_it() {
    let site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 21_000).await;
    atm.pays_out().await;
    phone.watch_to_end(&withdrawal_id).await;

    let of_sakura = [("institution", "sakura"), ("currency", "JPY")];
    assert_eq!(site.metric("cashgate_dispensed_minor_units_total", &of_sakura).await, 21_000);
    assert_eq!(site.metric("cashgate_qr_tokens_claimed_total", &[]).await, 1);
    assert_eq!(site.metric("cashgate_approve_to_dispense_seconds_count", &[]).await, 1);
    // Five steps, of which two are recorded together.
    assert_eq!(site.metric("cashgate_ledger_append_seconds_count", &[]).await, 4);
    let commits = site.metric("cashgate_ledger_commit_seconds_count", &[]).await;
    assert_eq!(site.metric("cashgate_ledger_commit_rows_count", &[]).await, commits);
    assert!(site.metric("cashgate_ledger_writes_total", &[("what", "commit")]).await >= commits);
    assert_eq!(site.metric("cashgate_ledger_on_reserve", &[]).await, 0);
    for state in ["held", "dispense_commanded", "confirming", "suspect"] {
        assert_eq!(site.metric("cashgate_withdrawals_open", &[("state", state)]).await, 0, "{state}");
    }
    assert!(site.metric("process_resident_memory_bytes", &[]).await > 1024 * 1024);
}
