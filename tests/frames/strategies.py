"""Arbitrary messages of every kind, for property tests."""

from hypothesis import strategies as st

from l2sync import frames


def unsigned(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1)


def tuples_of(element: st.SearchStrategy, most: int = 4) -> st.SearchStrategy:
    return st.lists(element, max_size=most).map(tuple)


def spans(bits: int) -> st.SearchStrategy:
    return tuples_of(st.tuples(unsigned(bits), unsigned(bits)).map(lambda pair: (min(pair), max(pair))))


def exactly(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(str.isprintable)
texts = st.text(st.characters(codec="utf-8"), max_size=60)
octets = st.binary(max_size=40)
nonces = exactly(8)
digests = exactly(16)

pieces = st.builds(
    frames.Piece,
    octets,
    st.text("0123456789abcdef", max_size=64).map(str.encode),
    unsigned(32),
    tuples_of(st.tuples(st.integers(0, 15), digests)),
    tuples_of(st.tuples(octets, digests, digests)),
)
payloads = st.one_of(
    st.builds(frames.Digests, tuples_of(pieces)),
    st.builds(frames.Ask, tuples_of(st.tuples(octets, st.booleans()))),
    st.builds(frames.Entries, st.booleans(), unsigned(32), tuples_of(octets)),
)
newcomers = st.builds(frames.Newcomer, unsigned(64), names, unsigned(16), nonces)
echoes = st.builds(frames.Echo, unsigned(64), nonces)
registrations = st.builds(frames.Registration, unsigned(48), nonces)
tree_states = st.builds(frames.TreeState, unsigned(64), digests, unsigned(32), unsigned(8))

signed64 = st.integers(-(2**63), 2**63 - 1)
notes = st.sampled_from(frames.Note)
standings = st.builds(
    frames.Standing,
    unsigned(8),
    unsigned(16),
    unsigned(32),
    unsigned(32),
    unsigned(64),
    signed64,
    unsigned(32),
    digests,
    texts,
    unsigned(64),
    unsigned(64),
    tuples_of(st.tuples(unsigned(64), unsigned(64))),
)
reports = st.builds(
    frames.Report,
    unsigned(32),
    st.booleans(),
    st.none() | standings,
    tuples_of(st.builds(frames.Remark, notes, texts, st.integers(-1, 2**31 - 1))),
    tuples_of(st.builds(frames.Below, octets, notes, texts)),
    unsigned(32),
)

bodies = st.one_of(
    st.builds(frames.Query, unsigned(32), unsigned(64), octets),
    reports,
    st.builds(frames.Decision, unsigned(64), st.sampled_from(frames.Verdict), unsigned(32), unsigned(32), texts),
    st.builds(frames.Hello, names, nonces),
    st.builds(frames.Welcome, names, nonces, spans(16), tuples_of(newcomers)),
    st.builds(frames.Register, names, nonces, unsigned(48), tuples_of(echoes)),
    st.builds(
        frames.Updtree,
        unsigned(64),
        unsigned(32),
        st.sampled_from(frames.Form),
        st.sampled_from(frames.Codec),
        octets,
    ),
    st.builds(
        frames.Lock, unsigned(32), unsigned(64), unsigned(64), st.sampled_from(frames.Purpose), tuples_of(octets)
    ),
    st.builds(frames.Unlockall, unsigned(32), st.booleans()),
    st.builds(frames.Ack, unsigned(64), spans(48), unsigned(32), unsigned(48), st.none() | registrations),
    st.builds(
        frames.Ping,
        unsigned(64),
        unsigned(48),
        unsigned(16),
        tuples_of(tree_states),
        tuples_of(st.builds(frames.KnownKey, unsigned(8), exactly(4))),
    ),
    st.builds(frames.Base, unsigned(48)),
    st.builds(frames.Roll, unsigned(48), tuples_of(st.tuples(unsigned(48), nonces))),
    st.builds(
        frames.Probe, unsigned(32), st.sampled_from(frames.Lane), st.sampled_from(frames.Asking), st.binary(max_size=40)
    ),
    st.builds(frames.Probed, tuples_of(st.tuples(unsigned(32), unsigned(32), unsigned(16)))),
    st.builds(frames.Tally, unsigned(32), unsigned(48), *[unsigned(16)] * 4),
    st.builds(frames.Chain, unsigned(16)),
    st.builds(frames.Part, unsigned(8), unsigned(48), unsigned(8), st.integers(2, frames.MOST_PARTS), octets),
    st.builds(frames.Ban, tuples_of(st.tuples(names, st.booleans(), unsigned(64), names))),
    st.builds(frames.Rej, st.sampled_from(frames.RejReason), unsigned(32), unsigned(16), texts),
    st.builds(frames.Die, st.sampled_from(frames.DieReason), texts),
    st.builds(frames.Bye, texts),
    st.builds(frames.Data, unsigned(32), unsigned(24), st.integers(1, 255), unsigned(8), octets),
    st.builds(frames.Want, unsigned(32), spans(32)),
    st.builds(
        frames.Repair,
        unsigned(32),
        unsigned(48),
        unsigned(32),
        tuples_of(st.tuples(unsigned(24), unsigned(8))),
        unsigned(16),
    ),
    st.builds(frames.Done, unsigned(32), st.sampled_from(frames.Stage), tuples_of(st.tuples(octets, texts))),
)
