"""Write what is made from the declarations: `make docs`."""

from __future__ import annotations

from pathlib import Path

from worker.example import example, with_play_tables, with_table

TOP = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    (TOP / "config.example.toml").write_text(example(), "utf-8")
    readme = TOP / "README.md"
    readme.write_text(with_table(readme.read_text("utf-8")), "utf-8")
    plays = TOP / "docs" / "plays.md"
    plays.write_text(with_play_tables(plays.read_text("utf-8")), "utf-8")
