"""What only this service can read again: a token in the database, a question in a browser's cookie.

AES-256-GCM under a key that HKDF derives from SESSION_SECRET, bound to what it is about: sealed text that is
put in another's place does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os

_NONCE = 12


class Seal:
    """No repr, no dataclass: it is a key."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def seal(self, text: str, about: str) -> str:
        # Here and in `open`, not above: with it comes cryptography, which a web process at rest does without.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE)
        sealed = AESGCM(self._key(b"seal")).encrypt(nonce, text.encode(), about.encode())
        return base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, sealed: str, about: str) -> str | None:
        """None for what was not sealed here, or is about something else, or under another SESSION_SECRET."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            raw = base64.urlsafe_b64decode(sealed.encode("ascii"))
            text = AESGCM(self._key(b"seal")).decrypt(raw[:_NONCE], raw[_NONCE:], about.encode())
            return text.decode()
        except (ValueError, binascii.Error, InvalidTag):
            return None

    def mark(self, about: str) -> str:
        """A word that only this service can say about something: what a form of ours carries back."""
        return hmac.new(self._key(b"mark"), about.encode(), hashlib.sha256).hexdigest()

    @staticmethod
    def same(mark: str, given: str) -> bool:
        return bool(mark) and hmac.compare_digest(mark.encode(), given.encode("utf-8", "replace"))

    def _key(self, use: bytes) -> bytes:
        """HKDF-SHA256 of one block (RFC 5869), without a salt: the secret is random."""
        extracted = hmac.new(b"\0" * 32, self._secret, hashlib.sha256).digest()
        return hmac.new(extracted, b"tollgate " + use + b"\x01", hashlib.sha256).digest()
