# The gateway as an image: built from Debian's packages, shipped with the libraries it needs and the Core Rule Set.
#   docker build -t gatehouse .            DEBIAN_RELEASE=trixie builds on Debian 13
ARG DEBIAN_RELEASE=bookworm

FROM debian:${DEBIAN_RELEASE}-slim AS builder
WORKDIR /src
# The toolchain first: it changes less often than the sources.
COPY dev ./
COPY scripts/packages.sh scripts/apt_install.sh scripts/
RUN ./dev setup build
COPY . .
RUN ./dev build release && scripts/runtime_packages.sh build/gatehouse > /runtime-packages

FROM debian:${DEBIAN_RELEASE}-slim
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Gatehouse" \
      org.opencontainers.image.description="Ingress gateway with a web application firewall, shared rate limits and failover between sites" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=builder /runtime-packages /tmp/runtime-packages
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive xargs -a /tmp/runtime-packages \
      apt-get install --yes --no-install-recommends ca-certificates modsecurity-crs \
 && rm -rf /var/lib/apt/lists/* /tmp/runtime-packages \
 && groupadd --system --gid 65532 gatehouse \
 && useradd --system --uid 65532 --gid gatehouse --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin gatehouse \
 && install -d /etc/gatehouse/tenants \
 && install -d -o gatehouse -g gatehouse -m 0750 /var/lib/gatehouse /var/log/gatehouse
COPY deploy/container/gateway.yaml /etc/gatehouse/gateway.yaml
COPY --from=builder /src/build/gatehouse /usr/bin/gatehouse

USER 65532:65532
EXPOSE 8080 8443 9902
VOLUME ["/var/lib/gatehouse"]
# SIGTERM drains: the listeners stay open for timeouts.shutdown_delay, then requests in flight finish.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/bin/gatehouse", "health"]
ENTRYPOINT ["/usr/bin/gatehouse"]
CMD ["run", "--config", "/etc/gatehouse/gateway.yaml"]
