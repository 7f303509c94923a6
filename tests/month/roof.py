"""The product's web process under the moved clock: `gunicorn tests.month.roof:app`."""

from app import create  # noqa: TID251 - this is a roof
from bot import services, settings
from tests.month.clock import sql

read = settings.read(settings.environment())
app = create(services.build(read, "web", sql(read.database_url)))
