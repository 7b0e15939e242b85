"""django-post_office, a peer of `benchmarks.email`: a project of its own with nothing but its queue, in the same database.

`python -m benchmarks.post_office COUNT` queues COUNT mails from a stored template, one call each as its documentation has it, sends
them by its own command's function, and prints how many it did a second. Its tables are its own and stay empty otherwise.
"""

from __future__ import annotations

import os
import sys
import time

import environ

TEXT = (
    "Hello {{ name }},\n\nyour order {{ order }} left our warehouse.\n"
    + "It comes with Parcel Express on 14 November.\n" * 4
)
HTML = "<p>Hello {{ name }},</p><p>your order <b>{{ order }}</b> left our warehouse.</p>\n" + (
    "It comes with Parcel Express on 14 November.\n" * 24
)


def configure() -> None:
    """Set Django up for post_office alone."""
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={"default": environ.Env().db_url("DATABASE_URL")},
        INSTALLED_APPS=["django.contrib.contenttypes", "post_office"],
        EMAIL_BACKEND="post_office.EmailBackend",
        EMAIL_HOST=os.environ["EMAIL_HOST"],
        EMAIL_PORT=int(os.environ["EMAIL_PORT"]),
        POST_OFFICE={"BATCH_SIZE": 500, "LOG_LEVEL": 0},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        SECRET_KEY="benchmark-" + "x" * 60,
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    )
    django.setup()


def main(count: int) -> None:
    """Queue and send, and print mails a second."""
    configure()
    from django.core.management import call_command
    from post_office import mail
    from post_office.models import Email, EmailTemplate

    call_command("migrate", verbosity=0)
    Email.objects.all().delete()
    EmailTemplate.objects.all().delete()
    template = EmailTemplate.objects.create(
        name="shipped", subject="{{ name }}, your order is on its way", content=TEXT, html_content=HTML
    )
    began = time.perf_counter()
    for number in range(count):
        context = {"name": f"Person {number}", "order": f"A-{number}"}
        mail.send(f"person{number}@example.com", "notifications@localhost", template=template, context=context)
    mail.send_queued_mail_until_done()
    seconds = time.perf_counter() - began
    sent = Email.objects.filter(status=0).count()
    if sent != count:
        raise RuntimeError(f"{sent} of {count} mails were sent")
    sys.stdout.write(f"{count / seconds}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
