"""Reads a real vault without claviger: SQLite, the token through PKCS#11, and pycose for every envelope.

    read_vault.py CONFIG PIN_FILE EXPECTED MANIFEST

CONFIG is the TOML file that `claviger init` wrote, EXPECTED the sidecar of the old manager's file that was imported:
what the vault holds must be that, to the letter. What was read is written to MANIFEST, in the form that check.py takes,
so that a second library can open the same envelopes. Anything that does not fit docs/format.md is an error.

It is the proof that a stranger can write a reader from that document, with stock libraries and the token.
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
        self.host = bytes.fromhex(config["host"]["id"])
        self.unwrap = unwrap
        path = unquote(urlparse(config["store"]).path)
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.manifest = {"comment": "what the program wrote to a real store", "vault": self.id.hex(), "recipients": []}
        self.manifest |= {"data_keys": [], "credentials": [], "heads": []}

    def read(self, link) -> bytes:
        """The bytes that a link [id, SHA-256] vouches for."""
        object_id, digest = link
        (data,) = self.db.execute("SELECT bytes FROM object WHERE id = ?", (object_id,)).fetchone()
        assert hashlib.sha256(data).digest() == digest, "an object is not what its link vouches for"
        return data

    def data_key(self, link, service: bytes, n: int, kid: bytes) -> bytes:
        """Opens a data-key envelope: the token unwraps the CEK, pycose opens the COSE_Encrypt under it."""
        envelope = self.read(link)
        message = CoseMessage.decode(envelope)
        assert message.phdr[KID] == kid
        mine = next(r for r in message.recipients if (r.phdr.get(KID) or r.uhdr.get(KID)) == self.recipient)
        cek = self.unwrap(mine.payload)
        message.key = SymmetricKey(k=cek)
        # The recipient's work is done, so the rest is COSE's direct encryption under the CEK.
        message.recipients.clear()
        message.recipients.append(DirectEncryption(uhdr={Algorithm: Direct}))
        message.external_aad = canonical(["claviger/dek/v1", self.id, service, n])
        key = cbor2.loads(message.decrypt(message.recipients[0]))
        assert key[1] == 4 and key[2] == kid and expand(key[-1], b"claviger/v1/dek-kid") == kid
        self.manifest["data_keys"].append(
            {"service": service.hex(), "n": n, "alg": "A256GCM", "kid": kid.hex(), "cek": cek.hex()}
            | {"key": key[-1].hex(), "envelope": {"hex": envelope.hex()}}
        )
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
        assert set(payload) == set(range(13)), "other labels than a head has"
        assert payload[1] == self.id and message.phdr[KID] == self.fingerprint
        # No job is under way: then there is one root.
        assert payload[9] is None
        [[fingerprint, envelope, index]] = payload[4]
        assert fingerprint == self.fingerprint
        vault_key = self.data_key(envelope, VAULT_KEY_SERVICE, 1, fingerprint)
        message.key = SymmetricKey(k=expand(vault_key, b"claviger/v1/head"))
        message.external_aad = canonical(["claviger/head/v1", self.id])
        assert message.verify_tag(), "the head's MAC does not fit"
        self.manifest["heads"].append(
            {"fingerprint": fingerprint.hex(), "payload": message.payload.hex(), "envelope": {"hex": head.hex()}}
        )
        self.names = expand(vault_key, b"claviger/v1/index")
        self.metadata = expand(vault_key, b"claviger/v1/metadata")
        self.register(payload[5])
        return index

    def register(self, link) -> None:
        """Who has to do with the vault: this token's key is an active recipient, and the host that wrote is listed."""
        register = self.sealed(link, "recipients")
        assert set(register) == set(range(6)), "other labels than the register has"
        mine = next(recipient for recipient in register[0] if recipient[0] == self.recipient)
        assert set(mine) == set(range(12)) and mine[6] == 1 and mine[10] is None
        assert all(set(host) == set(range(4)) for host in register[1])
        assert any(host[0] == self.host and host[2] == self.fingerprint for host in register[1])
        assert register[3] > 0 and register[4] > 0

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
            assert set(record) == set(range(6)), "other labels than a service has"
            assert hmac.digest(self.names, record[0].encode(), "sha256") == name
            opened = {n: (kid, self.data_key(envelope, service, n, kid)) for n, kid, _, envelope, _ in keys}
            records = record[3] + [c for page in record[4] for c in self.sealed(page[2], "page")[0]]
            for credential in records:
                assert set(credential) == set(range(8)), "other labels than a credential has"
                n, link, key, state, _, _, _ = credential[5][-1]
                if state == 1:
                    value = self.value(link, opened[key], service, credential[2], n)
                    yield record[0], credential[0], value

    def value(self, link, opened, service: bytes, credential: bytes, n: int) -> dict:
        kid, key = opened
        envelope = self.read(link)
        message = CoseMessage.decode(envelope)
        message.key = SymmetricKey(k=key)
        message.external_aad = canonical(["claviger/cred/v1", self.id, service, credential, n])
        plain = cbor2.loads(message.decrypt())
        fields = {name: {"bytes": v.hex()} if isinstance(v, bytes) else {"json": v} for name, v in plain[2].items()}
        self.manifest["credentials"].append(
            {"service": service.hex(), "credential": credential.hex(), "n": n, "kid": kid.hex(), "kind": plain[1]}
            | {"fields": fields, "envelope": {"hex": envelope.hex()}}
        )
        return plain[2]


def compare(found: dict, expected: dict) -> None:
    """Holds what was read against what the old manager had, JSON by its text."""
    keys, tokens = expected.get("api_keys", {}), expected.get("oauth_tokens", {})
    assert len(found) == len(keys) + len(tokens), "the vault holds more or less than the old file"
    for service, text in keys.items():
        assert found[service, "api_key"] == {"value": text.encode()}
    for service, token in tokens.items():
        fields = found[service, "oauth_token"]
        assert {name: json.loads(text) for name, text in fields.items()} == token


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
    config_file, pin_file, expected, manifest = map(Path, sys.argv[1:])
    config = tomllib.loads(config_file.read_text())
    assert config["token"]["scheme"] == "A256KW"
    pin = pin_file.read_text().rstrip("\n")
    unwrap = token_unwrap(config["token"]["uri"], bytes.fromhex(config["token"]["recipient"]), pin)
    vault = Vault(config, unwrap)
    found = {(service, name): fields for service, name, fields in vault.credentials()}
    compare(found, json.loads(expected.read_text())["contents"])
    manifest.write_text(json.dumps(vault.manifest))
    print(f"{config_file.name}: {len(found)} credentials read without claviger, and all are what they were")


main()
