"""Writes envelopes with one library, and the manifest that says what they are."""

import secrets

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import cwt
from libraries import A256GCM, FORMAT, HMAC256, SALT, TYP, VAULT_KEY
from libraries import Pycose, canonical, expand, kdf_context, kid_of, typ
from pycose import headers
from pycose.keys import EC2Key, RSAKey, SymmetricKey
from pycose.messages import Enc0Message, EncMessage, Mac0Message
from pycose.messages.recipient import KeyAgreementWithKeyWrap, KeyWrap


class Writer:
    """A vault's worth of envelopes by one library."""

    def __init__(self, library):
        self.library = library
        self.vault, self.service = secrets.token_bytes(16), secrets.token_bytes(16)
        self.pair = ec.generate_private_key(ec.SECP256R1())
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.secret = {
            "A256KW": secrets.token_bytes(32),
            "ECDH-ES+A256KW": self.pair.private_numbers().private_value.to_bytes(32),
            "RSAES-OAEP-SHA256": self.rsa.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        }
        self.ids = {scheme: secrets.token_bytes(16) for scheme in self.secret}

    def manifest(self) -> dict:
        services = [("A256KW",), ("ECDH-ES+A256KW",), ("ECDH-ES+A256KW", "A256KW")]
        if self.library is Pycose:
            services.append(("RSAES-OAEP-SHA256",))
        data_keys, credentials = [], []
        for n, schemes in enumerate(services):
            key = secrets.token_bytes(32)
            data_keys.append(self.data_key(key, self.service, n, schemes))
            credentials.append(self.credential(key, n))
        vault_key = secrets.token_bytes(32)
        data_keys.append(self.data_key(vault_key, VAULT_KEY, 1, ("A256KW",)))
        return {
            "comment": f"written by {self.library.name}",
            "vault": self.vault.hex(),
            "recipients": [
                {"recipient": self.ids[scheme].hex(), "scheme": scheme, "key": key.hex()}
                for scheme, key in self.secret.items()
            ],
            "data_keys": data_keys,
            "credentials": credentials,
            "objects": [self.object(vault_key)],
            "heads": [self.head(vault_key)],
        }

    def data_key(self, key: bytes, service: bytes, n: int, schemes: tuple) -> dict:
        kid = kid_of(key)
        protected = {1: A256GCM, 3: 101, 4: kid, TYP: typ("dek"), FORMAT: 1}
        plaintext = canonical({1: 4, 2: kid, 3: A256GCM, -1: key})
        aad = canonical(["claviger/dek/v1", self.vault, service, n])
        data = (self.encrypt_pycose if self.library is Pycose else self.encrypt_cwt)(protected, plaintext, aad, schemes)
        entry = {"service": service.hex(), "n": n, "alg": "A256GCM", "kid": kid.hex(), "key": key.hex()}
        return entry | {"envelope": {"hex": canonical(cbor2.loads(data)).hex()}}

    def encrypt_pycose(self, protected: dict, plaintext: bytes, aad: bytes, schemes: tuple) -> bytes:
        recipients = []
        cek = secrets.token_bytes(32)
        for scheme in schemes:
            if scheme == "A256KW":
                recipient = KeyWrap(uhdr=labels({1: -5, 4: self.ids[scheme]}), payload=cek)
                recipient.key = SymmetricKey(k=self.secret[scheme])
            elif scheme == "RSAES-OAEP-SHA256":
                recipient = KeyWrap(uhdr=labels({1: -41, 4: self.ids[scheme]}), payload=cek)
                recipient.key = RSAKey._from_cryptography_key(self.rsa.public_key())
            else:
                numbers = self.pair.public_key().public_numbers()
                public = EC2Key(crv="P_256", x=numbers.x.to_bytes(32), y=numbers.y.to_bytes(32))
                ephemeral = EC2Key.generate_key(crv="P_256")
                shown = EC2Key(crv="P_256", x=ephemeral.x, y=ephemeral.y)
                recipient = KeyAgreementWithKeyWrap(
                    phdr=labels({1: -31, 4: self.ids[scheme]}),
                    uhdr={headers.EphemeralKey: shown},
                    payload=cek,
                )
                recipient.local_attrs = {headers.StaticKey: public}
                recipient.key = ephemeral
            recipients.append(recipient)
        iv = secrets.token_bytes(12)
        message = EncMessage(phdr=labels(protected), uhdr={headers.IV: iv}, payload=plaintext, recipients=recipients)
        message.external_aad = aad
        return message.encode()

    def encrypt_cwt(self, protected: dict, plaintext: bytes, aad: bytes, schemes: tuple) -> bytes:
        recipients = []
        for scheme in schemes:
            if scheme == "A256KW":
                key = cwt.COSEKey.from_symmetric_key(self.secret[scheme], alg="A256KW", kid=self.ids[scheme])
                recipient = cwt.Recipient.new(unprotected={1: -5, 4: self.ids[scheme]}, sender_key=key)
            else:
                numbers = self.pair.public_key().public_numbers()
                x, y = numbers.x.to_bytes(32), numbers.y.to_bytes(32)
                key = cwt.COSEKey.new({1: 2, 2: self.ids[scheme], 3: -31, -1: 1, -2: x, -3: y})
                recipient = cwt.Recipient.new(
                    protected={1: -31, 4: self.ids[scheme]},
                    recipient_key=key,
                    context=kdf_context(canonical({1: -31, 4: self.ids[scheme]})),
                )
            recipients.append(recipient)
        cek = cwt.COSEKey.from_symmetric_key(alg="A256GCM")
        return cwt.COSE.new().encode_and_encrypt(
            plaintext, cek, protected, {5: secrets.token_bytes(12)}, recipients=recipients, external_aad=aad
        )

    def encrypt0(self, protected: dict, plaintext: bytes, key: bytes, iv: bytes, aad: bytes) -> dict:
        if self.library is Pycose:
            message = Enc0Message(phdr=labels(protected), uhdr={headers.IV: iv}, payload=plaintext)
            message.key, message.external_aad = SymmetricKey(k=key), aad
            data = message.encode()
        else:
            key = cwt.COSEKey.from_symmetric_key(key, alg="A256GCM")
            data = cwt.COSE.new().encode_and_encrypt(plaintext, key, protected, {5: iv}, external_aad=aad)
        return {"envelope": {"hex": data.hex()}}

    def credential(self, key: bytes, n: int) -> dict:
        credential = secrets.token_bytes(16)
        fields = {"access_token": b"at-EXAMPLE", "expires_at": "1700000000.5", "big": "12345678901234567890"}
        plaintext = canonical({1: "oauth2", 2: fields})
        protected = {1: A256GCM, 4: kid_of(key), TYP: typ("credential"), FORMAT: 1}
        aad = canonical(["claviger/cred/v1", self.vault, self.service, credential, n])
        stated = {
            name: {"bytes": value.hex()} if isinstance(value, bytes) else {"json": value}
            for name, value in fields.items()
        }
        entry = {"service": self.service.hex(), "credential": credential.hex(), "n": n, "kid": kid_of(key).hex()}
        entry |= {"kind": "oauth2", "fields": stated}
        return entry | self.encrypt0(protected, plaintext, key, secrets.token_bytes(12), aad)

    def object(self, vault_key: bytes) -> dict:
        object_id, salt = secrets.token_bytes(16), secrets.token_bytes(32)
        key = expand(expand(vault_key, b"claviger/v1/metadata"), b"claviger/v1/object" + salt)
        protected = {1: A256GCM, TYP: typ("page"), FORMAT: 1, SALT: salt}
        aad = canonical(["claviger/obj/v1", self.vault, "page", object_id])
        entry = {"kind": "page", "id": object_id.hex(), "vault_key": kid_of(vault_key).hex()}
        entry |= {"plaintext": b"a page".hex()}
        return entry | self.encrypt0(protected, b"a page", key, bytes(12), aad)

    def head(self, vault_key: bytes) -> dict:
        key, kid, payload = expand(vault_key, b"claviger/v1/head"), kid_of(vault_key), b"a head"
        protected = {1: HMAC256, 4: kid, TYP: typ("head"), FORMAT: 1}
        aad = canonical(["claviger/head/v1", self.vault])
        if self.library is Pycose:
            message = Mac0Message(phdr=labels(protected), payload=payload)
            message.key, message.external_aad = SymmetricKey(k=key), aad
            data = message.encode()
        else:
            key = cwt.COSEKey.from_symmetric_key(key, alg="HMAC 256/256")
            data = cwt.COSE.new().encode_and_mac(payload, key, protected, {}, external_aad=aad)
        return {"fingerprint": kid.hex(), "payload": payload.hex(), "envelope": {"hex": data.hex()}}


def labels(header: dict) -> dict:
    """Labels as pycose wants them: its own classes where it has one."""
    named = {1: headers.Algorithm, 4: headers.KID}
    return {named.get(label, label): value for label, value in header.items()}
