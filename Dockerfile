# Two stages: the first builds a wheel and installs it into a virtual environment, the second holds nothing else.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
# Without pip: it is needed here only. Byte code is compiled now, because the daemon cannot write it.
RUN python -m venv --without-pip /opt/pgbackfill \
    && python -m pip wheel --quiet --no-cache-dir --no-deps --wheel-dir /wheels . \
    && python -m pip --python /opt/pgbackfill/bin/python install --quiet --no-cache-dir --compile \
        --constraint constraints.txt /wheels/*.whl

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="pgbackfill" \
      org.opencontainers.image.description="Changes millions of rows in a live Postgres table without anybody noticing" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/pgbackfill /opt/pgbackfill
COPY deploy/docker/healthcheck.py /opt/pgbackfill/healthcheck.py
# Loopback inside a container can be reached by nobody; with a listener on all addresses, POST needs a token.
ENV PATH="/opt/pgbackfill/bin:$PATH" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/ \
    PGBACKFILL_HTTP__HOST=0.0.0.0
# A number, so that Kubernetes can see that it is not root. No file needs an owner: nothing is written.
USER 10001:10001
EXPOSE 9188
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["/opt/pgbackfill/bin/python", "-I", "-S", "/opt/pgbackfill/healthcheck.py"]
ENTRYPOINT ["pgbackfill"]
CMD ["run"]
