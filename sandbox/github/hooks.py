"""Webhooks: signed over their raw bytes, delivered in order, recorded, redelivered under the same guid."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import replace
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from sandbox.github.shapes import people, repos
from sandbox.github.state import Account, App, Delivery, Hub, Installation, Json, Repository, iso
from sandbox.github.traffic import Traffic

PATIENCE = 10.0  # seconds that GitHub waits for an answer
AGENT = "GitHub-Hookshot/5a4db0x"
HOOK_ID = 471_100_901
PENDING = "pending"  # not attempted yet


def signature(secret: str, raw: bytes) -> str:
    """The value of X-Hub-Signature-256."""
    return "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()


def names(found: Iterable[Repository]) -> list[Json]:
    """Repositories as an installation's event lists them."""
    return [
        {
            "id": repo.id,
            "node_id": people.node_id("Repository", repo.id),
            "name": repo.name,
            "full_name": repo.full_name,
            "private": repo.private,
        }
        for repo in found
    ]


class Hooks:
    """The Apps' webhooks: what was sent, to each App's own URL. Sends nothing while there is none."""

    def __init__(self, hub: Hub, traffic: Traffic) -> None:
        self.hub = hub
        self.patience = PATIENCE
        self._traffic = traffic
        self._queue: queue.SimpleQueue[Delivery | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="hooks", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join(timeout=1)

    def emit(self, repo: Repository, event: str, action: str | None, sender: Account, body: Json) -> None:
        """An event of a repository, to every App that may see it (if that App asked for such events)."""
        self.hub.touch()
        for installation in list(self.hub.installations.values()):
            wanted = event in installation.app.events and not installation.suspended_at
            if wanted and installation.covers(repo):
                self._emit(installation, repo, event, action, sender, body)

    def _emit(
        self,
        installation: Installation,
        repo: Repository,
        event: str,
        action: str | None,
        sender: Account,
        body: Json,
    ) -> None:
        payload: Json = {"action": action} if action else {}
        payload |= body
        payload["repository"] = repos.repository(self.hub, repo)
        if repo.owner.type == "Organization":
            payload["organization"] = people.organization(self.hub, repo.owner)
        payload["sender"] = people.user(self.hub, sender)
        payload["installation"] = people.installation_mark(installation)
        self._enqueue(installation.app, event, action, payload, installation, repo)

    def ping(self, app: App) -> None:
        """What GitHub sends when the hook is set up."""
        config = {
            "content_type": "json",
            "insecure_ssl": "0",
            "secret": "********",
            "url": app.hook_url or "",
        }
        hook = {
            "type": "App",
            "id": HOOK_ID,
            "name": "web",
            "active": True,
            "events": app.events,
            "config": config,
            "updated_at": iso(app.created_at),
            "created_at": iso(app.created_at),
            "app_id": app.id,
            "deliveries_url": f"{self.hub.url}/app/hook/deliveries",
        }
        zen = "Keep it logically awesome."
        self._enqueue(app, "ping", None, {"zen": zen, "hook_id": HOOK_ID, "hook": hook}, None, None)

    def installation(self, made: Installation, action: str, by: Account) -> None:
        """The App was installed (created), uninstalled (deleted), suspended or let go on (unsuspend)."""
        hub = self.hub
        body: Json = {"action": action, "installation": people.installation(hub, made)}
        body["repositories"] = names(repo for repo in hub.repositories.values() if made.covers(repo))
        if action == "created":
            body["requester"] = None
        body["sender"] = people.user(hub, by)
        self._enqueue(made.app, "installation", action, body, made, None)

    def installation_repositories(
        self, made: Installation, action: str, by: Account, changed: list[Repository]
    ) -> None:
        """Repositories were added to what the App may see, or removed from it."""
        body: Json = {"action": action, "installation": people.installation(self.hub, made)}
        body["repository_selection"] = body["installation"]["repository_selection"]
        body["repositories_added"] = names(changed) if action == "added" else []
        body["repositories_removed"] = names(changed) if action == "removed" else []
        body |= {"requester": None, "sender": people.user(self.hub, by)}
        self._enqueue(made.app, "installation_repositories", action, body, made, None)

    def _enqueue(
        self,
        app: App,
        event: str,
        action: str | None,
        payload: Json,
        installation: Installation | None,
        repo: Repository | None,
    ) -> None:
        if app.hook_url is None:
            return
        delivery = Delivery(
            id=self.hub.new_id(),
            guid=str(uuid.uuid4()),
            event=event,
            action=action,
            payload=payload,
            raw=json.dumps(payload, separators=(",", ":")).encode(),
            delivered_at=self.hub.now(),
            redelivery=False,
            installation_id=installation.id if installation else None,
            repository_id=repo.id if repo else None,
            app=app,
        )
        self.hub.deliveries.append(delivery)
        self._queue.put(delivery)

    def redeliver(self, delivery: Delivery, fresh_guid: bool = False) -> Delivery:
        """The same bytes once more, under the same guid (or, as no GitHub would, under another)."""
        again = replace(
            delivery,
            id=self.hub.new_id(),
            guid=str(uuid.uuid4()) if fresh_guid else delivery.guid,
            redelivery=not fresh_guid,
            delivered_at=self.hub.now(),
            status=PENDING,
            status_code=0,
            response_body="",
            response_headers={},
        )
        self.hub.deliveries.append(again)
        self._queue.put(again)
        return again

    def _work(self) -> None:
        while (delivery := self._queue.get()) is not None:
            self._deliver(delivery)
            self.hub.touch()

    def _deliver(self, delivery: Delivery) -> None:
        app = delivery.app
        if app is None:
            return
        delivery.request_headers = headers = {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "User-Agent": AGENT,
            "X-GitHub-Delivery": delivery.guid,
            "X-GitHub-Event": delivery.event,
            "X-GitHub-Hook-ID": str(HOOK_ID),
            "X-GitHub-Hook-Installation-Target-ID": str(app.id),
            "X-GitHub-Hook-Installation-Target-Type": "integration",
            "X-Hub-Signature-256": signature(app.hook_secret, delivery.raw),
        }
        begun = time.monotonic()
        try:
            self._post(app.hook_url or "", delivery, headers)
        except TimeoutError:
            delivery.status = "timed out"
        except (OSError, HTTPException) as error:
            delivery.status, delivery.status_code = "failed to connect to host", 502
            delivery.response_body = str(error)
        delivery.duration = time.monotonic() - begun
        self._traffic.write(
            {
                "kind": "webhook",
                "event": delivery.event,
                "action": delivery.action,
                "guid": delivery.guid,
                "headers": headers,
                "payload": delivery.payload,
                "status": delivery.status_code or None,
            }
        )

    def _post(self, url: str, delivery: Delivery, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = connect(parts.hostname or "", parts.port, timeout=self.patience)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", target, delivery.raw, headers)
            answer = connection.getresponse()
            delivery.response_body = answer.read(65_536).decode(errors="replace")
            delivery.response_headers = dict(answer.getheaders())
            delivery.status_code = answer.status
            delivery.status = "OK" if answer.status < 300 else answer.reason or "Error"
        finally:
            connection.close()
