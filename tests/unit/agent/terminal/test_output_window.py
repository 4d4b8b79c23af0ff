from agent.terminal.output_window import OutputWindow


def test_output_is_sent_in_chunks_and_leaves_the_window_when_it_is_acknowledged() -> None:
    window = OutputWindow(10)
    window.append(b"abcdef")

    assert (window.next_chunk(4), window.next_chunk(4), window.next_chunk(4)) == (
        b"abcd",
        b"ef",
        b"",
    )
    assert (window.room, window.unsent, window.end) == (4, 0, 6)
    window.acknowledge(5)
    assert (window.room, window.acknowledged, window.sent, window.end) == (9, 5, 6, 6)


def test_output_that_is_not_acknowledged_is_sent_again() -> None:
    window = OutputWindow(10)
    window.append(b"abcdef")
    window.next_chunk(6)
    window.acknowledge(2)

    window.resend()

    assert window.next_chunk(10) == b"cdef"


def test_an_acknowledgement_of_unsent_output_counts_it_as_sent() -> None:
    window = OutputWindow(10)
    window.append(b"abcdef")

    window.acknowledge(4)

    assert (window.sent, window.next_chunk(10)) == (4, b"ef")
