"""Files that the real program wrote, opened by others.

    interop.py PROGRAM

Makes a vault on a private token, imports what the old manager wrote, and has tests/interop read it all without claviger:
read_vault.py walks the store with pycose and the token alone; then every envelope on its way is handed to pycose and cwt.
"""

import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile

import lab

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "crates" / "claviger-legacy" / "fixtures"
sys.path.insert(0, str(ROOT / "tests" / "interop"))


def expected(contents: dict) -> dict:
    """What the vault must hold after the import of these contents, as {name: value}."""
    keys = {f"{service}/api_key": value for service, value in contents.get("api_keys", {}).items()}
    tokens = {f"{service}/oauth_token": fields for service, fields in contents.get("oauth_tokens", {}).items()}
    return keys | tokens


def plain(credential: dict):
    """The value of a credential as read_vault.py tells it. Members of an OAuth token are JSON to the letter."""
    if credential["kind"] == "api-key":
        return credential["fields"]["value"]
    return {name: json.loads(text) for name, text in credential["fields"].items()}


def manifest(vault_class, config: dict, unwrap) -> dict:
    """Every envelope that a reader of this vault meets, in the form that check.py takes."""
    import cbor2
    from pycose.headers import KID
    from pycose.messages import CoseMessage

    data_keys, credentials, objects, ceks = [], [], [], []

    def noting_unwrap(wrapped: bytes) -> bytes:
        ceks.append(unwrap(wrapped))
        return ceks[-1]

    class Recorder(vault_class):
        def data_key(self, link, service, n, kid):
            key = super().data_key(link, service, n, kid)
            entry = {"service": service.hex(), "n": n, "alg": "A256GCM", "kid": kid.hex(), "cek": ceks[-1].hex()}
            data_keys.append({**entry, "envelope": {"hex": self.read(link).hex()}})
            return key

        def sealed(self, link, kind):
            plaintext = super().sealed(link, kind)
            entry = {"kind": kind, "id": link[0].hex(), "vault_key": self.fingerprint.hex()}
            entry["plaintext"] = cbor2.dumps(plaintext, canonical=True).hex()
            objects.append({**entry, "envelope": {"hex": self.read(link).hex()}})
            return plaintext

        def value(self, link, key, service, credential, n):
            value = super().value(link, key, service, credential, n)
            message = CoseMessage.decode(self.read(link))
            form = "bytes" if value["kind"] == "api-key" else "json"
            fields = {
                name: {form: text.encode().hex() if form == "bytes" else text} for name, text in value["fields"].items()
            }
            place = {"service": service.hex(), "credential": credential.hex(), "n": n, "kid": message.phdr[KID].hex()}
            entry = {**place, "kind": value["kind"], "fields": fields}
            credentials.append({**entry, "envelope": {"hex": self.read(link).hex()}})
            return value

    vault = Recorder(config, noting_unwrap)
    list(vault.credentials())
    (head,) = vault.db.execute("SELECT bytes FROM head").fetchone()
    payload = CoseMessage.decode(head).payload
    heads = [{"fingerprint": vault.fingerprint.hex(), "payload": payload.hex(), "envelope": {"hex": head.hex()}}]
    parts = {"data_keys": data_keys, "credentials": credentials, "objects": objects, "heads": heads}
    return {"comment": "A real vault", "vault": vault.id.hex(), "recipients": [], **parts}


def main() -> None:
    [program] = sys.argv[1:]
    with tempfile.TemporaryDirectory() as scratch:
        vault = lab.Vault(pathlib.Path(program), pathlib.Path(scratch) / "vault")
        wanted = {}
        for name in ("typical", "odd"):
            fixture = json.loads((FIXTURES / f"{name}.json").read_text())
            key = pathlib.Path(scratch) / "key"
            key.write_text(fixture["key"])
            key.chmod(0o600)
            # Where both files have a service, the later one is what is read back.
            arguments = ["import", "apex", str(FIXTURES / f"{name}.enc"), "--key-file", str(key), "--overwrite"]
            vault.command(*arguments).output()
            wanted |= expected(fixture["contents"])

        # read_vault.py is a program: importing it runs it, in the environment of the module that it loads.
        os.environ.update(vault.environment)
        config_file = vault.environment["CLAVIGER_CONFIG"]
        sys.argv = ["read_vault.py", config_file, str(vault.pin)]
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            import read_vault
        found = {name: plain(credential) for name, credential in json.loads(output.getvalue()).items()}
        if found != wanted:
            names = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
            sys.exit(f"a reader without claviger finds something else under {names}")
        print(f"real vault: {len(found)} credentials read by pycose and the token alone")

        from reading import Checker

        config = read_vault.tomllib.loads(pathlib.Path(config_file).read_text())
        recipient = bytes.fromhex(config["token"]["recipient"])
        unwrap = read_vault.token_unwrap(config["token"]["uri"], recipient, vault.pin.read_text())
        print("real vault: opened", Checker(manifest(read_vault.Vault, config, unwrap), ROOT).check())


main()
