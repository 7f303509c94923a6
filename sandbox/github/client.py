"""Driving the sandbox's GitHub from tests and the demo, over HTTP only: as a person, or as fate."""

from __future__ import annotations

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

Json = dict[str, Any]


class Refusal(Exception):
    """The sandbox said no: its status and what it answered."""

    def __init__(self, status: int, answer: Any) -> None:
        super().__init__(f"{status}: {answer}")
        self.status = status
        self.answer = answer


class Client:
    """One sandbox GitHub and one of its repositories (the first, unless named)."""

    def __init__(self, url: str, repo: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._tokens: dict[str, str] = {}
        self.about: Json = self.control("about")
        self.repo: str = repo or self.about["repository"]

    # -- the two ways to ask --

    def request(self, method: str, path: str, body: object = None, token: str | None = None) -> Any:
        """Any call: JSON in, JSON out (bytes where it is none). Raises Refusal."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310 - as above
                return parsed(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise Refusal(error.code, parsed(error.read())) from None

    def control(self, name: str, **body: object) -> Any:
        """One of the /_sandbox routes: GET without a body, else POST."""
        if not body:
            return self.request("GET", f"/_sandbox/{name}")
        return self.request("POST", f"/_sandbox/{name}", body)

    def ask(self, what: str, **query: object) -> Any:
        return self.request("GET", f"/_sandbox/{what}?{urlencode(query)}")

    def token(self, login: str) -> str:
        """A token of this person, as after signing in."""
        if login not in self._tokens:
            self._tokens[login] = self.control("token", login=login)["token"]
        return self._tokens[login]

    def app_token(self, login: str) -> str:
        """A token of this person in the name of the first App, as its service gets when they sign in."""
        return str(self.control("token", login=login, app=True)["token"])

    def new_key(self) -> str:
        """A further private key for the first App."""
        return str(self.control("keys", new=True)["private_key"])

    def delete_older_keys(self) -> None:
        """All private keys of the first App but its newest are worth nothing."""
        self.control("keys", delete_older=True)

    def revoke(self, login: str) -> None:
        """This person takes back what they allowed the App."""
        self.control("revoke", login=login)

    def do(self, login: str, method: str, path: str, body: object = None) -> Any:
        """A call to the ordinary API by a person; `path` is below the repository."""
        return self.request(method, f"/repos/{self.repo}{path}", body, self.token(login))

    # -- what people do --

    def comment(self, login: str, number: int, body: str) -> int:
        return int(self.do(login, "POST", f"/issues/{number}/comments", {"body": body})["id"])

    def edit_comment(self, login: str, id: int, body: str) -> None:
        self.do(login, "PATCH", f"/issues/comments/{id}", {"body": body})

    def delete_comment(self, login: str, id: int) -> None:
        self.do(login, "DELETE", f"/issues/comments/{id}")

    def review_comment(self, login: str, number: int, path: str, line: int, body: str) -> int:
        sha = self.thread(number)["head_sha"]
        sent = {"body": body, "path": path, "line": line, "side": "RIGHT", "commit_id": sha}
        return int(self.do(login, "POST", f"/pulls/{number}/comments", sent)["id"])

    def answer_review(self, login: str, number: int, first: int, body: str) -> int:
        return int(self.do(login, "POST", f"/pulls/{number}/comments/{first}/replies", {"body": body})["id"])

    def reviews(self, number: int) -> list[Json]:
        return list(self.thread(number)["reviews"])

    def label(self, login: str, number: int, *names: str) -> None:
        self.do(login, "POST", f"/issues/{number}/labels", {"labels": list(names)})

    def unlabel(self, login: str, number: int, name: str) -> None:
        self.do(login, "DELETE", f"/issues/{number}/labels/{quote(name, safe='')}")

    def issue(self, login: str, title: str, body: str = "") -> int:
        return int(self.do(login, "POST", "/issues", {"title": title, "body": body})["number"])

    def close(self, login: str, number: int) -> None:
        self.do(login, "PATCH", f"/issues/{number}", {"state": "closed"})

    def merge(self, login: str, number: int, method: str = "merge") -> str:
        """The SHA of the merge commit."""
        return str(self.do(login, "PUT", f"/pulls/{number}/merge", {"merge_method": method})["sha"])

    def commit(self, login: str, branch: str, files: Json, message: str = "A change", **more: object) -> str:
        """Commits files (text, {"base64": …}, None to remove) to a branch; its SHA. `from_` starts it."""
        if "from_" in more:
            more["from"] = more.pop("from_")
        sent = {"repo": self.repo, "login": login, "branch": branch, "files": files, "message": message}
        return str(self.control("commit", **(sent | more))["sha"])

    def pull(self, login: str, head: str, title: str, body: str = "", base: str | None = None) -> int:
        """Opens a pull request; `head` may be `owner:branch` for a fork."""
        base = base or str(self.repository()["default_branch"])
        sent = {"head": head, "base": base, "title": title, "body": body}
        return int(self.do(login, "POST", "/pulls", sent)["number"])

    def fork_pull(self, login: str, files: Json, title: str = "From outside", branch: str = "change") -> int:
        """A pull request from this person's fork."""
        self.fork(login).commit(login, branch, files, title)
        return self.pull(login, f"{login}:{branch}", title)

    def fork(self, login: str) -> Client:
        """This person's fork, made if there is none."""
        return Client(self.url, self.control("fork", repo=self.repo, login=login)["full_name"])

    def gone(self, fork: Client) -> None:
        """That fork is deleted."""
        self.control("gone", repo=fork.repo)

    def press(self, login: str, check: int, identifier: str) -> None:
        """Presses a button of a check run."""
        self.control("press", repo=self.repo, login=login, check=check, identifier=identifier)

    def user(self, login: str, role: str | None = None, type: str = "User") -> None:
        """Makes a person or bot, or gives them another role."""
        self.control("users", repo=self.repo, login=login, role=role, type=type)

    def rename_user(self, login: str, to: str) -> None:
        self.control("rename/user", login=login, to=to)
        self._tokens.pop(login, None)

    def rename_repository(self, to: str) -> None:
        """This one; `to` without its owner."""
        self.repo = str(self.control("rename/repository", repo=self.repo, to=to)["full_name"])

    # -- what is there --

    def state(self) -> Json:
        return dict(self.control("state"))

    def repository(self) -> Json:
        found = [repo for repo in self.state()["repositories"] if repo["full_name"] == self.repo]
        return dict(found[0])

    def thread(self, number: int) -> Json:
        return next(dict(t) for t in self.repository()["threads"] if t["number"] == number)

    def comments(self, number: int) -> list[Json]:
        return list(self.thread(number)["comments"])

    def runs(self) -> list[Json]:
        return list(self.repository()["runs"])

    def file(self, path: str, ref: str) -> bytes:
        answer = self.ask("file", repo=self.repo, path=path, ref=ref)
        return answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def deliveries(self, event: str | None = None) -> list[Json]:
        """Every delivery, oldest first, with `raw`: the bytes that were signed."""
        found = self.ask("deliveries", **({"event": event} if event else {}))
        return [one | {"raw": base64.b64decode(one["raw"])} for one in found]

    def wait(self, true: Callable[[Client], Any], seconds: float = 30, what: str = "that") -> Any:
        """What `true` answers, once it is something. Raises TimeoutError after `seconds`."""
        end = time.monotonic() + seconds
        seen = -1
        while time.monotonic() < end:
            if answer := true(self):
                return answer
            left = max(0.0, min(1.0, end - time.monotonic()))
            seen = int(self.ask("changes", since=seen, wait=left)["changes"])
        raise TimeoutError(f"waited {seconds:g} s for {what}")

    # -- fate --

    def hook(self, url: str | None, secret: str | None = None, ping: bool = False, **more: object) -> None:
        """Where deliveries go; `patience`: seconds for an answer (GitHub's are ten)."""
        self.control("hook", url=url or "", ping=ping, **({"secret": secret} if secret else {}), **more)

    def redeliver(self, id: int, times: int = 1, fresh: bool = False) -> list[int]:
        """Sends a delivery again: same bytes, same guid (`fresh`: each under its own)."""
        return list(self.control(f"deliveries/{id}/redeliver", times=times, fresh=fresh)["ids"])

    def fault(self, method: str, path: str, status: int, times: int = 1, **more: object) -> None:
        """The next requests that match go wrong; `when` is before or after; also `retry_after`, `seconds`,
        `kind` (status, reset, hang), and `for`: seconds instead of `times`."""
        self.control("faults", **({"method": method, "path": path, "status": status, "times": times} | more))

    def clear_faults(self) -> None:
        self.control("faults", clear=True)

    def limit(self, **limits: object) -> Json:
        """Rate limits of an installation: `per_minute`, `per_hour`, `requests_per_hour`, `silent`; what was
        used of them, by installation."""
        return dict(self.control("limits", **({"tell": True} | limits)))

    def forward(self, seconds: float, faults: bool = False) -> None:
        """Moves the sandbox's clock on, or only that of its faults and limits."""
        self.control("clock", seconds=seconds, faults=faults)

    def grant(self, permissions: dict[str, str]) -> None:
        """What the App's installation has from now on."""
        self.control("installation", permissions=permissions)

    def suspend(self, suspended: bool = True) -> None:
        self.control("installation", suspended=suspended)

    def choose(self, *repositories: str) -> None:
        """The App's installation sees these repositories (full names) and no other from now on."""
        self.control("installation", repositories=list(repositories))

    def uninstall(self) -> None:
        self.control("installation", uninstall=True)

    def install(self, *repositories: str) -> int:
        """The first App on the owner's account: on these repositories, or on all; the installation's id."""
        chosen: Json = {"repositories": list(repositories)} if repositories else {"all": True}
        return int(self.control("install", **chosen)["id"])


def parsed(raw: bytes) -> Any:
    """JSON if it is, else the bytes; None for nothing."""
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return raw
