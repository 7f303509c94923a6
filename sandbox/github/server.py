"""The sandbox's GitHub, put together: its state, its doors, its webhook, its Actions, behind one port."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from sandbox.actions import GRACE, Actions, Job, Jobs, Watch
from sandbox.github import oidc, smart_http
from sandbox.github.access import issue_token
from sandbox.github.door import Doors, mount, unknown
from sandbox.github.founding import Wish, found, install_app, settle
from sandbox.github.hooks import Hooks
from sandbox.github.routes import (
    apps,
    checks,
    comments,
    control,
    gitdata,
    graphql,
    hooks,
    pages,
    registering,
    renaming,
    repos,
    runs,
    signing_in,
    threads,
    user,
)
from sandbox.github.shapes import people
from sandbox.github.shapes import repos as repo_shapes
from sandbox.github.sign_in import SignIn
from sandbox.github.state import App, Hub, Installation, Json, Repository, Step, WorkflowRun
from sandbox.github.traffic import Traffic
from sandbox.github.verbs import runs as run_verbs

CHECKOUT = Path(__file__).parents[2]
APP_ID = 1_184_021
OUR_ACTION = "tollgate-dev/tollgate@v1"


@dataclass(frozen=True)
class Options:
    """How the sandbox's GitHub is to be."""

    port: int = 0
    repo: Path | None = None
    data: Path | None = None  # None: a temporary folder, gone at the end
    bug: str = "leap"
    private: bool = False
    webhook_url: str | None = None
    webhook_secret: str = "sandbox-webhook-secret"
    app_key: Path | None = None  # read if it is there, else written
    traffic: Path | None = None
    jobs: int = 4
    workflow: Path | None = CHECKOUT / "workflows" / "agent.yml"
    policy: Path | None = None
    job_env: dict[str, str] = field(default_factory=dict)
    actions: dict[str, Path] = field(default_factory=lambda: {OUR_ACTION: CHECKOUT})
    app: bool = True  # False: nobody has registered one yet
    grace: float = GRACE  # seconds for a cancelled step to end by itself
    host: str = "127.0.0.1"  # where it listens, and what it calls itself


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log(self, type: str, message: str, *args: object) -> None:
        """Nothing: the traffic file has it."""


def private_key(path: Path | None) -> rsa.RSAPrivateKey:
    """The key in the file, or a new one (written there, for its owner's eyes only)."""
    if path is not None and path.exists():
        known = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(known, rsa.RSAPrivateKey):
            raise ValueError(f"{path} is not an RSA key")
        return known
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(pem(made), encoding="ascii")
    return made


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


class GitHub:
    """A running sandbox GitHub. Use it as a context manager, or call `serve` to stay in this thread."""

    def __init__(self, options: Options, jobs: Jobs | None = None) -> None:
        """`jobs`: who carries out dispatched workflows, instead of `act`."""
        self.options = options
        self._temporary = None if options.data else Path(tempfile.mkdtemp(prefix="sandbox-github-"))
        self.data = options.data or self._temporary or Path()
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o755)  # a run's tools may work as another user
        self.hub = Hub("")
        self.traffic = Traffic(options.traffic)
        self.hooks = Hooks(self.hub, self.traffic)
        self.signing_in = SignIn(self.hub)
        self.doors = Doors(self.hub, self.hooks, self.traffic, start=self._start, cancel=self._cancel)
        self.key = private_key(options.app_key) if options.app else None
        self.issuer = oidc.Issuer(self.hub, rsa.generate_private_key(public_exponent=65537, key_size=2048))
        self.actions = jobs or Actions(self.data / "runs", options.jobs, options.actions, grace=options.grace)
        self._http: BaseWSGIServer = make_server(
            options.host, options.port, self._app(), threaded=True, request_handler=Handler
        )
        self.hub.url = f"http://{options.host}:{self._http.server_port}"
        self._thread: threading.Thread | None = None
        try:
            self._found()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return self.hub.url

    def _found(self) -> None:
        options = self.options
        settle(self.hub)
        if self.key is not None:
            public = self.key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            install_app(self.hub, APP_ID, public.decode(), options.webhook_secret)
        wish = Wish(options.repo, options.bug, options.private, options.workflow, options.policy)
        self.repository = found(self.hooks, self.data / "repos", wish)
        if self.hub.first_app is not None:
            self.hub.first_app.hook_url = options.webhook_url

    def _app(self) -> Flask:
        app = Flask(__name__, static_url_path="/_sandbox/static")
        app.url_map.merge_slashes = False
        for table in (apps, checks, comments, gitdata, graphql, hooks, repos, runs, threads, user):
            mount(app, self.doors, table.routes)
        app.register_blueprint(oidc.blueprint(self.issuer))
        app.register_blueprint(control.blueprint(self.doors, self.signing_in, self.about))
        app.register_blueprint(registering.blueprint(self.doors))
        app.register_blueprint(renaming.blueprint(self.hub))
        app.register_blueprint(signing_in.blueprint(self.signing_in))
        app.register_blueprint(pages.blueprint(self.doors))
        app.register_blueprint(smart_http.blueprint(self.doors))
        app.register_error_handler(404, unknown(self.doors))
        app.register_error_handler(405, unknown(self.doors))
        return app

    def about(self) -> Json:
        """What a service needs to be the App, as far as there is one yet."""
        app, made = self.hub.first_app, self.hub.installation(self.repository)
        return {
            "url": self.url,
            "app_id": app.id if app else None,
            "private_key": pem(self.key) if self.key else None,
            "webhook_secret": app.hook_secret if app and self.key else None,
            "client_id": app.client_id if app and self.key else None,
            "client_secret": app.client_secret if app and self.key else None,
            "webhook_url": app.hook_url if app else None,
            "installation_id": made.id if made else None,
            "repository": self.repository.full_name,
            "repository_id": self.repository.id,
            "oidc_issuer": self.issuer.url,
        }

    # -- a dispatched run, from here to its end --

    def _start(self, repo: Repository, run: WorkflowRun, file: run_verbs.WorkflowFile) -> None:
        hub, hooks = self.hub, self.hooks
        run.secrets = {"github": self._job_token(repo, file)}
        env = {
            "GITHUB_SERVER_URL": hub.url,
            "GITHUB_API_URL": hub.url,
            "GITHUB_GRAPHQL_URL": f"{hub.url}/graphql",
            "GITHUB_RUN_ID": str(run.id),
            "GITHUB_RUN_NUMBER": str(run.number),
            "GITHUB_ACTOR_ID": str(run.actor.id),
            "GITHUB_REPOSITORY_ID": str(repo.id),
            "GITHUB_REPOSITORY_OWNER_ID": str(repo.owner.id),
            "GITHUB_WORKFLOW_REF": f"{repo.full_name}/{run.workflow.path}@refs/heads/{run.head_branch}",
            "GITHUB_WORKFLOW_SHA": run.head_sha,
            "RUNNER_ENVIRONMENT": "github-hosted",
            "RUNNER_NAME": "sandbox",
            "TOLLGATE_PYTHON": sys.executable,
            **self.options.job_env,
        }
        if file.permissions.get("id_token") == "write":
            env["ACTIONS_ID_TOKEN_REQUEST_URL"] = f"{self.issuer.url}/token?api-version=2.0"
            env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = self.issuer.open(repo, run)
        event = {
            "inputs": run.inputs,
            "ref": f"refs/heads/{run.head_branch}",
            "repository": repo_shapes.repository(hub, repo),
            "sender": people.user(hub, run.actor),
            "workflow": run.workflow.path,
        }
        job = Job(
            id=run.id,
            git=repo.git.path,
            full_name=repo.full_name,
            branch=run.head_branch,
            sha=run.head_sha,
            workflow=run.workflow.path,
            actor=run.actor.login,
            event=event,
            env=env,
            secrets={"GITHUB_TOKEN": run.secrets["github"]},
            timeout_seconds=file.timeout_minutes * 60,
        )

        def begun() -> None:
            with hub.lock:
                run_verbs.begin(hooks, repo, run, file)

        def line(text: str) -> None:
            run.log.append(text)
            hub.touch()

        def step(name: str, conclusion: str | None) -> None:
            told(hub, run, name, conclusion)

        def summary(markdown: str) -> None:
            if markdown not in run.summary:  # a composite action's is told twice
                run.summary += markdown
            hub.touch()

        def ended(conclusion: str) -> None:
            with hub.lock:
                self.issuer.close(run)
                run_verbs.end(hooks, repo, run, file, conclusion)

        self.actions.start(job, Watch(begun, line, step, summary, ended))

    def _job_token(self, repo: Repository, file: run_verbs.WorkflowFile) -> str:
        # GitHub Actions is an App of GitHub's own: its tokens outlive an installation of ours.
        bot = self.hub.account("github-actions[bot]", "Bot")
        actions = App(15_368, "github-actions", "GitHub Actions", bot, bot, "", [], {}, [], self.hub.now())
        text, _ = issue_token(
            self.hub,
            Installation(0, actions, repo.owner, {}, self.hub.now()),
            "actions",
            {name: level for name, level in file.permissions.items() if name != "id_token"},
            frozenset([repo.id]),
            user=bot,
        )
        return text

    def _cancel(self, run: WorkflowRun) -> None:
        self.actions.cancel(run.id)

    # -- serving --

    def serve(self) -> None:
        """Serves in this thread until something raises here (a signal's handler, say)."""
        self._http.serve_forever(poll_interval=0.2)

    def __enter__(self) -> GitHub:
        self._thread = threading.Thread(target=self.serve, name="github", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is not None:
            self._http.shutdown()
            self._thread.join()
        self.close()

    def close(self) -> None:
        """Ends every job, and forgets everything."""
        self._http.server_close()
        self.actions.close()
        self.hooks.close()
        self.traffic.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def told(hub: Hub, run: WorkflowRun, name: str, conclusion: str | None) -> None:
    """A step of a run began (no conclusion) or ended; in the log it is a heading."""
    now = hub.now()
    if conclusion is None:
        run.steps.append(Step(name, len(run.steps) + 1, started_at=now))
        run.log.append(f"## {name}")
    else:
        for step in reversed(run.steps):
            if step.name == name and step.status != "completed":
                step.status, step.conclusion, step.completed_at = "completed", conclusion, now
                break
    run.updated_at = now
    hub.touch()
