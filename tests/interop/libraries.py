"""pycose and cwt behind one face, and the derivations of docs/format.md."""

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import load_der_private_key

import cwt
from pycose import headers
from pycose.keys import EC2Key, RSAKey, SymmetricKey
from pycose.messages import CoseMessage, EncMessage, Mac0Message

A256GCM, CHACHA20, HMAC256 = 3, 24, 5
TYP, FORMAT, SALT = 16, -65537, -65540
VAULT_KEY = bytes(16)


def canonical(value) -> bytes:
    return cbor2.dumps(value, canonical=True)


def expand(key: bytes, info: bytes) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=32, info=info).derive(key)


def kid_of(key: bytes) -> bytes:
    return expand(key, b"claviger/v1/dek-kid")


def typ(kind: str) -> str:
    return f"application/vnd.claviger.{kind}+cose"


def kdf_context(protected: bytes) -> list:
    return [-5, [None] * 3, [None] * 3, [256, protected]]


def must(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


# What the two libraries are asked to do: open a message with one key, or with the key of one recipient.


class Pycose:
    name = "pycose"
    algs = (A256GCM,)
    schemes = ("A256KW", "ECDH-ES+A256KW", "RSAES-OAEP-SHA256", "RSAES-OAEP-SHA1")

    @staticmethod
    def open(data: bytes, key: bytes, external_aad: bytes) -> bytes:
        message = CoseMessage.decode(data)
        message.key, message.external_aad = SymmetricKey(k=key), external_aad
        if isinstance(message, EncMessage):
            return message.decrypt(message.recipients[0])
        if isinstance(message, Mac0Message):
            must(message.verify_tag(), "the tag does not fit")
            return message.payload
        return message.decrypt()

    @staticmethod
    def open_for(data: bytes, recipient: bytes, scheme: str, key: bytes, external_aad: bytes) -> bytes:
        message = CoseMessage.decode(data)
        message.external_aad = external_aad
        mine = next(r for r in message.recipients if r.get_attr(headers.KID) == recipient)
        if scheme == "A256KW":
            mine.key = SymmetricKey(k=key)
        elif scheme == "ECDH-ES+A256KW":
            mine.key = EC2Key(crv="P_256", d=key)
        else:
            mine.key = RSAKey._from_cryptography_key(load_der_private_key(key, None))
        return message.decrypt(mine)


class Cwt:
    name = "cwt"
    algs = (A256GCM, CHACHA20)
    schemes = ("A256KW", "ECDH-ES+A256KW")

    @staticmethod
    def open(data: bytes, key: bytes, external_aad: bytes) -> bytes:
        protected = cbor2.loads(cbor2.loads(data).value[0])
        key = cwt.COSEKey.new({1: 4, 3: protected[1], -1: key} | ({2: protected[4]} if 4 in protected else {}))
        return cwt.COSE.new().decode(data, key, external_aad=external_aad)

    @staticmethod
    def open_for(data: bytes, recipient: bytes, scheme: str, key: bytes, external_aad: bytes) -> bytes:
        if scheme == "A256KW":
            key = cwt.COSEKey.from_symmetric_key(key, alg="A256KW", kid=recipient)
        else:
            numbers = ec.derive_private_key(int.from_bytes(key), ec.SECP256R1()).public_key().public_numbers()
            x, y = numbers.x.to_bytes(32), numbers.y.to_bytes(32)
            key = cwt.COSEKey.new({1: 2, 2: recipient, 3: -31, -1: 1, -2: x, -3: y, -4: key, 4: [7, 8]})
        protected = canonical({1: -31, 4: recipient})
        return cwt.COSE.new().decode(data, key, context=kdf_context(protected), external_aad=external_aad)


LIBRARIES = (Pycose, Cwt)


def open_directly(library, data: bytes, cek: bytes, external_aad: bytes) -> bytes:
    """Opens a COSE_Encrypt with the CEK in hand: its recipients give way to one of the kind `direct`."""
    tagged = cbor2.loads(data)
    body = [*tagged.value[:3], [[b"", {1: -6}, b""]]]
    data = canonical(cbor2.CBORTag(96, body))
    if library is Cwt:
        key = cwt.COSEKey.new({1: 4, 3: cbor2.loads(body[0])[1], -1: cek})
        return cwt.COSE.new().decode(data, key, external_aad=external_aad)
    return library.open(data, cek, external_aad)
