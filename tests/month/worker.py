"""The product's worker under the moved clock: `python -m tests.month.worker`."""

from bot import services, settings
from bot.stories.worker import work
from tests.month.clock import sql

if __name__ == "__main__":
    read = settings.read(settings.environment())
    with services.opened(read, "worker", sql(read.database_url)) as opened:
        work(opened)
