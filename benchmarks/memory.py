"""What a web worker holds: at rest, and at its highest while one body of each kind and size goes through it.

make bench-memory
"""

from __future__ import annotations

import http.client
import json
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import click

from benchmarks import peers, service
from sandbox.processes import start
from tests.chaos.load import KINDS, body_of, megabytes
from tests.gateways import children

SIZES = (1, 10, 32)  # MB


@click.command()
@click.option("--databases", default="sqlite,postgresql", show_default=True)
def main(databases: str) -> None:
    """The memory of one web worker, in MB: at rest, and its peak with bodies of 1, 10 and 32 MB."""
    click.echo(f"Tollgate {peers.commit()} (gunicorn {peers.version('gunicorn')}); {peers.machine()}")
    figures = []
    for kind in databases.split(","):
        with ExitStack() as stack:
            claude = stack.enter_context(start("claude", character="echo"))
            url = stack.enter_context(service.sqlite() if kind == "sqlite" else service.postgresql())
            served = stack.enter_context(service.serving(url, claude.url))
            (worker,) = children(served.process.pid)
            _, token = served.run()
            rest = megabytes(worker)
            click.echo(f"{kind}: at rest {rest:.0f}")
            for body_kind in KINDS:
                peaks = [peak(worker, served.url, token, body_of(size << 20, body_kind)) for size in SIZES]
                click.echo(f"  {body_kind:<30}" + "".join(f"{each:>6.0f}" for each in peaks))
                figures.append({"database": kind, "rest": rest, "kind": body_kind, "peaks": peaks})
    click.echo(json.dumps({"bench": "memory", "sizes": SIZES, "figures": figures}))


def peak(worker: int, url: str, token: str, body: bytes) -> float:
    """The most that the worker has resident while it forwards this body and answers."""
    Path(f"/proc/{worker}/clear_refs").write_text("5")  # proc(5): resets VmHWM
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    headers = {"x-api-key": token, "anthropic-version": "2023-06-01"}
    try:
        connection.request("POST", f"{parts.path}/v1/messages", body, headers)
        answer = connection.getresponse()
        # The largest are too long for the model, says the upstream: then they have been there.
        said = answer.read()
        assert answer.status == 200 or b"too long" in said, said[:300]
    finally:
        connection.close()
    return megabytes(worker, "VmHWM")


if __name__ == "__main__":
    main()
