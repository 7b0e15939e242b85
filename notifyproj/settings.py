"""Settings: the environment first, then a `.env` file, then the default written here. docs/configuration.md holds a row for each.

Only reading and grouping happens here. What cannot be read is refused at the end, one line each; whether the values make sense is
checked in `deliveries/checks.py`.
"""

import os
import zoneinfo
from pathlib import Path

from notifyproj.environment import Environment
from notifyproj.logs import logging_config
from notifyproj.unfold_settings import unfold_config

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()
env.read_file(BASE_DIR / env.str("ENV_FILE", ".env"), must_exist="ENV_FILE" in os.environ)

# --- Django -----------------------------------------------------------------------------------------------------------------------
DEFAULT_SECRET_KEY = "insecure-default-for-development-only-never-in-production"  # noqa: S105 (refused when DEBUG=0)
SECRET_KEY = env.str("SECRET_KEY", DEFAULT_SECRET_KEY) or DEFAULT_SECRET_KEY
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
DEBUG = env.bool("DEBUG", False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
PUBLIC_URL = env.str("PUBLIC_URL", "").rstrip("/")
SITE_NAME = env.str("SITE_NAME", "Notifications")
ENVIRONMENT_LABEL = env.str("ENVIRONMENT_LABEL", "")
SECURE_COOKIES = env.bool("SECURE_COOKIES", False)
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOG_FORMAT = env.choice("LOG_FORMAT", "console", ("console", "json"))
DEMO = env.bool("DEMO", False)
DEMO_FOLDER = env.str("DEMO_FOLDER", str(BASE_DIR / ".run"))

INSTALLED_APPS = [
    "channels",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_structlog",
    "deliveries",
    "broadcasts",
    "notifyproj",
    *(["notifyproj.demo"] if DEMO else []),
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "notifyproj.sessions.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
]
ROOT_URLCONF = "notifyproj.urls"
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
ASGI_APPLICATION = "notifyproj.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en"
TIME_ZONE = env.choice("TIME_ZONE", "UTC", zoneinfo.available_timezones(), wanted="a time zone such as Europe/Berlin")
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# The template editor posts up to 200 languages and 200 fields at once.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 4000
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", False)
SECURE_REDIRECT_EXEMPT = [r"^health/"]  # asked from within, without TLS
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", False)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_TLS_PROXY", False) else None
LOGGING = logging_config(level=LOG_LEVEL, fmt=LOG_FORMAT)
UNFOLD = unfold_config(site_name=SITE_NAME, environment_label=ENVIRONMENT_LABEL)

# --- Servers ----------------------------------------------------------------------------------------------------------------------
DATABASE_URL = env.address(
    "DATABASE_URL", "postgres://notify:notify@127.0.0.1:5432/notify", schemes=("postgres", "postgresql")
)
DATABASES = {"default": {**env.db_url_config(DATABASE_URL), "CONN_MAX_AGE": 0, "CONN_HEALTH_CHECKS": False}}
REDIS_URL = env.address("REDIS_URL", "redis://127.0.0.1:6379/0", schemes=("redis", "rediss", "unix"))
REDIS_PREFIX = env.str("REDIS_PREFIX", "notify:")
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        # redis-py 8 would time an idle socket out; None keeps the layer's blocking read open.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}], "prefix": f"{REDIS_PREFIX}layer"},
    }
}

# --- Kafka (contracts, section 1) -------------------------------------------------------------------------------------------------
KAFKA_HOST = env.str("KAFKA_HOST", "localhost")
KAFKA_PORT = env.int("KAFKA_PORT", 9092)
KAFKA_BOOTSTRAP_SERVERS = env.list("KAFKA_BOOTSTRAP_SERVERS", default=[f"{KAFKA_HOST}:{KAFKA_PORT}"])
KAFKA_OUTBOX_TOPIC = env.str("KAFKA_OUTBOX_TOPIC", "notifications.outbox")
KAFKA_OUTBOX_PARTITIONS = env.int("KAFKA_OUTBOX_PARTITIONS", 12)
KAFKA_SIMPLE_TOPIC = env.str("KAFKA_SIMPLE_TOPIC", "notifications")
KAFKA_SIMPLE_PARTITIONS = env.int("KAFKA_SIMPLE_PARTITIONS", 24)
KAFKA_DLQ_TOPIC = env.str("KAFKA_DLQ_TOPIC", "notifications.dlq")
KAFKA_CONTROL_TOPIC = env.str("KAFKA_CONTROL_TOPIC", "notifications.control.commands")
KAFKA_REPLICATION_FACTOR = env.int("KAFKA_REPLICATION_FACTOR", 1)
KAFKA_CONSUMER_GROUP = env.str("KAFKA_CONSUMER_GROUP", "notification-worker")
KAFKA_SIMPLE_CONSUMER_GROUP = env.str("KAFKA_SIMPLE_CONSUMER_GROUP", "notification_worker_group")
KAFKA_SESSION_TIMEOUT_SECONDS = env.int("KAFKA_SESSION_TIMEOUT_SECONDS", 10)
KAFKA_SECURITY_PROTOCOL = env.choice(
    "KAFKA_SECURITY_PROTOCOL", "PLAINTEXT", ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
)
KAFKA_SASL_MECHANISM = env.str("KAFKA_SASL_MECHANISM", "")
KAFKA_SASL_USERNAME = env.str("KAFKA_SASL_USERNAME", "")
KAFKA_SASL_PASSWORD = env.str("KAFKA_SASL_PASSWORD", "")
KAFKA_SSL_CAFILE = env.str("KAFKA_SSL_CAFILE", "")
OUTBOX_BATCH_SIZE = env.int("OUTBOX_BATCH_SIZE", 2000)

# --- Deliveries (contracts, section 2) --------------------------------------------------------------------------------------------
DEFAULT_TENANT = env.str("DEFAULT_TENANT", "default")
DEFAULT_LOCALE = env.str("DEFAULT_LOCALE", "en")
RETENTION_DAYS = env.int("RETENTION_DAYS", 90)
MAX_ATTEMPTS = env.int("MAX_ATTEMPTS", 3)
RETRY_DELAYS_SECONDS = env.list("RETRY_DELAYS_SECONDS", cast=float, default=[1.0, 3.0, 10.0])
MAX_ATTEMPTS_BY_CHANNEL = env.dict("MAX_ATTEMPTS_BY_CHANNEL", default={})
RETRY_DELAYS_SECONDS_BY_CHANNEL = env.dict("RETRY_DELAYS_SECONDS_BY_CHANNEL", default={})
MAX_SEND_DELAY_SECONDS = env.int("MAX_SEND_DELAY_SECONDS", 300)
SEND_DEADLINE_SECONDS = env.float("SEND_DEADLINE_SECONDS", 20)
SHUTDOWN_GRACE_SECONDS = env.float("SHUTDOWN_GRACE_SECONDS", 30)
LEASE_SECONDS = env.float("LEASE_SECONDS", 90)
CLAIM_BATCH_SIZE = env.int("CLAIM_BATCH_SIZE", 250)
MAX_LOST_LEASES = env.int("MAX_LOST_LEASES", 3)
FLUSH_INTERVAL_SECONDS = env.float("FLUSH_INTERVAL_SECONDS", 0.1)
HIGH_PRIORITY_SHARE = env.float("HIGH_PRIORITY_SHARE", 0.2)
SWEEP_INTERVAL_SECONDS = env.float("SWEEP_INTERVAL_SECONDS", 1.0)
CHANNEL_SENDERS = env.dict("CHANNEL_SENDERS", default={"email": "smtp", "ws": "inbox", "webhook": "http"})
NULL_SENDER_ALLOWED = env.bool("NULL_SENDER_ALLOWED", False)
PRIVATE_ADDRESSES_ALLOWED = env.bool("PRIVATE_ADDRESSES_ALLOWED", False)
CREDENTIALS_KEYS = env.list("CREDENTIALS_KEYS", default=[])
OUTGOING_CA_FILE = env.str("OUTGOING_CA_FILE", "")
WEBHOOK_CONNECTIONS = env.int("WEBHOOK_CONNECTIONS", 100)
WEBHOOK_DISABLE_AFTER_DAYS = env.float("WEBHOOK_DISABLE_AFTER_DAYS", 3.0)
MANDATORY_CATEGORIES = env.list("MANDATORY_CATEGORIES", default=[])
SEND_ONLY_TO = [address.lower() for address in env.list("SEND_ONLY_TO", default=[])]

# --- E-mail -----------------------------------------------------------------------------------------------------------------------
EMAIL_HOST = env.str("EMAIL_HOST", "127.0.0.1")
EMAIL_PORT = env.int("EMAIL_PORT", 25)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_SSL = env.bool("EMAIL_USE_SSL", False)
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", False)
EMAIL_FROM = env.str("EMAIL_FROM", "Notifications <notifications@localhost>")
EMAIL_MESSAGE_ID_DOMAIN = env.str("EMAIL_MESSAGE_ID_DOMAIN", "notifications.localhost")
EMAIL_CONNECTIONS = env.int("EMAIL_CONNECTIONS", 10)

# --- Broadcasts -------------------------------------------------------------------------------------------------------------------
BROADCAST_APPROVAL_FROM = env.int("BROADCAST_APPROVAL_FROM", 1000)
BROADCAST_UNDO_SECONDS = env.float("BROADCAST_UNDO_SECONDS", 30)
BROADCAST_UNDO_SECONDS_API = env.float("BROADCAST_UNDO_SECONDS_API", 0)
BROADCAST_CHUNK_SIZE = env.int("BROADCAST_CHUNK_SIZE", 10_000)
NOTIFICATIONS_BROADCAST_INTERVAL = env.float("NOTIFICATIONS_BROADCAST_INTERVAL", 1.0)
NOTIFICATIONS_BROADCAST_JITTER = env.float("NOTIFICATIONS_BROADCAST_JITTER", 0.1)
NOTIFICATIONS_BROADCAST_BATCH_LIMIT = env.int("NOTIFICATIONS_BROADCAST_BATCH_LIMIT", 100)
NOTIFICATIONS_BROADCAST_IMMEDIATE = env.bool("NOTIFICATIONS_BROADCAST_IMMEDIATE", True)

# --- Realtime (contracts, section 4) ----------------------------------------------------------------------------------------------
JWT_ALGORITHM = env.str("JWT_ALGORITHM", "HS256")
JWT_KEY = env.str("JWT_KEY", "")
JWT_JWKS = env.json("JWT_JWKS", default={})
JWT_AUDIENCE = env.str("JWT_AUDIENCE", "")
WS_ALLOWED_ORIGINS = env.list("WS_ALLOWED_ORIGINS", default=[])
WS_MAX_CONNECTIONS = env.int("WS_MAX_CONNECTIONS", 10_000)
WS_MAX_CONNECTIONS_PER_USER = env.int("WS_MAX_CONNECTIONS_PER_USER", 20)
WS_QUEUE_SIZE = env.int("WS_QUEUE_SIZE", 1000)
WS_MAX_FRAME_BYTES = env.int("WS_MAX_FRAME_BYTES", 65_536)
WS_REPLAY_LIMIT = env.int("WS_REPLAY_LIMIT", 500)
WS_REREAD_SECONDS = env.float("WS_REREAD_SECONDS", 30)
WS_IDLE_SECONDS = env.float("WS_IDLE_SECONDS", 90)

# --- Workers (contracts, section 5) -----------------------------------------------------------------------------------------------
HEARTBEAT_INTERVAL_SECONDS = env.float("HEARTBEAT_INTERVAL_SECONDS", 5)
HEARTBEAT_TTL_SECONDS = env.int("HEARTBEAT_TTL_SECONDS", 30)
STUCK_AFTER_SECONDS = env.float("STUCK_AFTER_SECONDS", 22)

# --- Broadcasts and audiences -----------------------------------------------------------------------------------------------------
CONTACT_IMPORT_MAX_MB = env.float("CONTACT_IMPORT_MAX_MB", 200)
AUDIENCES_REFRESH_INTERVAL_SECONDS = env.float("AUDIENCES_REFRESH_INTERVAL_SECONDS", 300)
AUDIENCE_COUNT_TIMEOUT_SECONDS = env.float("AUDIENCE_COUNT_TIMEOUT_SECONDS", 10)

# --- Notices to staff -------------------------------------------------------------------------------------------------------------
NOTICE_OLDEST_DUE_SECONDS = env.float("NOTICE_OLDEST_DUE_SECONDS", 300)
NOTICE_QUIET_SECONDS = env.float("NOTICE_QUIET_SECONDS", 300)
NOTICE_WEBHOOK_URL = env.str("NOTICE_WEBHOOK_URL", "")
NOTICE_EMAIL_TO = env.list("NOTICE_EMAIL_TO", default=[])

# --- REST -------------------------------------------------------------------------------------------------------------------------
API_MAX_JOBS = env.int("API_MAX_JOBS", 1000)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "deliveries.api.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["deliveries.api.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["deliveries.api.renderers.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["deliveries.api.parsers.StrictJsonParser"],
    "DEFAULT_METADATA_CLASS": "deliveries.api.metadata.PlainMetadata",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "deliveries.api.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Notifications API",
    "VERSION": "1",
    "DESCRIPTION": "Hand in jobs, follow their deliveries, keep templates and contacts, send broadcasts. Callers authenticate by X-API-Key;"
    " a person's app, for their devices and preferences, by their JWT.",
    "OAS_VERSION": "3.1.0",
    "ENFORCE_NON_BLANK_FIELDS": True,
    "POSTPROCESSING_HOOKS": ["deliveries.api.documentation.add_components"],
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

env.refuse_problems()
