"""The App's credentials: kept whole, for their owner alone, over nothing, and never on a screen."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

import pytest

from bot.stores.credentials import NAMES, CredentialsError, Place, others_may_read, read

VALUES = {name: f"the secret {name}\nof two lines" for name in NAMES}


def test_a_file_is_for_its_owner_alone_and_read_back_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "app.json"
    Place(file).try_it()
    assert list(tmp_path.iterdir()) == [], "a try leaves nothing"
    Place(file).keep(VALUES)
    assert file.stat().st_mode & 0o777 == 0o600
    assert read(file) == VALUES
    assert list(tmp_path.iterdir()) == [file]
    assert not others_may_read(file)
    file.chmod(0o640)
    assert others_may_read(file)


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "app.json"
    file.write_text("the only key of another App")
    with pytest.raises(CredentialsError, match="there already"):
        Place(file).try_it()
    with pytest.raises(CredentialsError, match="could not be kept") as caught:
        Place(file).keep(VALUES)  # it came there after the try
    assert file.read_text() == "the only key of another App"
    assert _aside(caught.value) == VALUES


@pytest.mark.parametrize("parent", ["missing", "a file"])
def test_a_folder_that_keeps_nothing_is_known_before_github_is_asked(tmp_path: Path, parent: str) -> None:
    if parent == "a file":
        (tmp_path / parent).write_text("")
    with pytest.raises(CredentialsError, match="no credentials can be kept"):
        Place(tmp_path / parent / "app.json").try_it()


def test_a_secret_store_gets_them_on_its_standard_input(tmp_path: Path) -> None:
    store = tmp_path / "store.py"
    store.write_text(f"import sys; open({str(tmp_path / 'kept')!r}, 'w').write(sys.stdin.read())")
    place = Place(command=f"{sys.executable} '{store}'")
    place.try_it()
    place.keep(VALUES)
    assert json.loads((tmp_path / "kept").read_text()) == VALUES


@pytest.mark.parametrize("code", ["sys.exit(3)", "print(sys.stdin.read()); sys.exit(1)"])
def test_what_a_store_refuses_is_lost_to_nobody_and_shown_to_nobody(
    tmp_path: Path, code: str, capfd: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store.py"
    store.write_text(f"import sys; {code}")
    with pytest.raises(CredentialsError, match="ended with") as caught:
        Place(command=f"{sys.executable} {store}").keep(VALUES)
    assert _aside(caught.value) == VALUES
    assert "secret" not in "".join(capfd.readouterr()) + str(caught.value).replace("_SECRET", "")


@pytest.mark.parametrize("command", ["no-such-program --put", "'unclosed", " "])
def test_a_command_that_cannot_run_is_known_before_github_is_asked(command: str) -> None:
    with pytest.raises(CredentialsError, match="CREDENTIALS_COMMAND"):
        Place(command=command).try_it()


@pytest.mark.parametrize("text", ["", "[]", "{}x", '{"GITHUB_APP_ID": 1}'])
def test_a_file_that_is_none_of_ours_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "app.json"
    file.write_text(text)
    with pytest.raises(CredentialsError, match="CREDENTIALS_FILE"):
        read(file)


def _aside(error: CredentialsError) -> dict[str, str]:
    """What is in the file that the sentence names; it is removed."""
    found = re.search(rf"{re.escape(tempfile.gettempdir())}/tollgate-credentials-\w+\.json", str(error))
    assert found
    file = Path(found[0])
    assert file.stat().st_mode & 0o777 == 0o600
    kept = read(file)
    file.unlink()
    return kept
