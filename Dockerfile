# syntax=docker/dockerfile:1
# Three images from one source: the gateway (the default), --target trial with SoftHSM2 inside, --target loadtest with the generator.
#
#   docker build -t cashgate/cashgate:0.1.0 --sbom=true --provenance=true .
#   docker build -t cashgate/cashgate:0.1.0-trial --target trial .
#   docker build -t cashgate/cashgate-loadtest:0.1.0 --target loadtest .
#
# Debian slim and not distroless: vendors' PKCS#11 modules are glibc libraries with companions, which a bank installs as a layer above:
#   FROM cashgate/cashgate:0.1.0
#   USER root
#   COPY vendor /opt/vendor
#   USER 65532:65532
# Pin both bases by digest in your own registry; their names here stand for what was reviewed.

FROM rust:1.95-slim-bookworm AS build
# Jemalloc, AWS-LC and SQLite are compiled from source.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends build-essential cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
# cargo-auditable writes the list of crates into the programs themselves: `syft`, `trivy` and `cargo audit bin` read it, whatever copies them.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo install cargo-auditable --version 0.7.0 --locked && \
    cargo auditable build --release --locked -p cashgate-gateway -p cashgate-loadtest --bins && \
    install -D -t /out target/release/cashgate target/release/cashgate-loadtest

FROM debian:bookworm-slim AS base
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates tzdata && rm -rf /var/lib/apt/lists/* && \
    groupadd --gid 65532 cashgate && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin cashgate && \
    install -d -o 65532 -g 65532 /var/lib/cashgate
LABEL org.opencontainers.image.title="Cashgate" org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
# A number, so that Kubernetes can see that it is not root.
# Kubernetes has probes of its own, which know the port; an image's HEALTHCHECK would know only one.
HEALTHCHECK NONE

# The generator of load, with the letters of its report.
FROM base AS loadtest
USER 0:0
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends fonts-dejavu-core && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/cashgate-loadtest /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["cashgate-loadtest"]

# No HSM: keys lie in a file. For trials only.
FROM base AS trial
USER 0:0
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends softhsm2 opensc && rm -rf /var/lib/apt/lists/*
COPY hsm-config/create-keys.sh /usr/local/bin/
COPY --from=build /out/cashgate /usr/local/bin/
USER 65532:65532
ENTRYPOINT ["cashgate"]

# The gateway. Last, so that it is what a build without --target makes.
FROM base AS gateway
USER 0:0
# The client of a p11-kit server, for a module that lives in a sidecar.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends p11-kit-modules && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/cashgate /usr/local/bin/
USER 65532:65532
EXPOSE 7443 7444 7445 7446
ENTRYPOINT ["cashgate"]
