//! Environment variables that a PKCS#11 module reads when it is loaded.

use std::os::unix::process::CommandExt;

pub(super) fn is_set((variable, value): &(String, String)) -> bool {
    std::env::var(variable).is_ok_and(|set| set == *value)
}

/// Starts this command again with variables that a PKCS#11 module reads when it is loaded. Returns only if that fails.
pub(super) fn again_with(environment: &[(String, String)]) -> std::io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let variables = environment.iter().map(|(name, value)| (name, value));
    std::process::Command::new(program).args(std::env::args_os().skip(1)).envs(variables).exec()
}
