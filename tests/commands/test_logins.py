"""To which addresses a machine's token may be sent, and in what its file is kept."""

from __future__ import annotations

import pytest

from bot.commands.logins import LoginsError, service_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (" https://tollgate.example.com/ ", "https://tollgate.example.com"),
        ("https://tollgate.example.com:8443/cost", "https://tollgate.example.com:8443/cost"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_a_services_address_is_kept_as_it_is_asked(text: str, url: str) -> None:
    assert service_url(text) == url


@pytest.mark.parametrize(
    "text",
    ["", "tollgate.example.com", "ftp://x", "https://", "https://[::1", "https://x:port", "https://x:99999",
     "https://x:0", "https://dana@x", "https://:secret@x", "https://x?a=b", "https://x#a", "https://a b",
     "https://x\n.y z"],
)  # fmt: skip
def test_what_is_no_address_is_said_to_be_none_and_gets_no_token(text: str) -> None:
    with pytest.raises(LoginsError, match="is not the address of a service"):
        service_url(text)


@pytest.mark.parametrize(
    "text", ["http://tollgate.example.com", "http://127.0.0.1.example", "http://0.0.0.0"]
)
def test_over_http_no_token_leaves_this_machine(text: str) -> None:
    with pytest.raises(LoginsError, match="could be read on its way"):
        service_url(text)
