//! Every query of the dashboard, asked of the real Prometheus.

use serde_json::Value;

use super::prometheus::Prometheus;
use crate::alerts::rules;
use crate::command;

/// Asks them all; the error lists those that are no query, or have no answer. Gives how many there are.
pub(super) fn check(prometheus: &Prometheus) -> Result<usize, String> {
    let file = rules::dashboard_file(&command::root());
    let text = std::fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let dashboard: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    let queries = queries(&dashboard);
    let problems: Vec<String> = queries
        .iter()
        .filter_map(|(panel, query)| {
            let answer = prometheus.series(&query.replace("$__rate_interval", "20s"));
            match answer {
                Ok(0) => Some(format!("the panel {panel:?} shows nothing: {query}")),
                Ok(_) => None,
                Err(problem) => Some(format!("the panel {panel:?}: {problem}: {query}")),
            }
        })
        .collect();
    if problems.is_empty() { Ok(queries.len()) } else { Err(problems.join("\n")) }
}

/// The queries, each with its panel's title.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let list = |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let word = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of_panel = |panel: &Value| {
        let title = word(panel, "title");
        list(panel, "targets").iter().map(|target| (title.clone(), word(target, "expr"))).collect::<Vec<_>>()
    };
    list(dashboard, "panels").iter().flat_map(of_panel).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_target_of_every_panel_is_a_query() {
        let dashboard = json!({"panels": [
            {"type": "row", "title": "Money"},
            {"title": "Open", "targets": [{"expr": "a"}, {"expr": "b"}]},
        ]});
        let found = queries(&dashboard);
        assert_eq!(found, [("Open".to_owned(), "a".to_owned()), ("Open".to_owned(), "b".to_owned())]);
    }
}
