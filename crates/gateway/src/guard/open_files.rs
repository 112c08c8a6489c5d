//! Whether the process may open as many files as it may have connections.

use crate::config::GuardSection;

/// Files that are no connections: the ledger, the HSM, core banking, what is read now and then.
const OTHERS: u64 = 500;

/// Says loudly if connections would run into the limit of open files before their own.
pub(crate) fn check(section: &GuardSection) {
    let connections = section.atm_connections_max.saturating_add(section.api_connections_max);
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    // Without /proc there is nobody to ask; accepting then pauses when there are no more.
    let Some(allowed) = std::fs::read_to_string("/proc/self/limits").ok().and_then(|limits| soft_limit(&limits)) else {
        return;
    };
    if allowed < needed {
        tracing::warn!(
            allowed,
            needed,
            "the process may open fewer files than guard.atm_connections_max and guard.api_connections_max need: raise its limit (LimitNOFILE, ulimit -n) or lower them"
        );
    }
}

fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_the_first_figure() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             95000                95000                processes \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(limits), Some(1_024));
        assert_eq!(soft_limit("Max open files            unlimited            unlimited            files"), None);
    }
}
