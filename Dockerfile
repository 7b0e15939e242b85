# One image for every process of the service; compose.yaml shows the command of each.
FROM python:3.11-slim AS packages
RUN python -m venv /venv
COPY requirements.txt /requirements.txt
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement /requirements.txt

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home notify
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=packages /venv /venv
COPY manage.py ./
COPY templates templates
COPY docs/runbook.md docs/runbook.md
COPY deliveries deliveries
COPY broadcasts broadcasts
COPY notifyproj notifyproj
# The key is for this one command and is not kept in the image's environment.
RUN SECRET_KEY=collectstatic-reads-no-secret-but-settings-want-one python manage.py collectstatic --noinput
USER 10001
EXPOSE 8000
# Docker asks from inside, by this address, so ALLOWED_HOSTS must hold 127.0.0.1.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
# No access log and no INFO lines of uvicorn: both print query strings, and a token may stand in one. Requests are logged by
# the application. Deflate would cost gigabytes at thousands of sockets.
CMD ["uvicorn", "notifyproj.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--ws", "websockets-sansio", \
     "--ws-per-message-deflate", "false", "--ws-max-size", "65536", "--no-access-log", "--log-level", "warning", "--timeout-graceful-shutdown", "25"]
