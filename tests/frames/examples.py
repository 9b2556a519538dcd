"""One example of every kind of frame, from which the golden vectors and the documentation are made."""

from dataclasses import dataclass

from l2sync import frames
from l2sync.frames import Kind

CLUSTER = "web"
KEY_ID = 1
KEY = bytes(range(32))
SESSION = 0x0123456789ABCDEF
PEER_SESSION = 0xFEDCBA9876543210
NONCE = bytes.fromhex("a0a1a2a3a4a5a6a7")
PEER_NONCE = bytes.fromhex("b0b1b2b3b4b5b6b7")
TREE = 0x7777000000000001
HALF_DIGEST = bytes(range(0x10, 0x20))
OTHER_DIGEST = bytes(range(0x30, 0x40))


@dataclass(frozen=True)
class Example:
    """What a frame says, and where it comes from and goes to."""

    title: str
    kind: Kind
    src: int
    dst: int
    serial: int
    body: bytes
    stream: tuple[int, int] | None = None
    message: frames.AnyBody | None = None

    @property
    def sealed_body(self) -> bytes:
        """The plaintext of the frame: the body, behind its place in the stream if it has one."""
        return self.body if self.stream is None else frames.pack_prefix(*self.stream) + self.body

    @property
    def frame(self) -> bytes:
        """The frame as it is sent."""
        ring = frames.Keyring(CLUSTER, {KEY_ID: KEY}, KEY_ID)
        return ring.seal(self.kind, self.src, self.dst, SESSION, self.serial, self.sealed_body)


PIECE = frames.Piece(
    path=b"html",
    prefix=b"0f",
    total=3,
    buckets=((4, HALF_DIGEST), (15, OTHER_DIGEST)),
    names=((b"index.html", HALF_DIGEST, OTHER_DIGEST),),
)
PAYLOADS: dict[str, frames.Payload] = {
    "digests": frames.Digests((PIECE,)),
    "ask": frames.Ask(((b"html/index.html", False), (b"html/img", True))),
    "entries": frames.Entries(last=True, first=40, entries=(b"<entry>", b"<another entry>")),
}

MESSAGES: dict[Kind, frames.AnyBody] = {
    Kind.HELLO: frames.Hello("web1", NONCE),
    Kind.WELCOME: frames.Welcome(
        name="web1",
        nonce=NONCE,
        taken=((0, 3), (7, 7)),
        newcomers=(
            frames.Newcomer(PEER_SESSION, "web5", 5, PEER_NONCE),
            frames.Newcomer(PEER_SESSION + 1, "web6", frames.NOID, bytes(8)),
        ),
    ),
    Kind.REGISTER: frames.Register("web1", NONCE, 17, (frames.Echo(PEER_SESSION, PEER_NONCE),)),
    Kind.LOCK: frames.Lock(9, 1234, TREE, frames.Purpose.BATCH, (b"html/index.html", b"html/img")),
    Kind.UNLOCKALL: frames.Unlockall(9, commit=True),
    Kind.ACK: frames.Ack(PEER_SESSION, ((0, 5), (7, 7)), 1500, 17, frames.Registration(16, PEER_NONCE)),
    Kind.PING: frames.Ping(
        1234,
        17,
        1500,
        (frames.TreeState(TREE, HALF_DIGEST, 10000, 1, 0xABCD),),
        (frames.KnownKey(1, bytes.fromhex("12345678")),),
    ),
    Kind.REJ: frames.Rej(frames.RejReason.LOCKED, 9, frames.NOID, "html/img is locked by web2"),
    Kind.DIE: frames.Die(frames.DieReason.NAME_TAKEN, "another host is web1"),
    Kind.BYE: frames.Bye("stopped"),
    Kind.DATA: frames.Data(9, 66000, 40, 41, b"a symbol of equal size"),
    Kind.WANT: frames.Want(9, ((0, 99), (120, 120))),
    Kind.REPAIR: frames.Repair(9, 4321, 3990, ((66000, 2), (66003, 1))),
    Kind.QUERY: frames.Query(4, TREE, b"html/img"),
    Kind.REPORT: frames.Report(
        number=4,
        known=True,
        standing=frames.Standing(
            1, 0o644, 0, 33, 4096, -1, 999_999_999, HALF_DIGEST, "web2", 0xABCD, 7, ((0xABCD, 7), (0xBCDE, 2))
        ),
        remarks=(frames.Remark(frames.Note.FAILING, "Operation not permitted", 20),),
        below=(frames.Below(b"html/img/a.png", frames.Note.UNREADABLE, "Input/output error"),),
        in_trouble=1,
    ),
    Kind.DECISION: frames.Decision(TREE, frames.Verdict.ASKED, 97, 100, "html (96 entries), index.html"),
    Kind.BAN: frames.Ban((("web7", True, 1235, "web1"),)),
    Kind.BASE: frames.Base(26),
    Kind.PROBE: frames.Probe(3, frames.Lane.BROADCAST, frames.Asking.SIZE, bytes(20)),
    Kind.PROBED: frames.Probed(((PEER_SESSION & 0xFFFFFFFF, 3, 1500),)),
    Kind.TALLY: frames.Tally(3, 4000, 1500, 24, 2, 23),
    Kind.CHAIN: frames.Chain(6),
    Kind.PART: frames.Part(int(Kind.DATA), 4321, 0, 2, b"the first half"),
    Kind.ROLL: frames.Roll(26, ((26, NONCE), (20, bytes(range(8))))),
    Kind.DONE: frames.Done(9, frames.Stage.COMMITTED, ((b"html/img", "no space left on device"),)),
}

_PLACE = {
    Kind.HELLO: (frames.NOID, frames.NOID),
    Kind.REGISTER: (0, frames.NOID),
    Kind.WANT: (0, 5),
    Kind.REPORT: (0, 5),
    Kind.BASE: (0, 5),
    Kind.TALLY: (0, 5),
    Kind.CHAIN: (0, 5),
    Kind.ACK: (0, 5),
    Kind.REJ: (0, 5),
    Kind.REPAIR: (0, 5),
}
_STREAM = {
    Kind.WANT: (3, frames.UNICAST),
    Kind.LOCK: (20, 0),
    Kind.UNLOCKALL: (21, 0),
    Kind.DONE: (22, 0),
    Kind.QUERY: (23, 0),
    Kind.REPORT: (4, frames.UNICAST),
    Kind.DECISION: (25, 0),
    Kind.BAN: (24, 0),
    Kind.BASE: (0, frames.UNICAST),
    Kind.CHAIN: (1, frames.UNICAST),
}


def examples() -> list[Example]:
    """All of them: a frame for each kind, for updtree one for each payload."""
    made = []
    for kind in Kind:
        if kind is Kind.UPDTREE:
            for form, payload in PAYLOADS.items():
                body = frames.Updtree(TREE, 9, payload.FORM, frames.Codec.RAW, payload.pack()).pack()
                title = f"updtree, {form}"
                made.append(Example(title, kind, 0, frames.NOID, 40 + payload.FORM, body, (16 + payload.FORM, 0)))
        else:
            src, dst = _PLACE.get(kind, (0, frames.NOID))
            stream = _STREAM.get(kind)
            message = MESSAGES[kind]
            serial = {Kind.HELLO: 0, Kind.REGISTER: 1}.get(kind, 20 + kind)
            made.append(Example(kind.name.lower(), kind, src, dst, serial, message.pack(), stream, message))
    return made
