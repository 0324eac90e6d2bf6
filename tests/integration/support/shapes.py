"""Tables with keys of all sorts, each named after its shape."""

from __future__ import annotations

# Key columns, and the key of row i: dense and with gaps, in the order of i and in none.
SHAPES = {
    "int": ("k int", "i"),
    "bigint": ("k bigint", "i::bigint * 1000000007"),
    "uuid": ("k uuid", "md5(i::text)::uuid"),
    "text": ('k text COLLATE "C"', "chr(60 + i % 7) || i"),
    "timestamptz": ("k timestamptz", "timestamptz '2024-10-27 00:00+00' + i * interval '11 minutes'"),
    "numeric": ("k numeric", "i / 7.0"),
    "text, int": ("k text, l int", "chr(60 + i / 9), -i"),
    "uuid, timestamptz": ("k uuid, l timestamptz", "md5((i / 9)::text)::uuid, timestamptz 'epoch' + i * interval '1s'"),
}


def key_names(shape: str) -> str:
    return ", ".join(column.split()[0] for column in SHAPES[shape][0].split(", "))


def create_table(shape: str) -> str:
    """`i` is the row's number, from which its key follows; `n` counts changes."""
    return (
        f"CREATE TABLE \"{shape}\" ({SHAPES[shape][0]}, i int NOT NULL, n int NOT NULL DEFAULT 0, note text DEFAULT '',"
        f" PRIMARY KEY ({key_names(shape)}))"
    )


def insert_into(shape: str) -> str:
    """To be followed by the FROM clause that numbers the rows."""
    return f'INSERT INTO "{shape}" ({key_names(shape)}, i) SELECT {SHAPES[shape][1]}, i'
