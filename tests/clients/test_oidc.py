"""An OIDC token proves what it says, or is refused with a sentence; no token chooses what is fetched."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bot.clients.github import GitHub
from bot.clients.identity import Claims, OidcError, OidcUnavailable
from bot.clients.oidc import Verifier
from sandbox.github.client import Client
from tests.clients.conftest import World

ISSUER, AUDIENCE, NOW = "https://issuer.example", "https://tollgate.example", 1_700_000_000.0
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
# As in the samples of docs.github.com (actions/reference/security/oidc): ids are strings.
SAID: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "repo:octo-org@1/octo-repo@2:ref:refs/heads/main",
    "iat": NOW,
    "nbf": NOW - 10,
    "exp": NOW + 300,
    "repository": "octo-org/octo-repo",
    "repository_id": "74",
    "repository_owner_id": "65",
    "run_id": "1234567890",
    "run_attempt": "2",
    "workflow_ref": "octo-org/octo-repo/.github/workflows/agent.yml@refs/heads/main",
    "event_name": "workflow_dispatch",
    "ref": "refs/heads/main",
    "sha": "f" * 40,
    "actor": "tollgate[bot]",
}


def published(*keys: tuple[str, rsa.RSAPrivateKey], **changed: object) -> dict[str, Any]:
    made = []
    for kid, key in keys:
        shape = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
        made.append(shape | {"kid": kid, "alg": "RS256", "use": "sig"} | changed)
    return {"keys": made}


class Issuer:
    """An issuer without a network: what it answers, and which URLs it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.discovery: Any = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/.well-known/jwks"}
        self.jwks: Any = published(("one", KEY))
        self.broken: Exception | None = None

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        if self.broken:
            raise self.broken
        return json.dumps(self.discovery if url.endswith("openid-configuration") else self.jwks).encode()


def sign(key: Any = KEY, kid: str | None = "one", algorithm: str = "RS256", **changed: object) -> str:
    claims = {name: value for name, value in (SAID | changed).items() if value is not ...}
    headers = {"kid": kid} if kid is not None else {}
    return jwt.encode(claims, key, algorithm=algorithm, headers=headers)


def verifier(issuer: Issuer | None = None) -> Verifier:
    return Verifier(ISSUER, AUDIENCE, issuer or Issuer())


def test_a_sound_token_tells_who_the_job_is() -> None:
    assert verifier().verify(sign(), NOW) == Claims(
        repository="octo-org/octo-repo",
        repository_id=74,
        run_id=1234567890,
        run_attempt=2,
        workflow_ref="octo-org/octo-repo/.github/workflows/agent.yml@refs/heads/main",
        event_name="workflow_dispatch",
        ref="refs/heads/main",
        sha="f" * 40,
        actor="tollgate[bot]",
    )


def unsigned() -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none', 'typ': 'JWT', 'kid': 'one'})}.{part(SAID)}."


def signed_with_the_public_key() -> str:
    """HS256 with the public key as its secret: the oldest trick."""
    pem = KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return sign(base64.b64encode(pem).decode(), algorithm="HS256")


def tampered() -> str:
    head, body, tail = sign().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    claims["repository_id"] = "75"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{head}.{forged}.{tail}"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param(lambda: sign(OTHER), "signature", id="another's key under the issuer's name for it"),
        pytest.param(lambda: sign(OTHER, kid="two"), "does not publish", id="a key that is not published"),
        pytest.param(lambda: sign(kid=None), "does not name its key", id="no key named"),
        pytest.param(tampered, "signature", id="a claim changed after signing"),
        pytest.param(unsigned, "RS256", id="unsigned"),
        pytest.param(signed_with_the_public_key, "RS256", id="HS256 with the public key"),
        pytest.param(lambda: sign(algorithm="PS256"), "RS256", id="another algorithm, same key"),
        pytest.param(lambda: sign(iss="https://evil.example"), "not from", id="another issuer"),
        pytest.param(lambda: sign(aud="https://other.example"), "not meant for", id="another audience"),
        pytest.param(lambda: sign(aud=[AUDIENCE]), "not meant for", id="a list of audiences"),
        pytest.param(lambda: sign(exp=NOW - 31), "expired", id="expired"),
        pytest.param(lambda: sign(nbf=NOW + 31), "not valid yet", id="not valid yet"),
        pytest.param(lambda: sign(iat=NOW + 31), "not valid yet", id="issued in the future"),
        pytest.param(lambda: sign(exp=...), "'exp'", id="without an end"),
        pytest.param(lambda: sign(nbf=...), "'nbf'", id="without a beginning"),
        pytest.param(lambda: sign(aud=...), "'aud'", id="without an audience"),
        pytest.param(lambda: sign(exp=True), "", id="an end that is no number"),
        pytest.param(lambda: sign(repository_id="7 4"), "'repository_id'", id="an id that is no number"),
        pytest.param(lambda: sign(run_id=...), "'run_id'", id="without a run"),
        pytest.param(lambda: sign(workflow_ref=""), "'workflow_ref'", id="without a workflow"),
        pytest.param(lambda: "not a token", "not a signed", id="no token"),
        pytest.param(lambda: "", "not a signed", id="nothing"),
        pytest.param(lambda: "ü.ü.ü", "not a signed", id="not ASCII"),
        pytest.param(lambda: sign() + "a" * 20_000, "not a signed", id="endless"),
    ],
)
def test_any_doubt_is_a_no_with_a_sentence(make: Callable[[], str], sentence: str) -> None:
    with pytest.raises(OidcError) as caught:
        verifier().verify(make(), NOW)
    assert not isinstance(caught.value, OidcUnavailable)
    assert sentence in str(caught.value)


def test_clocks_may_differ_a_little() -> None:
    verifier().verify(sign(exp=NOW - 20), NOW)
    verifier().verify(sign(nbf=NOW + 20, iat=NOW + 20), NOW)


def test_keys_are_fetched_once_and_for_an_unknown_name_not_again_within_the_minute() -> None:
    issuer = Issuer()
    checked = verifier(issuer)
    for _ in range(3):
        checked.verify(sign(), NOW)
    for _ in range(3):
        with pytest.raises(OidcError, match="does not publish"):
            checked.verify(sign(OTHER, kid="two"), NOW)
    assert issuer.asked == [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/.well-known/jwks"]


def test_nothing_in_a_token_chooses_what_is_fetched() -> None:
    issuer = Issuer()
    headers = {"kid": "one", "jku": "https://evil.example/jwks", "x5u": "https://evil.example/cert"}
    token = jwt.encode(SAID | {"iss": "https://evil.example"}, OTHER, algorithm="RS256", headers=headers)
    with pytest.raises(OidcError):
        verifier(issuer).verify(token, NOW)
    assert all(url.startswith(ISSUER + "/") for url in issuer.asked)


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/jwks",
        "http://issuer.example/jwks",
        "https://issuer.example:444/jwks",
        "https://issuer.example@evil.example/jwks",
        "//evil.example/jwks",
        "https://issuer.example:x/jwks",
        None,
    ],
)
def test_keys_on_another_host_than_the_issuers_are_not_fetched(address: str | None) -> None:
    issuer = Issuer()
    issuer.discovery = {"issuer": ISSUER, "jwks_uri": address}
    with pytest.raises(OidcUnavailable, match="another host"):
        verifier(issuer).verify(sign(), NOW)
    assert len(issuer.asked) == 1


def test_a_discovery_document_of_someone_else_is_not_believed() -> None:
    issuer = Issuer()
    issuer.discovery = {"issuer": "https://evil.example", "jwks_uri": f"{ISSUER}/.well-known/jwks"}
    with pytest.raises(OidcUnavailable, match="not its own"):
        verifier(issuer).verify(sign(), NOW)


@pytest.mark.parametrize(
    "keys",
    [
        published(("one", KEY), use="enc"),
        published(("one", KEY), alg="RS512"),
        published(("one", KEY), n="!"),
        {"keys": [{"kty": "oct", "kid": "one", "k": "c2VjcmV0", "alg": "RS256"}]},
        {"keys": ["one"]},
        {"keys": None},
        [],
    ],
)
def test_only_rsa_keys_for_signatures_count(keys: Any) -> None:
    issuer = Issuer()
    issuer.jwks = keys
    with pytest.raises(OidcUnavailable, match="no key"):
        verifier(issuer).verify(sign(), NOW)


@pytest.mark.parametrize("error", [requests.ConnectTimeout("slow"), OSError("gone"), ValueError("not JSON")])
def test_an_issuer_that_does_not_answer_is_trouble_not_a_refusal_and_is_not_hammered(
    error: Exception,
) -> None:
    issuer = Issuer()
    issuer.broken = error
    checked = verifier(issuer)
    for _ in range(3):
        with pytest.raises(OidcUnavailable):
            checked.verify(sign(), NOW)
    assert len(issuer.asked) == 1


def test_an_issuer_on_a_port_that_nobody_serves_is_trouble() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(OidcUnavailable, match="did not answer"):
        Verifier(f"http://127.0.0.1:{port}", AUDIENCE).verify(sign(), NOW)


def test_a_real_job_proves_which_run_it_is_and_of_which_workflow(world: World, github: GitHub) -> None:
    inputs = {"run": "oidc", "attempt": "1", "service": AUDIENCE}
    made = github.dispatch(world.repo, "agent.yml", "main", inputs, "Tollgate run oidc.1")

    def ended(client: Client) -> bool:
        return any(
            run["id"] == made.workflow_run_id and run["status"] == "completed" for run in client.runs()
        )

    world.client.wait(ended, 60, "the job's end")
    token = json.loads((world.tokens / "oidc").read_text())["value"]
    sent = jwt.decode(token, options={"verify_signature": False})
    claims = Verifier(world.client.about["oidc_issuer"], AUDIENCE).verify(token, sent["iat"] + 1)
    assert (claims.repository, claims.repository_id) == (world.repo.full_name, world.repo.id)
    assert (claims.run_id, claims.run_attempt) == (made.workflow_run_id, 1)
    assert claims.workflow_ref == f"{world.repo.full_name}/.github/workflows/agent.yml@refs/heads/main"
    assert (claims.event_name, claims.actor) == ("workflow_dispatch", "tollgate[bot]")


def test_the_sandboxes_issuer_publishes_keys_that_refuse_a_strangers_token(world: World) -> None:
    issuer = world.client.about["oidc_issuer"]
    with pytest.raises(OidcError, match="does not publish"):
        Verifier(issuer, AUDIENCE).verify(sign(iss=issuer), NOW)
