"""What the scripts' Python shares: programs in a small environment of their own, and a vault on a private token."""

import dataclasses
import os
import pathlib
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
        self.pin = directory / "pin"
        self.pin.touch(mode=0o600)
        self.pin.write_text("246824")
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
        uri = f"pkcs11:token=bench?module-path={SOFTHSM}&pin-source=file:{self.pin}"
        quietly(
            [self.program, "init", "--token", uri, "--store", f"sqlite://{directory}/store/vault.db"], self.environment
        )

    def command(self, *arguments: str) -> Command:
        return Command([self.program, *arguments], self.environment)

    def set(self, reference: str, value: str) -> None:
        quietly([self.program, "set", reference, "--stdin"], self.environment, value)
