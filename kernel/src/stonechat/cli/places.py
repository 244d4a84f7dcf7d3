"""Where things are: the configuration file, the data directory, the control socket."""

from __future__ import annotations

import os
import re
from pathlib import Path

from stonechat.cli.exit_codes import Failure

ENVIRONMENT = "STONECHAT_CONFIG"
USUAL = (Path("stonechat.yml"), Path("/etc/stonechat/stonechat.yml"))

_LARGEST_FILE = 8 * 1024 * 1024
_DATA_DIR = re.compile(r"^[\"']?data_dir[\"']?\s*:\s*[\"']?([^\"'#\n]+?)[\"']?\s*(#.*)?$", re.M)


def find_configuration(given: str | None) -> Path:
    """The configuration file: the one given, or the first that exists of the usual ones."""
    if given:
        return Path(given)
    named = os.environ.get(ENVIRONMENT)
    if named:
        return Path(named)
    for path in USUAL:
        if path.exists():
            return path
    places = ", ".join(str(path) for path in USUAL)
    raise Failure(
        f"there is no configuration file ({places}): write one with `stonechat init`, or name"
        f" it by --config or ${ENVIRONMENT}",
        kind="configuration",
    )


def find_data_dir(configuration: Path) -> Path:
    """The data directory that a file names, also when the rest of the file is broken.

    A running server must be within reach while its file is being edited.
    """
    try:
        with configuration.open("rb") as file:
            source = file.read(_LARGEST_FILE)
    except OSError as error:
        raise Failure(
            f"{configuration}: cannot be read: {error.strerror}", kind="configuration"
        ) from None
    return configuration.absolute().parent / _data_dir_in(source, str(configuration))


def _data_dir_in(source: bytes, name: str) -> str:
    from stonechat.core.config_model import ConfigurationFile
    from stonechat.core.config_reader import read
    from stonechat.errors import ConfigError

    default = str(ConfigurationFile.model_fields["data_dir"].default)
    try:
        found = read(source, name).data.get("data_dir")
    except ConfigError:
        match = _DATA_DIR.search(source.decode("utf-8", "replace"))
        found = match and match[1]
    return found if isinstance(found, str) and found else default


def find_socket(given: str | None) -> Path:
    """The control socket of the server that runs by this configuration."""
    from stonechat.core.control_wire import socket_path

    return socket_path(find_data_dir(find_configuration(given)))
