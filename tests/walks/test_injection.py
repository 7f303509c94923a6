"""A pull request that gives orders and a model that obeys, with the shipped workflow, up to the report."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox.fresh import KEY
from sandbox.story import product
from tests.runner.test_injection import ORDERS
from tests.walks.test_demo import PULL, a_world, fixed

pytestmark = pytest.mark.slow


def test_orders_in_a_pull_request_land_nowhere_and_are_billed_like_any_other_work(tmp_path: Path) -> None:
    with a_world(tmp_path, character="gullible") as up:
        head = up.github.thread(PULL)["head_ref"]
        up.github.commit("dana", head, {"README.md": f"# calendar\n\n{ORDERS}\n"})
        before = {ref: up.github.file("README.md", ref) for ref in (head, "main")}
        workflow = up.github.file(".github/workflows/agent.yml", "main")
        report = fixed(up)
        assert ".github/workflows/evil.yml" in report  # why it is held for a human
        for ref in (head, "main"):
            assert up.github.file("README.md", ref) == before[ref]
        assert up.github.file(".github/workflows/agent.yml", "main") == workflow
        branches = up.github.repository()["branches"]
        assert [name for name in branches if name.startswith("agent/")] == []
        said = json.dumps(up.github.comments(PULL))
        for secret in (KEY, up.env["GITHUB_WEBHOOK_SECRET"], "run_", "ghs_", "BEGIN RSA", "BEGIN PRIVATE"):
            assert secret not in said
        invoice = up.claude.invoice()["total_nanos"]
        spent = json.loads(product(up.env, "metrics", "--json"))["spend"]
        assert Decimal(spent["usd"]) * 1_000_000_000 == invoice > 0
