"""What looks like a credential is found, what does not is left alone, and no text makes the look slow."""

from __future__ import annotations

import re
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
import re2
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bot.core import secrets
from bot.core.secrets import LINE, MANY, Rule, find, redacted
from tests.contracts.secret_rules import as_python

ROOT = Path(__file__).resolve().parents[2]
BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 8
RANDOM = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"


def kinds(content: str | bytes, path: str = "src/app.py") -> set[str]:
    raw = content.encode() if isinstance(content, str) else content
    return {one.what for one in find(raw, path)}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}", "a private key", id="a key, cut off"),
        pytest.param(f'k = "-----BEGIN PRIVATE KEY-----\\n{BODY}"', "a private key", id="a key in a string"),
        pytest.param(b"\0\1-----BEGIN EC PRIVATE KEY-----\r\n" + BODY.encode(), "a private key", id="binary"),
        pytest.param("t = 'run_" + "a" * 42 + "-'", "a run token of this service", id="a run token of ours"),
        pytest.param("t = 'user_" + "a" * 42 + "-'", "a login of this service", id="a laptop's login"),
        pytest.param("sk-ant-" + "oat01-" + "a" * 90, "an Anthropic API key", id="an Anthropic key"),
        pytest.param("ghs_" + "a" * 36, "a GitHub token", id="a GitHub token"),
        pytest.param("ghs_" + "123_eyJhbGciOi.eyJpc3-Mi_.c2ln" * 9, "a GitHub token", id="a long one"),
        pytest.param("AKIA" + "Z3MX6TQ2LBVN4RJ7", "a credential (aws-access-token)", id="an AWS key"),
        pytest.param(f"npm_{RANDOM}", "a credential (npm-access-token)", id="an npm token"),
        pytest.param("AIza" + "Sy" + RANDOM[:33], "a credential (gcp-api-key)", id="a Google key"),
        pytest.param(f'api_key = "{RANDOM}"', "a credential (generic-api-key)", id="a key by its name"),
    ],
)
def test_a_credential_is_found(content: str | bytes, what: str) -> None:
    assert what in kinds(content)


@pytest.mark.parametrize("path", ["package-lock.json", "node_modules/a.js", "logo.png", "go.sum"])
def test_our_own_kinds_are_looked_for_in_every_file(path: str) -> None:
    assert kinds("ghs_" + "a" * 36, path) == {"a GitHub token"}
    assert kinds(f"npm_{RANDOM}", path) == set(), "what the rules' own list leaves out"


@pytest.mark.parametrize("comment", ["# gitleaks:allow", "// nosec", "# pragma: allowlist secret"])
def test_no_comment_of_an_agent_s_excuses_a_secret(comment: str) -> None:
    assert kinds(f"t = 'ghs_{'a' * 36}' {comment}") == {"a GitHub token"}
    assert "a credential (npm-access-token)" in kinds(f"t = 'npm_{RANDOM}' {comment}")


@pytest.mark.parametrize(
    ("path", "held"),
    [
        (".env", True), ("app/.env", True), ("id_rsa", True), (".ssh/id_ed25519", True), ("store.p12", True),
        (".netrc", True), (".env.example", False), ("id_rsa.pub", False), ("environment.py", False),
    ],
)  # fmt: skip
def test_a_file_that_is_all_credentials_is_known_by_its_name(path: str, held: bool) -> None:
    assert bool(kinds("A=1\n", path)) is held


@pytest.mark.parametrize(
    "content",
    [
        'if "-----BEGIN PRIVATE KEY-----" in text:',
        'head, foot = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"',
        "password = os.environ['PASSWORD']",
        "api_key = config.get('api_key')",
        "token = '${{ secrets.GITHUB_TOKEN }}'",
        'key = "AKIAIOSFODNN7EXAMPLE"',
        "sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
        "run_id = 1; ghs_ = 2; sk-ant- is how they begin",
        "secret_length = 32",
    ],
)
def test_ordinary_code_is_left_alone(content: str) -> None:
    assert kinds(content) == set()


def test_this_repository_and_the_exam_s_tasks_hold_nothing_but_made_up_ones_in_tests() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    rules = "bot/core/secret_rules.json"  # has one, word for word, as its expression
    files = [name for name in listed.splitlines() if not name.startswith("tests/") and name != rules]
    assert len([name for name in files if name.startswith("exam/")]) > 30
    found = {name: kinds((ROOT / name).read_bytes(), name) for name in files if (ROOT / name).is_file()}
    assert {name: what for name, what in found.items() if what} == {}


# -- laws --


def rules() -> list[Any]:
    return [rule for rule in secrets._rules() if rule.pattern is not None]


def test_every_rule_can_be_read_by_re2_and_no_other_engine_reads_any() -> None:
    assert len(rules()) == 221
    for rule in (*secrets._ours(), *secrets._rules()):
        for one in (rule.expression, rule.place, *(e for x in rule.excuses for e in (*x.paths, *x.regexes))):
            assert type(one).__module__ == re2.__name__


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule.what))
def test_each_rule_finds_what_its_expression_describes(rule: Rule) -> None:
    """By texts that are made of it: found, unless all of them are too regular."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expression = re.compile(as_python(rule.pattern or ""), re.ASCII)
    plain = st.characters(codec="ascii", exclude_characters="\0\r")
    found = []

    @settings(
        max_examples=6,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.from_regex(expression, alphabet=plain))
    def look(text: str) -> None:
        raw = b" ".join(rule.keywords) + b"\n" + text.encode()
        name = b"nuget.config" if "nuget" in rule.what else b"a.php a.tf a.yaml"
        found.append(rule.path is not None or any(rule.find(raw, name, raw.lower())))

    look()
    assert any(found) or rule.entropy, "no text at all was found"


@given(st.text(max_size=200), st.sampled_from(["ghs_" + "a" * 40, "run_" + "b" * 43]), st.text(max_size=200))
def test_what_is_redacted_is_gone_and_nothing_else(before: str, secret: str, after: str) -> None:
    clean, what = redacted(f"{before} {secret} {after}")
    assert secret not in clean
    assert len(what) == 1
    assert clean.startswith(before.encode(errors="replace").decode())


@given(st.text(max_size=300))
def test_what_holds_no_secret_stays_as_it_is(text: str) -> None:
    clean, what = redacted(text)
    assert what or clean == text


@pytest.mark.parametrize(
    "unit",
    [
        'key = "aB3dE6gH9jK2mN5pQ8sT1vW4', "-----BEGIN PRIVATE KEY-----abcdefghijklmnop.", "curl -u 'a:b' ",
        "kind: secret data: ", "a" * 50, 'password="client',
    ],
)  # fmt: skip
def test_what_is_judged_of_a_text_is_bounded_however_it_is_made(unit: str) -> None:
    raw = (unit * 40_000)[:400_000].encode()
    for rule in (*secrets._ours(), *secrets._rules()):
        assert sum(1 for _ in rule.find(raw, b"a.yaml", raw.lower())) <= MANY + 1
    seen: list[int] = []
    by_line = secrets.Excuse((), (), (b"nothing",), "line", True)

    class Counting:
        def holds(self, path: bytes, secret: bytes, match: bytes, line: bytes) -> bool:
            seen.append(len(line) - len(match))
            return by_line.holds(path, secret, match, line)

    rule = next(one for one in secrets._rules() if "generic" in one.what)
    watched = Rule(rule.what, rule.pattern, rule.keywords)
    watched.__dict__["excuses"] = (Counting(),)
    list(watched.find(raw, b"a", raw.lower()))
    assert len(seen) <= MANY
    assert max(seen, default=0) <= 2 * LINE, "a line without an end is not read whole for every match"
