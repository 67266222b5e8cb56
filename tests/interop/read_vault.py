"""Reads a real vault without claviger: SQLite, the token through PKCS#11, and pycose for every envelope.

    read_vault.py CONFIG PIN_FILE

CONFIG is the TOML file that `claviger init` wrote. Prints a JSON object {"service/credential": {"kind": .., "fields":
{name: text}}} of the newest live versions to standard output; anything that does not fit docs/format.md is an error.
It is the proof that a stranger can write a reader from that document alone, with stock libraries and the token.
"""

import hashlib
import hmac
import json
import sqlite3
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote, urlparse

import cbor2
import pkcs11
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from pycose.algorithms import Direct
from pycose.headers import KID, Algorithm
from pycose.keys import SymmetricKey
from pycose.messages import CoseMessage, Enc0Message, EncMessage, Mac0Message  # noqa: F401 (decode looks them up)
from pycose.messages.recipient import DirectEncryption

OBJECT_SALT = -65540
VAULT_KEY_SERVICE = bytes(16)


def expand(key: bytes, info: bytes) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=32, info=info).derive(key)


def canonical(value) -> bytes:
    return cbor2.dumps(value, canonical=True)


class Vault:
    def __init__(self, config: dict, unwrap):
        self.id = bytes.fromhex(config["vault"])
        self.fingerprint = bytes.fromhex(config["fingerprint"])
        self.recipient = bytes.fromhex(config["token"]["recipient"])
        self.unwrap = unwrap
        path = unquote(urlparse(config["store"]).path)
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    def read(self, link) -> bytes:
        """The bytes that a link [id, SHA-256] vouches for."""
        object_id, digest = link
        (data,) = self.db.execute("SELECT bytes FROM object WHERE id = ?", (object_id,)).fetchone()
        assert hashlib.sha256(data).digest() == digest, "an object is not what its link vouches for"
        return data

    def data_key(self, link, service: bytes, n: int, kid: bytes) -> bytes:
        """Opens a data-key envelope: the token unwraps the CEK, pycose opens the COSE_Encrypt under it."""
        message = CoseMessage.decode(self.read(link))
        assert message.phdr[KID] == kid
        mine = next(r for r in message.recipients if (r.phdr.get(KID) or r.uhdr.get(KID)) == self.recipient)
        message.key = SymmetricKey(k=self.unwrap(mine.payload))
        # The recipient's work is done, so the rest is COSE's direct encryption under the CEK.
        message.recipients.clear()
        message.recipients.append(DirectEncryption(uhdr={Algorithm: Direct}))
        message.external_aad = canonical(["claviger/dek/v1", self.id, service, n])
        key = cbor2.loads(message.decrypt(message.recipients[0]))
        assert key[1] == 4 and key[2] == kid and expand(key[-1], b"claviger/v1/dek-kid") == kid
        return key[-1]

    def sealed(self, link, kind: str) -> dict:
        """Opens a sealed object under the key that its header names."""
        message = CoseMessage.decode(self.read(link))
        salt = cbor2.loads(message.phdr_encoded)[OBJECT_SALT]
        message.key = SymmetricKey(k=expand(self.metadata, b"claviger/v1/object" + salt))
        message.external_aad = canonical(["claviger/obj/v1", self.id, kind, link[0]])
        return cbor2.loads(message.decrypt())

    def open(self):
        """The opening order of docs/format.md: fingerprint, unwrap, kid, MAC."""
        (head,) = self.db.execute("SELECT bytes FROM head").fetchone()
        message = CoseMessage.decode(head)
        payload = cbor2.loads(message.payload)
        assert payload[1] == self.id and message.phdr[KID] == self.fingerprint
        [[fingerprint, envelope, index]] = payload[4]
        assert fingerprint == self.fingerprint
        vault_key = self.data_key(envelope, VAULT_KEY_SERVICE, 1, fingerprint)
        message.key = SymmetricKey(k=expand(vault_key, b"claviger/v1/head"))
        message.external_aad = canonical(["claviger/head/v1", self.id])
        assert message.verify_tag(), "the head's MAC does not fit"
        self.names = expand(vault_key, b"claviger/v1/index")
        self.metadata = expand(vault_key, b"claviger/v1/metadata")
        return index

    def leaves(self, link, prefix: bytes = b""):
        if link is None:
            return
        kind, found, entries = cbor2.loads(self.read(link))
        assert kind == 1 and found == prefix and len(entries) == 16
        for nibble, entry in enumerate(entries):
            if entry is None:
                continue
            if entry[0] == 0:
                yield from self.leaves(entry[1], prefix + bytes([nibble]))
            else:
                yield entry[1:]

    def credentials(self):
        for name, service, link, keys in self.leaves(self.open()):
            record = self.sealed(link, "service")
            assert hmac.digest(self.names, record[0].encode(), "sha256") == name
            opened = {n: self.data_key(envelope, service, n, kid) for n, kid, _, envelope, _ in keys}
            records = record[3] + [c for page in record[4] for c in self.sealed(page[2], "page")[0]]
            for credential in records:
                n, link, key, state, _, _ = credential[5][-1]
                if state == 1:
                    value = self.value(link, opened[key], service, credential[2], n)
                    yield record[0], credential[0], value

    def value(self, link, key: bytes, service: bytes, credential: bytes, n: int) -> dict:
        message = CoseMessage.decode(self.read(link))
        message.key = SymmetricKey(k=key)
        message.external_aad = canonical(["claviger/cred/v1", self.id, service, credential, n])
        plain = cbor2.loads(message.decrypt())
        fields = {name: v.decode() if isinstance(v, bytes) else v for name, v in plain[2].items()}
        return {"kind": plain[1], "fields": fields}


def token_unwrap(uri: str, recipient: bytes, pin: str):
    """Unwraps 40-byte AES key wraps on the token that the URI names."""
    attributes, _, query = uri.removeprefix("pkcs11:").partition("?")
    attributes = dict(part.split("=", 1) for part in attributes.split(";"))
    module = unquote(dict(part.split("=", 1) for part in query.split("&"))["module-path"])
    token = next(
        slot.get_token()
        for slot in pkcs11.lib(module).get_slots(token_present=True)
        if slot.get_token().serial.decode().strip() == unquote(attributes["serial"])
    )
    session = token.open(user_pin=pin)
    kek = session.get_key(object_class=pkcs11.ObjectClass.SECRET_KEY, id=recipient)

    def unwrap(wrapped: bytes) -> bytes:
        assert len(wrapped) == 40
        template = {pkcs11.Attribute.EXTRACTABLE: True, pkcs11.Attribute.SENSITIVE: False}
        key = kek.unwrap_key(
            pkcs11.ObjectClass.SECRET_KEY,
            pkcs11.KeyType.AES,
            wrapped,
            mechanism=pkcs11.Mechanism.AES_KEY_WRAP,
            store=False,
            template=template,
        )
        return key[pkcs11.Attribute.VALUE]

    return unwrap


def main() -> None:
    config = tomllib.loads(Path(sys.argv[1]).read_text())
    assert config["token"]["scheme"] == "A256KW"
    pin = Path(sys.argv[2]).read_text().rstrip("\n")
    unwrap = token_unwrap(config["token"]["uri"], bytes.fromhex(config["token"]["recipient"]), pin)
    vault = Vault(config, unwrap)
    json.dump({f"{service}/{name}": value for service, name, value in vault.credentials()}, sys.stdout)


main()
