//! Generates messages and services from `proto/`, without a system `protoc`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let files: Vec<String> =
        ["withdrawal", "atm", "customer", "corebank", "operations", "events", "journal", "replica"]
            .iter()
            .map(|name| format!("cashgate/{name}/v1/{name}.proto"))
            .collect();
    let descriptors = protox::compile(&files, [&root])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    // An encrypted PIN prints nowhere, not even by accident: `customer.rs` has its Debug.
    let config = tonic_prost_build::configure().skip_debug(["cashgate.customer.v1.PinBlock"]);
    // The generated shorthand `connect(address)` would collide with the rpc `Connect`.
    config.build_transport(false).include_file("cashgate.rs").compile_fds(descriptors)?;
    println!("cargo::rerun-if-changed={}", root.display());
    Ok(())
}
