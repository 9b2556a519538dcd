"""Sealing and opening frames: AES-256-GCM, with a key derived for each session from the cluster's.

The nonce is the serial, which a session never uses twice; the header is the associated data. So neither a body nor a
header can be read from outside, forged, or joined to another header.
"""

import struct
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .errors import LocalError, RemoteError
from .header import HEADER_SIZE, MAX_BODY, OVERHEAD, RUN, Header, pack_header, parse_header

KEY_SIZE = 32
_CACHED_SESSIONS = 1024
_NONCE = bytes(6)
"""What comes before the serial, to make 12 bytes of it."""
_SHARED = RUN.size - 8
_KEY_IDS = {str(number): number for number in range(256)}


def cluster_tag(name: str) -> bytes:
    """The four bytes that mark a cluster's frames, for filters; they prove nothing."""
    return blake3(b"l2sync cluster" + name.encode()).digest()[:4]


def group_address(tag: bytes) -> bytes:
    """The multicast MAC address of the cluster with this tag: locally administered (IEEE 802, 8.2), a group's."""
    return b"\x03\x4c" + tag


class Keyring:
    """The keys of one cluster, and the ciphers of the sessions met so far."""

    def __init__(self, cluster_name: str, keys: Mapping[int, bytes], active: int) -> None:
        """Hold keys by their ids; frames of ours are sealed with the active one, those of others may use any.

        Raises LocalError for an id outside 0..255, a key that is not 32 bytes, or an active one that is missing.
        """
        _check_keys(keys, active)
        self.tag = cluster_tag(cluster_name)
        self.active = active
        self._keys = dict(keys)
        self._info = b"l2sync v1 session" + cluster_name.encode()
        self._ciphers: OrderedDict[tuple[int, int], AESGCM] = OrderedDict()

    def renew(self, keys: Mapping[int, bytes], active: int) -> None:
        """Hold other keys from now on; sessions and their serials go on. Raises LocalError as the making does."""
        _check_keys(keys, active)
        for place in list(self._ciphers):
            if keys.get(place[0]) != self._keys[place[0]]:
                del self._ciphers[place]
        self.active, self._keys = active, dict(keys)

    def known(self) -> tuple[tuple[int, bytes], ...]:
        """The keys' ids with four bytes that tell two keys of one id apart; the active one first."""
        ordered = sorted(self._keys, key=lambda key_id: (key_id != self.active, key_id))
        return tuple((key_id, key_check(self._keys[key_id])) for key_id in ordered)

    def seal(self, kind: int, src: int, dst: int, session: int, serial: int, body: bytes) -> bytes:
        """The whole frame. The caller never uses a serial twice within a session: it is the cipher's nonce.

        Raises LocalError where a value does not fit its field or the body is longer than 65,535 bytes.
        """
        if len(body) > MAX_BODY:
            raise LocalError(f"a body of {len(body)} bytes fits no frame")
        header = pack_header(kind, self.tag, self.active, src, dst, session, serial, len(body))
        return header + self._own(session).encrypt(serial.to_bytes(12, "big"), body, header)

    def seal_run(
        self, kind: int, src: int, dst: int, session: int, first_serial: int, bodies: Sequence[bytes]
    ) -> list[bytes]:
        """Whole frames that differ in serial, which counts up, and body only: what they share is made once.

        Raises LocalError as `seal` does.
        """
        shared = pack_header(kind, self.tag, self.active, src, dst, session, first_serial, 0)[:_SHARED]
        encrypt, pack = self._own(session).encrypt, RUN.pack
        sealed: list[bytes] = []
        try:
            for serial, body in enumerate(bodies, first_serial):
                number = serial.to_bytes(6, "big")
                header = pack(shared, number, len(body))
                sealed.append(header + encrypt(_NONCE + number, body, header))
        except (struct.error, OverflowError) as error:
            raise LocalError(f"no frame can hold this: {error}") from error
        return sealed

    def _own(self, session: int) -> AESGCM:
        place = (self.active, session)
        cipher = self._ciphers.get(place)
        if cipher is None:
            cipher = self._derive(place)
            self._keep(place, cipher)
        return cipher

    def open(self, header: Header, frame: bytes) -> bytes:
        """The body of a frame, proven to come from a holder of the key together with its header.

        header: what `parse_header` made of this same frame. Raises RemoteError: "wrong_cluster", "unknown_key",
        "forged". That the frame is fresh (no replay) is the session's business, not the cipher's.
        """
        if header.cluster != self.tag:
            raise RemoteError("wrong_cluster", header.cluster.hex())
        place = (header.key_id, header.session)
        cipher = self._ciphers.get(place)
        known = cipher is not None
        if cipher is None:
            if header.key_id not in self._keys:
                raise RemoteError("unknown_key", str(header.key_id))
            cipher = self._derive(place)
        end = OVERHEAD + header.length
        try:
            body = cipher.decrypt(header.serial.to_bytes(12, "big"), frame[HEADER_SIZE:end], frame[:HEADER_SIZE])
        except InvalidTag:
            raise RemoteError("forged") from None
        # Only what proved itself is remembered: a flood of made-up sessions cannot push out the real ones.
        if known:
            self._ciphers.move_to_end(place)
        else:
            self._keep(place, cipher)
        return body

    def open_run(self, frames: Sequence[tuple[bytes, object]], at: int) -> tuple[list[int], list[bytes], int, int]:
        """Open the frames from this place on whose headers differ in serial and length only: the fast way.

        Returns serials and bodies, the place after the run, and how many of the run were forged. Where the session has
        not proven itself yet, or the frame is none of ours, the run is empty: `open` has the answer to that.
        """
        serials: list[int] = []
        bodies: list[bytes] = []
        try:
            header = parse_header(frames[at][0])
        except RemoteError:
            return serials, bodies, at, 0
        cipher = self._ciphers.get((header.key_id, header.session))
        if cipher is None or header.cluster != self.tag:
            return serials, bodies, at, 0
        decrypt, split, number = cipher.decrypt, RUN.unpack_from, int.from_bytes
        shared = split(frames[at][0])[0]
        forged = 0
        end = at
        for end in range(at, len(frames)):
            frame = frames[end][0]
            size = len(frame)
            if size < OVERHEAD:
                break
            head, serial, length = split(frame)
            if head != shared or size < OVERHEAD + length:
                break
            try:
                bodies.append(decrypt(_NONCE + serial, frame[HEADER_SIZE : OVERHEAD + length], frame[:HEADER_SIZE]))
            except InvalidTag:
                forged += 1
            else:
                serials.append(number(serial))
        else:
            end += 1
        return serials, bodies, end, forged

    def _derive(self, place: tuple[int, int]) -> AESGCM:
        key_id, session = place
        salt = session.to_bytes(8, "big")
        key = HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=salt, info=self._info).derive(self._keys[key_id])
        return AESGCM(key)

    def _keep(self, place: tuple[int, int], cipher: AESGCM) -> None:
        self._ciphers[place] = cipher
        if len(self._ciphers) > _CACHED_SESSIONS:
            self._ciphers.popitem(last=False)


def key_check(key: bytes) -> bytes:
    """Four bytes by which nodes see whether they mean the same key; they give nothing of it away."""
    return blake3(key, derive_key_context="l2sync v1 key check").digest(length=4)


def _check_keys(keys: Mapping[int, bytes], active: int) -> None:
    for key_id, key in keys.items():
        if not 0 <= key_id <= 0xFF:
            raise LocalError(f"key id {key_id} is not within 0..255")
        if len(key) != KEY_SIZE:
            raise LocalError(f"key {key_id} has {len(key)} bytes instead of {KEY_SIZE}")
    if active not in keys:
        raise LocalError(f"the active key {active} is missing")


def load_keys(text: str) -> dict[int, bytes]:
    """Read a key file: a line for each key, its id (0..255) and 64 hexadecimal digits; `#` begins a comment.

    The first key is the active one. Raises LocalError that names the line; never shows key material.
    """
    keys: dict[int, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or words[0] not in _KEY_IDS:
            raise LocalError(f"line {number}: a key id (0 to 255) and 64 hexadecimal digits are expected")
        try:
            key = bytes.fromhex(words[1])
        except ValueError:
            raise LocalError(f"line {number}: the key is not hexadecimal") from None
        if len(key) != KEY_SIZE:
            raise LocalError(f"line {number}: the key has {len(key)} bytes instead of {KEY_SIZE}")
        key_id = _KEY_IDS[words[0]]
        if key_id in keys:
            raise LocalError(f"line {number}: key id {key_id} is given twice")
        keys[key_id] = key
    if not keys:
        raise LocalError("there is no key in it")
    return keys


def format_key(key_id: int, key: bytes) -> str:
    """A line of a key file, without its newline. Raises LocalError for what `load_keys` would refuse."""
    line = f"{key_id} {key.hex()}"
    load_keys(line)
    return line
