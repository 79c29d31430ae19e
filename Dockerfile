# resnet-fcgi as an image: the programs and the libraries that they link, nothing to build with, no
# shell's worth of tools beyond the base's, nobody's root. spawn/deploy/README.md tells how to run it.
#
#   docker build -t resnet-fcgi:1.0.0 .                        without a model: compose.yaml gets one
#   docker build -t resnet-fcgi:1.0.0 --build-arg MODEL=fetch .   with one in it, for clusters
#
#   MODEL   none; fetch: downloaded by weights/sources.tsv; synthetic: random numbers, for trials; or
#           a file of this folder: resnet50.pth, .safetensors, or packed already, .rnm
ARG BUILD_IMAGE=debian:bookworm-slim
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY tests/deps.sh tests/
RUN apt-get -qq update \
    && apt-get -qq -y --no-install-recommends install make >/dev/null \
    && tests/deps.sh build
COPY GNUmakefile ./
COPY kernels kernels
COPY weights weights
COPY fcgi fcgi
COPY spawn spawn
COPY nginx nginx
COPY tests tests
ARG COMMIT=unknown
RUN make -s -j"$(nproc)" install COMMIT="$COMMIT" CFLAGS=-O2 LDFLAGS=-s PREFIX=/usr DESTDIR=/out \
    && rm -r /out/usr/bin/resnet-bench /out/usr/bin/resnet-load /out/usr/share/man

# One user and group for backend and nginx: the sockets are 0660. By number, so that Kubernetes can
# tell that it is not root.
FROM ${BASE_IMAGE} AS runtime
RUN apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
        libfcgi0ldbl libisal2 libjpeg62-turbo libnettle8 libpng16-16 libseccomp2 libwebp7 libwebpdemux2 libzip4 \
        >/dev/null \
    && apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log \
    && groupadd --gid 10001 resnet-fcgi \
    && useradd --uid 10001 --gid 10001 --home-dir / --no-create-home --shell /usr/sbin/nologin \
        resnet-fcgi \
    && install -d -o 10001 -g 10001 /var/lib/resnet-fcgi /run/resnet-fcgi
COPY --from=build /out/usr /usr
COPY spawn/deploy/docker/*.sh /usr/share/resnet-fcgi/docker/

# What makes a model file: for compose's one-shot service, and for MODEL below.
FROM runtime AS weights
RUN apt-get -qq update \
    && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install \
        ca-certificates curl >/dev/null \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
USER 10001:10001
ENTRYPOINT ["/usr/share/resnet-fcgi/docker/weights.sh"]

# A pattern that matches nothing copies nothing: MODEL=none, fetch and synthetic are no files.
FROM weights AS model
ARG MODEL=none
COPY Dockerfile ${MODEL}* /source/
RUN /usr/share/resnet-fcgi/docker/bake.sh "$MODEL"

FROM runtime
COPY --from=model --chown=10001:10001 /var/lib/resnet-fcgi /var/lib/resnet-fcgi
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="resnet-fcgi" \
      org.opencontainers.image.description="ResNet-50 in FastCGI processes, behind nginx" \
      org.opencontainers.image.version="1.0.0" \
      org.opencontainers.image.revision="$COMMIT"
USER 10001:10001
ENV RESNET_RUN_DIR=/run/resnet-fcgi RESNET_MODEL=/var/lib/resnet-fcgi/resnet50.rnm
# TERM drains: give it RESNET_REQUEST_TIMEOUT + 30 s (docker stop --time 150)
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=90s --retries=3 CMD ["resnet-ctl", "health"]
ENTRYPOINT ["/usr/share/resnet-fcgi/docker/entrypoint.sh"]
CMD ["resnet-spawn"]
