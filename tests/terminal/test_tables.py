"""The layout of a table: whatever its width, every cell is there whole, and no line is wider."""

import random

import pytest

from wdrun.terminal import screen, tables
from wdrun.terminal.tables import Column, laid_out

COLUMNS = [
    Column("facet", wraps=True),
    Column("λ"),
    Column("n", right=True, drop=2),
    Column("difference", right=True, drop=1),
]
ROWS = [
    ["decay=l2 optimizer=sgd", "0", "3", "-0.123 [-0.2, 0.1]"],
    ["decay=l1 optimizer=adam", "0.01", "12", "+0.5 [0.25, 0.75]"],
]


def test_a_pipe_has_no_width():
    assert laid_out(COLUMNS, ROWS) == [
        "facet                    λ      n          difference",
        "decay=l2 optimizer=sgd   0      3  -0.123 [-0.2, 0.1]",
        "decay=l1 optimizer=adam  0.01  12   +0.5 [0.25, 0.75]",
    ]
    assert laid_out(COLUMNS, ROWS, 53) == laid_out(COLUMNS, ROWS)


def test_words_wrap_first():
    assert laid_out(COLUMNS, ROWS, 46, rule=True) == [
        "facet             λ      n          difference",
        "──────────────────────────────────────────────",
        "decay=l2          0      3  -0.123 [-0.2, 0.1]",
        "optimizer=sgd",
        "decay=l1          0.01  12   +0.5 [0.25, 0.75]",
        "optimizer=adam",
    ]  # fmt: skip


def test_then_columns_go_in_their_order_and_a_line_says_which():
    assert laid_out(COLUMNS, ROWS, 40, more="a.csv has it") == [
        "facet                    λ      n",
        "decay=l2 optimizer=sgd   0      3",
        "decay=l1 optimizer=adam  0.01  12",
        "not shown at 40 columns: difference;",
        "wider, or a.csv has it",
    ]
    assert laid_out(COLUMNS, ROWS, 20)[-3:] == ["not shown at 20", "columns: difference,", "n; wider"]


def test_an_empty_column_goes_before_one_that_says_something():
    rows = [[*row[:2], "", row[3]] for row in ROWS]
    assert laid_out(COLUMNS, rows, 42) == [
        "facet             λ             difference",
        "decay=l2          0     -0.123 [-0.2, 0.1]",
        "optimizer=sgd",
        "decay=l1          0.01   +0.5 [0.25, 0.75]",
        "optimizer=adam",
    ]


def test_a_sentence_goes_below_its_row():
    columns = [Column("run"), Column("status"), Column("", wraps=True, below=True)]
    rows = [["l2-s0", "failed", "ValueError: no; log /a/long/path/to/error.log"], ["l2-s1", "waiting", ""]]
    assert laid_out(columns, rows, 40) == [
        "run    status",
        "l2-s0  failed",
        "    ValueError: no; log",
        "    /a/long/path/to/error.log",
        "l2-s1  waiting",
    ]


def test_at_last_rows_are_stacked():
    assert laid_out(COLUMNS, ROWS[:1], 14) == [
        "facet",
        "decay=l2",
        "optimizer=sgd",
        "λ           0",
        "n           3",
        "difference",
        "-0.123 [-0.2,",
        "0.1]",
    ]


def test_wide_characters_count_as_two_and_unprintable_ones_do_nothing():
    rows = [["名前", "1"], ["\x1b[2Jx", "2"]]
    assert laid_out([Column("名"), Column("n")], rows) == ["名        n", "名前      1", r"\x1b[2Jx  2"]


def test_what_the_encoding_lacks_is_counted_as_it_will_be_seen(monkeypatch):
    monkeypatch.setattr(tables, "shown", lambda text: text.encode("ascii", "wdrun").decode())
    rows = [["λ = 0", "−1"], ["none", "2"]]
    assert laid_out([Column("facet"), Column("n", right=True)], rows) == [
        "facet        n",
        "lambda = 0  -1",
        "none         2",
    ]


@pytest.mark.parametrize("seed", range(40))
def test_no_cell_is_ever_cut(seed):
    """Each stands in the output, its breaks joined, whatever the width, but for columns that are said to be gone."""
    draw = random.Random(seed)

    def text(words):
        return " ".join("".join(draw.choices("abcdefgh0123456789=.λ−名", k=draw.randint(1, 14))) for _ in range(words))

    columns = [
        Column(f"head{i}", right=draw.random() < 0.5, wraps=draw.random() < 0.4, drop=draw.choice([0, 0, 1, 2, 3]))
        for i in range(draw.randint(1, 8))
    ]
    rows = [[text(draw.randint(1, 4) if c.wraps else 1) for c in columns] for _ in range(draw.randint(1, 5))]
    for width in range(20, 201, draw.randint(1, 9)):
        lines = laid_out(columns, rows, width, rule=draw.random() < 0.5)
        assert all(screen.cells(line) <= width for line in lines)
        page = "\n".join(lines)
        _, said, gone = page.partition("not shown at ")
        for row in rows:
            for column, cell in zip(columns, row, strict=True):
                if said and column.drop and column.name in gone:
                    continue
                if column.wraps or width < 40:
                    letters = iter("".join(page.split()))
                    assert all(letter in letters for letter in cell.replace(" ", ""))  # in this order
                    assert all(word in page for word in cell.split(" ") if screen.cells(word) < 20)
                else:
                    assert cell in page
