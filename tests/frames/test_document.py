"""The document of the frames says what the code does."""

from l2sync import frames

from . import document, golden


def test_the_document_is_made_from_today_s_declarations_and_vectors():
    assert document.FILE.read_text() == document.document(), "run: python -m tests.frames.document"


def test_the_document_holds_the_exact_bytes_of_every_example():
    lines = set(document.FILE.read_text().splitlines())
    for vector in golden.load().values():
        assert {vector["plaintext"], vector["frame"]} <= lines


def test_the_document_has_a_section_and_all_fields_of_every_kind():
    text = document.FILE.read_text()
    for kind, message in frames.MESSAGES.items():
        section = text.split(f"\n## {kind.name.lower()} ({kind.value})\n")[1].split("\n## ")[0]
        assert all(f"\n| {field.name} | " in section for field in message.FORMAT.subcons)


def test_every_field_of_every_declaration_has_a_meaning():
    layouts = [message.FORMAT for message in frames.MESSAGES.values()]
    layouts += [frames.HEADER, frames.StreamPrefix.FORMAT, *(payload.FORMAT for payload in document.PAYLOADS.values())]
    inner = [cls.FORMAT for layout in layouts for cls in document.nested(layout)]
    assert all(field.docs for layout in layouts + inner for field in layout.subcons)
