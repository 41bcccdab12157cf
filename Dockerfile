# The bot in a container: two stages, so that what builds it stays out of what runs it.
#
#   docker build -t neverquit .
#   docker run --rm -it neverquit demo                    a chat prompt, an IRC server and the bot, no configuration
#   docker run -v "$PWD/config:/config:ro" -v neverquit-state:/state neverquit
#
# /config holds config.yaml and plugins/ (saved files are taken live, as anywhere); /state is written by the bot.
# Packages come from where pip looks by itself, or from where these build arguments tell it to look:
#   --build-arg PIP_INDEX_URL=...   and PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS, PIP_NO_INDEX, PIP_TRUSTED_HOST
# They stay in the first stage; the image that you push doesn't know them.

FROM python:3.11-slim-bookworm AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_NO_INDEX
ARG PIP_TRUSTED_HOST
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE config.yaml ./
COPY bot bot
COPY plugins plugins
# Byte-compiled here, once, since the user who runs it can't write there: half of the start-up time (160 ms, not 270).
RUN python3 -m venv /opt/pip \
    && python3 -m venv --without-pip /opt/neverquit \
    && /opt/pip/bin/pip wheel --no-deps --wheel-dir /wheels . \
    && /opt/pip/bin/pip --python /opt/neverquit/bin/python install --compile /wheels/*.whl

FROM python:3.11-slim-bookworm
COPY --from=build /opt/neverquit /opt/neverquit
# A number, since Kubernetes can check `runAsNonRoot` only by number.
RUN install --directory --owner=10001 --group=10001 /config /state
ENV PATH=/opt/neverquit/bin:$PATH \
    STATE_DIRECTORY=/state
VOLUME ["/state"]
WORKDIR /config
USER 10001:10001
# No HEALTHCHECK: a bot that waits for its network to come back is well, and a restart would only lose its place.
STOPSIGNAL SIGTERM
ENTRYPOINT ["neverquit"]
CMD ["run", "--config", "/config/config.yaml"]
