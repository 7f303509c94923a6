"""The sandbox's usage and cost reports: the documented shapes, the invoice's sums, and what is planted."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anthropic
import pytest

from sandbox.processes import ROOT, Started, start

ADMIN, MODEL = "sk-ant-admin-test", "claude-opus-4-7"
COST = "/v1/organizations/cost_report"
# platform.claude.com/docs/en/api/admin/cost_report, copy of 2026-08-22.
LINE = {
    "amount", "context_window", "cost_type", "currency", "description", "inference_geo", "model",
    "service_tier", "token_type", "workspace_id",
}  # fmt: skip
TOKENS = {
    "uncached_input_tokens", "output_tokens", "cache_read_input_tokens",
    "cache_creation.ephemeral_1h_input_tokens", "cache_creation.ephemeral_5m_input_tokens",
}  # fmt: skip


@pytest.fixture
def claude() -> Iterator[Started]:
    with start("claude", character="echo", admin_key=ADMIN, report_lag_ms=0) as started:
        yield started


def ask(claude: Started, user: str, **asked: Any) -> None:
    with anthropic.Anthropic(api_key="sk-a", base_url=claude.url, max_retries=0) as sdk:
        said = [{"role": "user", "content": "hello"}]
        sdk.messages.create(model=MODEL, max_tokens=50, messages=said, metadata={"user_id": user}, **asked)  # type: ignore[call-overload]


def report(claude: Started, path: str, *groups: str, **query: str) -> Any:
    asked = urlencode([*query.items(), *(("group_by[]", group) for group in groups)])
    request = urllib.request.Request(f"{claude.url}{path}?{asked}", headers={"x-api-key": ADMIN})  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def lines(claude: Started, *groups: str) -> list[dict[str, Any]]:
    """Those of the days since the first that was billed."""
    first = datetime.fromtimestamp(claude.invoice()["rows"][0]["at"] / 1000, UTC)
    since = f"{first:%Y-%m-%dT%H:%M:%SZ}"
    found = report(claude, COST, *groups, starting_at=since, limit="4")
    return [line for bucket in found["data"] for line in bucket["results"]]


def cents(told: list[dict[str, Any]]) -> Decimal:
    return sum((Decimal(line["amount"]) for line in told), Decimal(0))


def test_the_cost_report_is_the_invoice_in_cents_by_model_and_kind_of_token(claude: Started) -> None:
    ask(claude, "a")
    ask(claude, "b", extra_body={"inference_geo": "us"})
    told = lines(claude, "workspace_id", "description")
    assert cents(told) * 10_000_000 == claude.invoice()["total_nanos"]
    assert all(set(line) == LINE for line in told)
    assert {line["token_type"] for line in told} <= TOKENS
    assert {(line["model"], line["cost_type"], line["currency"]) for line in told} == {
        (MODEL, "tokens", "USD")
    }
    # Not grouped, it is one sum.
    (whole,) = lines(claude)
    assert cents([whole]) == cents(told)
    assert {whole[name] for name in LINE - {"amount", "currency"}} == {None}


@pytest.mark.parametrize(
    ("query", "groups", "said"),
    [
        pytest.param(
            {"starting_at": "2026-11-01T00:00:00Z", "bucket_width": "1h"}, (), "days only", id="hours"
        ),
        pytest.param({"starting_at": "2026-11-01T00:00:00Z"}, ("model",), "not a dimension", id="by model"),
        pytest.param({}, (), "Field required", id="since nowhere"),
        pytest.param(
            {"starting_at": "2026-11-01T00:00:00Z", "limit": "32"}, (), "from 1 to 31", id="32 days"
        ),
    ],
)
def test_what_the_cost_report_does_not_have_is_refused(
    claude: Started, query: dict[str, str], groups: tuple[str, ...], said: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        report(claude, COST, *groups, **query)
    assert refused.value.code == 400
    assert said in refused.value.read().decode()


def test_what_is_planted_changes_the_reports_and_never_the_invoice(claude: Started) -> None:
    ask(claude, "a")
    invoice, (row,) = claude.invoice(), claude.invoice()["rows"]
    for fault, times in (
        ({"copies": 2}, 2),
        ({"copies": 0}, 0),
        ({"late_ms": 60_000}, 0),
        ({"user": "b"}, 1),
    ):
        claude.ask("/_sandbox/reports", [fault])
        assert cents(lines(claude, "description")) * 10_000_000 == row["nanos"] * times, fault
    claude.ask("/_sandbox/reports", [{"late_ms": 60_000}])
    claude.ask("/_sandbox/clock", {"advance_seconds": 61})
    assert cents(lines(claude, "description")) * 10_000_000 == row["nanos"]
    claude.ask("/_sandbox/reports", [{"user": "a", "prices": {"output": 1}}])
    (output,) = [line for line in lines(claude, "description") if line["token_type"] == "output_tokens"]
    assert Decimal(output["amount"]) * 10_000_000 == row["output"]
    claude.ask("/_sandbox/reports", [{"model": "claude-haiku-4-5", "move": ["input", "cache_read"]}])
    told = lines(claude, "description")
    assert {line["model"] for line in told} == {"claude-haiku-4-5-20251001"}
    assert "uncached_input_tokens" not in {line["token_type"] for line in told}
    assert claude.invoice() == invoice


@pytest.mark.parametrize(
    "fault",
    [{"model": "gpt"}, {"move": ["input"]}, {"move": ["input", "x"]}, {"prices": {"x": 1}}, {"nonsense": 1}],
)
def test_a_fault_that_is_none_is_refused(claude: Started, fault: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400"):
        claude.ask("/_sandbox/reports", [fault])


def test_the_same_body_again_is_one_line_of_the_invoice_when_requests_are_replayed(claude: Started) -> None:
    claude.ask("/_sandbox/conduct", {"replays": True})
    for user in ("a", "a", "b"):
        ask(claude, user)
    assert [row["user"] for row in claude.invoice()["rows"]] == ["a", "b"]


def test_faults_may_be_planted_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "reports.json"
    file.write_text('[{"copies": 0}]')
    with start("claude", character="echo", admin_key=ADMIN, report_lag_ms=0, reports=file) as started:
        ask(started, "a")
        assert lines(started, "description") == []
    file.write_text('[{"model": "gpt"}]')
    wrong = subprocess.run(
        [sys.executable, "-m", "sandbox", "claude", "--reports", str(file)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (wrong.returncode, "is no model of this address" in wrong.stderr) == (1, True)
