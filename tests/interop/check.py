"""Stock COSE libraries against claviger's envelopes, both ways.

    check.py MANIFEST...            pycose and cwt open every envelope of these manifests
    check.py --reader PROGRAM...    pycose and cwt write envelopes; PROGRAM must open them

Says what was opened by which library, one line for each manifest; anything that fails is an error and exit code 1.
PROGRAM gets a manifest on its standard input and exits 0 only if it opened everything to what the manifest says: it is
`cargo run -p claviger-envelope --example read_manifest`.

A manifest is a JSON object; all bytes are hexadecimal, ids and `kid` among them:

    comment      text
    vault        the vault's id
    recipients   [{recipient, scheme, key}]: private keys by recipient id. `scheme` is A256KW, A256GCM, ECDH-ES+A256KW,
                 RSAES-OAEP-SHA256 or RSAES-OAEP-SHA1; `key` is 32 bytes for AES, the scalar on P-256, PKCS#8 for RSA
    data_keys    [{service, n, alg, kid, key?, cek?, envelope}]: `alg` is A256GCM or ChaCha20/Poly1305; `key` is the data
                 key, where it is known; `cek` is what a token unwrapped, where there is no private key to tell. The
                 vault key has the service id of sixteen zero bytes
    credentials  [{service, credential, n, kid, kind, fields: {name: {"bytes": hex} | {"json": text}}, envelope}]
    objects      [{kind, id, vault_key: kid, plaintext, envelope}]
    heads        [{fingerprint, payload, envelope}]

where `envelope` is {"file": name beside the manifest} or {"hex": bytes}. The last three lists may be left out.

Traps, all of them the libraries': neither knows A256GCM as the algorithm of a recipient, so that layer is done here, by
the book; pycose has no ChaCha20/Poly1305 (24), cwt no RSAES-OAEP; cwt wants `context=` even for key wrap when an ECDH
recipient stands beside it. Labels of unprotected maps are written in any order: what is written here is put into
deterministic order before claviger reads it, which changes nothing that is authenticated.
"""

import json
import subprocess
import sys
from pathlib import Path

from libraries import LIBRARIES, must
from reading import Checker
from writing import Writer


def main() -> None:
    match sys.argv[1:]:
        case ["--reader", program, *arguments]:
            for library in LIBRARIES:
                manifest = Writer(library).manifest()
                done = subprocess.run([program, *arguments], check=False, input=json.dumps(manifest), text=True)
                must(done.returncode == 0, f"claviger does not read what {library.name} writes")
        case [_, *_] as manifests if not manifests[0].startswith("-"):
            for path in map(Path, manifests):
                checker = Checker(json.loads(path.read_text()), path.parent)
                print(f"{path.name}: opened {checker.check()}")
        case _:
            sys.exit(__doc__)


main()
