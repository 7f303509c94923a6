"""The web process. `bind` and the number of processes come from gunicorn's own PORT and WEB_CONCURRENCY."""

worker_class = "bot.web.threads.Worker"
# A thread for every open stream, and some for the rest: a queue before the gateway is an outage.
threads = 256
# Of the process's own heartbeat, not of a request: a stream may last as long as its run.
timeout = 60
keepalive = 75
graceful_timeout = 30
# A run's result may be 32 MB in one request, but no header is large.
limit_request_field_size = 16384
accesslog = None
errorlog = "-"
loglevel = "warning"
