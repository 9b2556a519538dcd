"""Which machine a state directory belongs to: a copied host must not go on as the one it was copied from."""

from __future__ import annotations

from pathlib import Path

import msgspec

from .faults import ConfigError, Fault

FILE_NAME = "machine.json"
MACHINE_ID = Path("/etc/machine-id")


class Owner(msgspec.Struct, frozen=True):
    """The machine, as machine-id(5) has it, and the node's name there."""

    machine: str
    name: str


def machine_fault(state_dir: Path, name: str, config: str, machine_id: Path = MACHINE_ID) -> Fault | None:
    """What is wrong where the state is another machine's; a host without a machine id is taken at its word."""
    here, owner = _machine(machine_id), _owner(state_dir)
    if not here or owner is None or owner.machine == here:
        return None
    made = f"{state_dir} was made by {owner.name} on machine {owner.machine}"
    remedy = (
        f"if this host is a copy, delete {state_dir} and give the node a name of its own; "
        f"if it is the same host with a new machine id, delete {state_dir / FILE_NAME}"
    )
    return Fault(config, "node.state_dir", f"{made}, and this is {name} on machine {here}", remedy)


def claim_state(state_dir: Path, name: str, config: str, machine_id: Path = MACHINE_ID) -> None:
    """Note whose state this is. Raises ConfigError where it is another machine's."""
    fault = machine_fault(state_dir, name, config, machine_id)
    here, owner = _machine(machine_id), _owner(state_dir)
    if fault is None and here and (owner is None or owner.name != name):
        file = state_dir / FILE_NAME
        try:
            file.write_bytes(msgspec.json.encode(Owner(here, name)) + b"\n")
        except OSError as error:
            fault = Fault(config, "node.state_dir", f"{file}: {error.strerror}", "name a directory that can be written")
    if fault is not None:
        raise ConfigError([fault])


def _machine(file: Path) -> str:
    try:
        found = file.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if found == "uninitialized" else found


def _owner(state_dir: Path) -> Owner | None:
    try:
        return msgspec.json.decode((state_dir / FILE_NAME).read_bytes(), type=Owner)
    except (OSError, msgspec.DecodeError):
        return None
