# syntax=docker/dockerfile:1
# The gateway and the bot in one small image. It holds no secrets: mount the config, and name its
# secrets as { file = "/run/secrets/…" } or { env = "…" }.
#
#   docker build -t countersign .
#   docker run --read-only -v ./countersign.toml:/etc/countersign/countersign.toml:ro \
#     -v ./policy:/etc/countersign/policy:ro -v countersign-state:/var/lib/countersign \
#     -p 6432:6432 countersign
#
# In the config, `state`, `records` and the keys belong under /var/lib/countersign, the one place that
# can be written; with a listen address other than loopback, `tls` is required.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libclang-dev gcc libc6-dev make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package countersign-cli --bin countersign \
 && install -D target/release/countersign /out/countersign

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/countersign --create-home --shell /usr/sbin/nologin countersign
COPY --from=build /out/countersign /usr/local/bin/countersign
COPY LICENSE /usr/share/doc/countersign/LICENSE
USER 10001:10001
WORKDIR /var/lib/countersign
VOLUME /var/lib/countersign
EXPOSE 6432 6480
# SIGTERM drains: no new logins, holds ended with a reason, sessions given their grace time. Give it
# that long: docker stop --time 60.
STOPSIGNAL SIGTERM
# The image has no curl. /dev/tcp is bash's: whether the PostgreSQL port takes a connection, which it
# stops doing when it drains. Set COUNTERSIGN_HEALTH_PORT where `listen` has another port.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${COUNTERSIGN_HEALTH_PORT:-6432}"]
ENTRYPOINT ["/usr/local/bin/countersign", "--config", "/etc/countersign/countersign.toml"]
CMD ["serve"]
