"""Opens everything that a manifest has, by every library that can."""

from pathlib import Path

import cbor2
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libraries import A256GCM, CHACHA20, FORMAT, HMAC256, LIBRARIES, SALT, TYP
from libraries import Pycose, canonical, expand, kid_of, must, open_directly, typ


def unwrap_gcm(data: bytes, recipient: bytes, kek: bytes, external_aad: bytes) -> bytes:
    """The recipient layer of A256GCM (RFC 9052 section 5.4), which neither library has."""
    for protected, unprotected, wrapped in cbor2.loads(data).value[3]:
        if protected and cbor2.loads(protected) == {1: A256GCM, 4: recipient}:
            aad = canonical(["Enc_Recipient", protected, external_aad])
            return AESGCM(kek).decrypt(unprotected[5], wrapped, aad)
    raise AssertionError("no such recipient")


class Checker:
    """The envelopes of one manifest. `check` says how many each library opened."""

    def __init__(self, manifest: dict, directory: Path):
        self.manifest, self.directory = manifest, directory
        self.vault = bytes.fromhex(manifest["vault"])
        self.recipients = {
            bytes.fromhex(known["recipient"]): (known["scheme"], bytes.fromhex(known["key"]))
            for known in manifest["recipients"]
        }
        self.keys = {}
        self.opened = {library.name: 0 for library in LIBRARIES}

    def check(self) -> str:
        for check, entries in (
            (self.data_key, "data_keys"),
            (self.credential, "credentials"),
            (self.object, "objects"),
            (self.head, "heads"),
        ):
            for entry in self.manifest.get(entries, []):
                data = self.bytes(entry["envelope"])
                must(canonical(cbor2.loads(data)) == data, "not deterministic")
                check(entry, data)
        return ", ".join(f"{count} by {name}" for name, count in self.opened.items())

    def bytes(self, envelope: dict) -> bytes:
        if "file" in envelope:
            return (self.directory / envelope["file"]).read_bytes()
        return bytes.fromhex(envelope["hex"])

    def protected(self, data: bytes, kind: str, alg: int, **more) -> None:
        """The protected header, label by label, as docs/format.md has it."""
        labels = {1: alg, TYP: typ(kind), FORMAT: 1} | {int(label[1:]): value for label, value in more.items()}
        must(cbor2.loads(cbor2.loads(data).value[0]) == labels, "other labels than the format has")

    def by_libraries(self, alg: int, open_by, expected) -> None:
        """Every library that knows the algorithm must open it to the same."""
        tried = [library for library in LIBRARIES if alg in library.algs]
        must(bool(tried), "no library knows the algorithm")
        for library in tried:
            must(open_by(library) == expected, f"{library.name} opened it to something else")
            self.opened[library.name] += 1

    def data_key(self, entry: dict, data: bytes) -> None:
        alg = {"A256GCM": A256GCM, "ChaCha20/Poly1305": CHACHA20}[entry["alg"]]
        kid, service = bytes.fromhex(entry["kid"]), bytes.fromhex(entry["service"])
        self.protected(data, "dek", alg, _3=101, _4=kid)
        aad = canonical(["claviger/dek/v1", self.vault, service, entry["n"]])
        plaintexts = []

        def opened(library, plaintext: bytes) -> None:
            plaintexts.append(plaintext)
            self.opened[library.name] += 1

        if "cek" in entry:
            for library in LIBRARIES:
                if alg in library.algs:
                    opened(library, open_directly(library, data, bytes.fromhex(entry["cek"]), aad))
        recipients = cbor2.loads(data).value[3]
        for protected, unprotected, _ in recipients:
            recipient = (cbor2.loads(protected) if protected else unprotected)[4]
            if recipient not in self.recipients:
                must("cek" in entry, "a recipient without key")
                continue
            scheme, key = self.recipients[recipient]
            for library in LIBRARIES:
                if alg not in library.algs:
                    continue
                if scheme == "A256GCM":
                    cek = unwrap_gcm(data, recipient, key, aad)
                    opened(library, open_directly(library, data, cek, aad))
                elif scheme in library.schemes and (library is Pycose or self.all_known_to_cwt(recipients)):
                    opened(library, library.open_for(data, recipient, scheme, key, aad))
        must(bool(plaintexts), "no library opened it")
        must(len(set(plaintexts)) == 1, "libraries or recipients disagree")
        cose_key = cbor2.loads(plaintexts[0])
        must(canonical(cose_key) == plaintexts[0] and set(cose_key) == {1, 2, 3, -1}, "not the one COSE_Key")
        must(cose_key[1] == 4 and cose_key[2] == kid and cose_key[3] == alg, "another COSE_Key")
        must(kid_of(cose_key[-1]) == kid, "the kid is not the key's")
        must(cose_key[-1].hex() == entry.get("key", cose_key[-1].hex()), "another data key")
        self.keys[entry["kid"]] = alg, cose_key[-1]

    @staticmethod
    def all_known_to_cwt(recipients: list) -> bool:
        """cwt reads all recipients before it uses one, and stumbles over RSAES-OAEP."""
        return all((cbor2.loads(p) if p else u)[1] in (-5, -31) for p, u, _ in recipients)

    def credential(self, entry: dict, data: bytes) -> None:
        alg, key = self.keys[entry["kid"]]
        self.protected(data, "credential", alg, _4=bytes.fromhex(entry["kid"]))
        place = (bytes.fromhex(entry["service"]), bytes.fromhex(entry["credential"]), entry["n"])
        aad = canonical(["claviger/cred/v1", self.vault, *place])

        def plaintext(library):
            opened = library.open(data, key, aad)
            # cbor2 sorts shorter keys first, as text strings are sorted in deterministic CBOR.
            must(canonical(cbor2.loads(opened)) == opened, "a plaintext that is not deterministic")
            return cbor2.loads(opened)

        fields = {
            name: bytes.fromhex(field["bytes"]) if "bytes" in field else field["json"]
            for name, field in entry["fields"].items()
        }
        self.by_libraries(alg, plaintext, {1: entry["kind"], 2: fields})

    def object(self, entry: dict, data: bytes) -> None:
        protected, unprotected, _ = cbor2.loads(data).value
        salt = cbor2.loads(protected)[SALT]
        self.protected(data, entry["kind"], A256GCM, **{f"_{SALT}": salt})
        must(len(salt) == 32 and unprotected == {5: bytes(12)}, "another salt or nonce than the format has")
        metadata = expand(self.keys[entry["vault_key"]][1], b"claviger/v1/metadata")
        key = expand(metadata, b"claviger/v1/object" + salt)
        aad = canonical(["claviger/obj/v1", self.vault, entry["kind"], bytes.fromhex(entry["id"])])
        expected = bytes.fromhex(entry["plaintext"])
        self.by_libraries(A256GCM, lambda library: library.open(data, key, aad), expected)

    def head(self, entry: dict, data: bytes) -> None:
        self.protected(data, "head", HMAC256, _4=bytes.fromhex(entry["fingerprint"]))
        key = expand(self.keys[entry["fingerprint"]][1], b"claviger/v1/head")
        aad = canonical(["claviger/head/v1", self.vault])
        payload = bytes.fromhex(entry["payload"])
        for library in LIBRARIES:
            must(library.open(data, key, aad) == payload, f"{library.name} read another payload")
            self.opened[library.name] += 1
