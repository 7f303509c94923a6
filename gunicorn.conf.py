"""The web process. `bind` and the number of processes come from gunicorn's own PORT and WEB_CONCURRENCY."""

import ctypes
import gc

from bot.settings import ending, environment, set_up_mode

worker_class = "bot.web.threads.Worker"
logger_class = "bot.web.gunicorn_log.Log"
# A thread for every open stream, and some for the rest: a queue before the gateway is an outage.
threads = 256
# While there is no App one process holds who may register it; everywhere else WEB_CONCURRENCY says how many.
if set_up_mode(environment()):
    workers = 1
# Of the process's own heartbeat, not of a request: a stream may last as long as its run.
timeout = 60
keepalive = 75
_, graceful_timeout = ending(environment())
# A run's result may be 32 MB in one request, but no header is large.
limit_request_field_size = 16384
accesslog = None
errorlog = "-"
loglevel = "warning"

# glibc keeps what is freed, in up to eight heaps a core, and learns to keep ever larger pieces: one heap, for
# Python runs one thread at a time, and what is larger than 256 KB goes back to the system at once.
# (malloc.h: M_MMAP_THRESHOLD -3, M_ARENA_MAX -8; other C libraries have no mallopt, or ignore it.)
if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
    mallopt(-8, 1)
    mallopt(-3, 256 * 1024)


def post_worker_init(worker: object) -> None:
    """What was imported stays: no collection looks through it again."""
    gc.collect()
    gc.freeze()
