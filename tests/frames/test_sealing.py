"""Only who holds the key makes frames that open, and nothing of a frame can be changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2sync import frames
from l2sync.frames import Keyring, LocalError, RemoteError, parse_header

from .strategies import unsigned

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


def ring(cluster: str = "web", keys: dict[int, bytes] | None = None, active: int = 1) -> Keyring:
    return Keyring(cluster, keys or {1: KEY}, active)


def opened(by: Keyring, frame: bytes) -> bytes:
    return by.open(parse_header(frame), frame)


def refusal(by: Keyring, frame: bytes) -> str:
    with pytest.raises(RemoteError) as caught:
        opened(by, frame)
    return caught.value.reason


@given(unsigned(16), unsigned(16), unsigned(64), unsigned(48), st.binary(max_size=100), st.binary(max_size=30))
def test_what_one_member_seals_another_opens_whatever_padding_follows(src, dst, session, serial, body, padding):
    frame = ring().seal(frames.Kind.BYE, src, dst, session, serial, body)
    header = parse_header(frame + padding)
    assert header == frames.Header(frames.Kind.BYE, ring().tag, 1, src, dst, session, serial, len(body))
    assert ring().open(header, frame + padding) == body


@given(st.integers(0, 0xFFFF), st.integers(0, 2**64 - 1), st.integers(0, 2**48 - 20), st.lists(st.binary(max_size=40)))
def test_a_run_is_sealed_as_its_frames_are_one_by_one(src, session, first, bodies):
    run = ring().seal_run(7, src, 0xFFFF, session, first, bodies[:20])
    assert run == [ring().seal(7, src, 0xFFFF, session, first + at, body) for at, body in enumerate(bodies[:20])]


def test_a_run_with_a_serial_that_is_used_up_or_a_body_too_long_is_our_own_error():
    for first, body in ((2**48 - 1, b""), (1, bytes(65_536))):
        with pytest.raises(LocalError):
            ring().seal_run(7, 1, 2, 3, first, [b"", body])


def test_no_byte_of_a_frame_can_be_changed():
    frame = ring().seal(frames.Kind.BYE, 1, 2, 3, 4, b"body")
    reader = ring()
    for position in range(len(frame)):
        for bit in range(8):
            changed = bytearray(frame)
            changed[position] ^= 1 << bit
            with pytest.raises(RemoteError):
                opened(reader, bytes(changed))


def test_a_header_cannot_be_joined_to_another_body():
    seal = ring().seal
    one, two = seal(frames.Kind.BYE, 1, 2, 3, 4, b"body"), seal(frames.Kind.BYE, 1, 2, 3, 5, b"ydob")
    assert refusal(ring(), one[: frames.HEADER_SIZE] + two[frames.HEADER_SIZE :]) == "forged"


def test_outsiders_are_told_apart():
    frame = ring().seal(frames.Kind.BYE, 1, 2, 3, 4, b"body")
    assert refusal(ring(keys={1: OTHER}), frame) == "forged"
    assert refusal(ring(keys={2: KEY}, active=2), frame) == "unknown_key"
    assert refusal(ring("other"), frame) == "wrong_cluster"


def test_the_cluster_name_is_part_of_the_key():
    """Two clusters whose tags are the same by chance, or made so, still cannot read each other."""
    stranger = ring("other")
    stranger.tag = ring().tag
    assert refusal(stranger, ring().seal(frames.Kind.BYE, 1, 2, 3, 4, b"body")) == "forged"


def test_sessions_and_serials_encrypt_differently():
    seal = ring().seal
    sealed = {
        seal(frames.Kind.BYE, 1, 2, session, serial, bytes(16))[frames.HEADER_SIZE :]
        for session in range(3)
        for serial in range(3)
    }
    assert len(sealed) == 9


def test_a_key_can_be_replaced_while_old_frames_are_still_read():
    old, both, new = ring(), ring(keys={1: KEY, 2: OTHER}, active=2), ring(keys={2: OTHER}, active=2)
    assert opened(both, old.seal(frames.Kind.BYE, 1, 2, 3, 4, b"old")) == b"old"
    frame = both.seal(frames.Kind.BYE, 1, 2, 3, 4, b"new")
    assert opened(new, frame) == b"new"
    assert refusal(old, frame) == "unknown_key"


def test_forged_sessions_do_not_push_out_the_real_ones(monkeypatch):
    reader, sender = ring(), ring()
    frame = sender.seal(frames.Kind.BYE, 1, 2, 3, 4, b"body")
    assert opened(reader, frame) == b"body"
    for session in range(100, 2000):
        header = frames.Header(frames.Kind.BYE, sender.tag, 1, 1, 2, session, 4, 4)
        with pytest.raises(RemoteError, match="forged"):
            reader.open(header, frame)

    def must_not_derive(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("the session's cipher was forgotten")

    monkeypatch.setattr("l2sync.frames.sealing.HKDF", must_not_derive)
    assert opened(reader, frame) == b"body"


def test_more_sessions_than_are_kept_can_be_read():
    sender, reader = ring(), ring()
    made = [sender.seal(frames.Kind.BYE, 1, 2, session, 4, b"body") for session in range(1100)]
    assert all(opened(reader, frame) == b"body" for frame in made + made[:50])


@pytest.mark.parametrize(
    ("keys", "active"),
    [({}, 1), ({1: KEY}, 2), ({1: KEY[:31]}, 1), ({256: KEY}, 256), ({-1: KEY}, -1)],
    ids=["none", "active missing", "short", "id too high", "id negative"],
)
def test_wrong_keys_are_refused_without_being_shown(keys, active):
    with pytest.raises(LocalError) as caught:
        Keyring("web", keys, active)
    assert KEY.hex()[:16] not in str(caught.value)


def test_a_body_too_long_for_a_frame_is_our_own_error():
    with pytest.raises(LocalError):
        ring().seal(frames.Kind.BYE, 1, 2, 3, 4, bytes(65536))


def test_a_serial_that_is_used_up_is_our_own_error():
    with pytest.raises(LocalError):
        ring().seal(frames.Kind.BYE, 1, 2, 3, 2**48, b"")


def test_a_key_file_holds_several_keys_the_first_of_which_is_active():
    text = f"# web\n\n{frames.format_key(7, OTHER)}  # new\n{frames.format_key(1, KEY)}\n"
    assert list(frames.load_keys(text).items()) == [(7, OTHER), (1, KEY)]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# only a comment",
        "1",
        "256 " + KEY.hex(),
        "-1 " + KEY.hex(),
        "x " + KEY.hex(),
        "٣ " + KEY.hex(),
        "1 " + KEY.hex()[:-2],
        "1 " + KEY.hex() + "00",
        "1 " + KEY.hex()[:-1] + "g",
        "1 " + KEY.hex() + " 2",
        f"1 {KEY.hex()}\n1 {OTHER.hex()}",
    ],
)
def test_a_key_file_with_a_fault_is_refused_without_showing_the_key(line):
    with pytest.raises(LocalError) as caught:
        frames.load_keys(line)
    assert KEY.hex()[:16] not in str(caught.value)


@pytest.mark.parametrize(("key_id", "key"), [(256, KEY), (-1, KEY), (1, KEY[:5])])
def test_no_line_is_made_that_could_not_be_read(key_id, key):
    with pytest.raises(LocalError):
        frames.format_key(key_id, key)
