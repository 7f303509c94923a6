"""OIDC for Actions jobs: a real key, its JWKS, and a token for each run by that run's request token."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from flask import Blueprint, Response, jsonify, request

from sandbox.github.state import Hub, Json, Repository, WorkflowRun

LIFE = 300  # seconds, as GitHub's
CLAIMS = """
sub aud exp iat iss jti nbf
repository repository_id repository_owner repository_owner_id repository_visibility
run_id run_number run_attempt actor actor_id event_name workflow workflow_ref workflow_sha job_workflow_ref
job_workflow_sha check_run_id ref ref_type ref_protected sha head_ref base_ref runner_environment
"""


def number(value: int) -> str:
    """A big number as a JWK writes it."""
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass
class Issuer:
    """Signs tokens for the runs whose request tokens it knows."""

    hub: Hub
    key: rsa.RSAPrivateKey
    kid: str = field(default_factory=lambda: secrets.token_hex(16).upper())
    requests: dict[str, tuple[Repository, WorkflowRun]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.hub.url}/oidc"

    def open(self, repo: Repository, run: WorkflowRun) -> str:
        """A request token of a run. It is worth nothing once the run is over."""
        token = secrets.token_urlsafe(48)
        self.requests[token] = (repo, run)
        return token

    def close(self, run: WorkflowRun) -> None:
        self.requests = {token: pair for token, pair in self.requests.items() if pair[1] is not run}

    def jwks(self) -> Json:
        public = self.key.public_key().public_numbers()
        own = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid}
        return {"keys": [own | {"n": number(public.n), "e": number(public.e)}]}

    def discovery(self) -> Json:
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/.well-known/jwks",
            "subject_types_supported": ["public", "pairwise"],
            "response_types_supported": ["id_token"],
            "claims_supported": CLAIMS.split(),
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        }

    def token(self, repo: Repository, run: WorkflowRun, audience: str | None) -> str:
        """The identity of a run: ids are strings, `sub` as for repositories made since 2026-07-15."""
        now = int(self.hub.now())
        ref = f"refs/heads/{run.head_branch}"
        where = f"{repo.full_name}/{run.workflow.path}@{ref}"
        owner, name = f"{repo.owner.login}@{repo.owner.id}", f"{repo.name}@{repo.id}"
        claims = {
            "jti": secrets.token_hex(16),
            "sub": f"repo:{owner}/{name}:ref:{ref}",
            "aud": audience or f"{self.hub.url}/{repo.owner.login}",
            "iss": self.url,
            "iat": now,
            "nbf": now - 10,
            "exp": now + LIFE,
            "repository": repo.full_name,
            "repository_id": str(repo.id),
            "repository_owner": repo.owner.login,
            "repository_owner_id": str(repo.owner.id),
            "repository_visibility": "private" if repo.private else "public",
            "run_id": str(run.id),
            "run_number": str(run.number),
            "run_attempt": str(run.attempt),
            "actor": run.actor.login,
            "actor_id": str(run.actor.id),
            "event_name": "workflow_dispatch",
            "workflow": run.name,
            "workflow_ref": where,
            "workflow_sha": run.head_sha,
            "job_workflow_ref": where,
            "job_workflow_sha": run.head_sha,
            "check_run_id": str(run.job_id),
            "ref": ref,
            "ref_type": "branch",
            "ref_protected": "false",
            "sha": run.head_sha,
            "head_ref": "",
            "base_ref": "",
            "runner_environment": "github-hosted",
        }
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": self.kid, "x5t": self.kid})


def blueprint(issuer: Issuer) -> Blueprint:
    """The issuer's pages, and the door where jobs ask for their token."""
    doors = Blueprint("oidc", __name__, url_prefix="/oidc")

    @doors.get("/.well-known/openid-configuration")
    def discovery() -> Response:
        return jsonify(issuer.discovery())

    @doors.get("/.well-known/jwks")
    def jwks() -> Response:
        return jsonify(issuer.jwks())

    @doors.get("/token")
    def token() -> tuple[Response, int] | Response:
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        known = issuer.requests.get(secret) if scheme.lower() == "bearer" else None
        if known is None:
            return jsonify({"message": "Unauthorized"}), 401
        with issuer.hub.lock:
            text = issuer.token(*known, audience=request.args.get("audience"))
        return jsonify({"count": len(text), "value": text})

    return doors
