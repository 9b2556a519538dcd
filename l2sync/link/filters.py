"""The kernel's part of reading: a classic BPF program that lets only our cluster's frames through.

Everybody's broadcasts reach the socket; what the filter drops costs no wake-up, no copy and no room
in the receive buffer. The program is assembled here by hand (linux/filter.h, linux/bpf_common.h).
"""

from __future__ import annotations

import struct

from l2sync.link.base import ETHERNET_HEADER

MAGIC = b"L2"
KIND_OFFSET = 3
TAG_OFFSET = 4
TAG_SIZE = 4

_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_LOAD_BYTE = 0x30  # BPF_LD | BPF_B | BPF_ABS
_LOAD_HALF = 0x28  # BPF_LD | BPF_H | BPF_ABS
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JUMP_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_PACKET_TYPE = 0xFFFFF000 + 4  # SKF_AD_OFF + SKF_AD_PKTTYPE
_PACKET_OTHERHOST = 3  # 0 to 2: for this host, broadcast, multicast; above: not for us, or our own
_WHOLE_PACKET = 0x40000
_TYPE_OFFSET = 12

Instruction = tuple[int, int, int, int]
"""Operation, how far to jump if true, how far if false, operand: a `struct sock_filter`."""


def instructions(ethertype: int, cluster_tag: bytes, apart: bytes = b"", only_apart: bool = False) -> list[Instruction]:
    """The program: our EtherType, magic and cluster, and neither sent by us nor addressed to another host.

    ``apart``: kinds of frames that do not pass; with ``only_apart``, only they do.
    """
    if len(cluster_tag) != TAG_SIZE:
        raise ValueError(f"a cluster tag has {TAG_SIZE} bytes, not {len(cluster_tag)}")
    checks: list[tuple[int, int, int, int, bool]] = [
        (_LOAD_WORD, _PACKET_TYPE, _JUMP_AT_LEAST, _PACKET_OTHERHOST, False),
        (_LOAD_HALF, _TYPE_OFFSET, _JUMP_EQUAL, ethertype, True),
        (_LOAD_HALF, ETHERNET_HEADER, _JUMP_EQUAL, int.from_bytes(MAGIC), True),
        (_LOAD_WORD, ETHERNET_HEADER + TAG_OFFSET, _JUMP_EQUAL, int.from_bytes(cluster_tag), True),
    ]
    program: list[Instruction] = []
    sorting = len(apart) + 1 if apart else 0
    accept = 2 * len(checks) + sorting
    reject = accept + 1
    for load, offset, jump, operand, go_on_if in checks:
        program.append((load, 0, 0, offset))
        away = reject - len(program) - 1
        program.append((jump, 0, away, operand) if go_on_if else (jump, away, 0, operand))
    if sorting:
        program.append((_LOAD_BYTE, 0, 0, ETHERNET_HEADER + KIND_OFFSET))
    found, other = (accept, reject) if only_apart else (reject, accept)
    for kind in apart:
        here = len(program) + 1
        otherwise = other - here if here == accept else 0
        program.append((_JUMP_EQUAL, found - here, otherwise, kind))
    program.append((_RETURN, 0, 0, _WHOLE_PACKET))
    program.append((_RETURN, 0, 0, 0))
    return program


def assemble(program: list[Instruction]) -> bytes:
    """The program as the kernel takes it: an array of `struct sock_filter`."""
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def accepts(payload: bytes, cluster_tag: bytes) -> bool:
    """What the kernel's filter decides by the payload, for links without a kernel."""
    return payload[:2] == MAGIC and payload[TAG_OFFSET : TAG_OFFSET + TAG_SIZE] == cluster_tag


def kind_of(payload: bytes) -> int:
    """The byte by which frames are told apart."""
    return payload[KIND_OFFSET]
